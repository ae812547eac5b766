import type { GraphModule } from '../../ir/graph/module.ts';
import type { TensorStore } from '../../ir/weights.ts';
import { canonicalisePasses } from '../canonicalise/pipeline.ts';
import { pairHalves } from './pair-halves.ts';
import { recognise, recogniseExperts } from './recognise.ts';

/** The passes that find the blocks of a canonical source graph, in order. */
export const recognisePasses = (store: TensorStore): readonly { readonly name: string; readonly run: (module: GraphModule) => GraphModule }[] => [
  { name: 'pair-halves', run: pairHalves },
  { name: 'recognise', run: (module) => recognise(module, store) },
  { name: 'recognise-experts', run: (module) => recogniseExperts(module, store) },
  // What was told apart by region is often one: masks and angles of every layer.
  ...canonicalisePasses,
];
