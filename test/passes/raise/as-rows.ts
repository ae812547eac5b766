import type { Diagnostics } from '../../../diagnostics/diagnostic.ts';
import type { GraphModule } from '../../../ir/graph/module.ts';
import type { TensorStore } from '../../../ir/weights.ts';
import { canonicalisePasses } from '../../../passes/canonicalise/pipeline.ts';
import { raise } from '../../../passes/raise/raise.ts';
import { recognise, recogniseExperts } from '../../../passes/recognise/recognise.ts';

const canonical = (module: GraphModule): GraphModule => canonicalisePasses.reduce((made, { run }) => run(made), module);

/** A source graph's blocks, as a compile finds them. */
export const recognised = (module: GraphModule, store: TensorStore): GraphModule => canonical(recogniseExperts(recognise(canonical(module), store), store));

/** A source graph as row ops, as a compile makes them. */
export const asRows = (module: GraphModule, store: TensorStore, diagnostics: Diagnostics): GraphModule => raise(recognised(module, store), store, diagnostics);
