import type { GraphModule } from '../../ir/graph/module.ts';
import { compact } from '../rewrite.ts';
import { broadcasts } from './broadcasts.ts';
import { comparisons } from './comparisons.ts';
import { dropIdentity } from './drop-identity.ts';
import { foldConstants } from './fold-constants.ts';
import { headFactors } from './head-factors.ts';
import { keysLast } from './keys-last.ts';
import { mergeViews } from './merge-views.ts';
import { shareEqual } from './share-equal.ts';
import { sinkTransposes } from './sink-transposes.ts';
import { softmax } from './softmax.ts';
import { unflatten } from './unflatten.ts';
import { variance } from './variance.ts';
import { writtenWhole } from './written-whole.ts';

/** The small passes that bring a source graph to its canonical form, in order. */
export const canonicalisePasses: readonly { readonly name: string; readonly run: (module: GraphModule) => GraphModule }[] = [
  { name: 'remove-dead', run: compact },
  { name: 'fold-constants', run: foldConstants },
  { name: 'unflatten', run: unflatten },
  { name: 'keys-last', run: keysLast },
  { name: 'head-factors', run: headFactors },
  { name: 'merge-views', run: mergeViews },
  // Merged views may be back where they began.
  { name: 'drop-identity', run: dropIdentity },
  { name: 'written-whole', run: writtenWhole },
  { name: 'sink-transposes', run: sinkTransposes },
  { name: 'broadcasts', run: broadcasts },
  { name: 'share-equal', run: shareEqual },
  { name: 'variance', run: variance },
  { name: 'comparisons', run: comparisons },
  { name: 'softmax', run: softmax },
];
