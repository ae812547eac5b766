import type { GraphOp } from '../../ir/graph/module.ts';

/** What would have been a block but for one thing: how far it was followed, what stopped it, and what would have gone on. */
export type NearMiss = {
  readonly kind: 'attention' | 'norm' | 'activation';
  /** The op at its heart. */
  readonly op: GraphOp;
  /** Ops that fit, the heart included. */
  readonly matched: readonly GraphOp[];
  readonly stop: GraphOp | undefined;
  readonly expected: string;
  readonly actual: string;
  readonly help: string;
};
