import type { Diagnostics } from '../../../diagnostics/diagnostic.ts';
import type { GraphModule } from '../../../ir/graph/module.ts';
import type { TensorStore } from '../../../ir/weights.ts';
import { canonicalisePasses } from '../../../passes/canonicalise/pipeline.ts';
import { raise } from '../../../passes/raise/raise.ts';
import { recognisePasses } from '../../../passes/recognise/pipeline.ts';

/** A source graph's blocks, as a compile finds them. */
export const recognised = (module: GraphModule, store: TensorStore): GraphModule => [...canonicalisePasses, ...recognisePasses(store)].reduce((made, { run }) => run(made), module);

/** A source graph as row ops, as a compile makes them. */
export const asRows = (module: GraphModule, store: TensorStore, diagnostics: Diagnostics): GraphModule => raise(recognised(module, store), store, diagnostics);
