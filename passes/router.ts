import type { GraphOp } from '../ir/graph/module.ts';
import type { ValueId } from '../ir/types.ts';

/**
 * Whether a value is nothing but logits of routers, gathered from chips first or not. What decides which weights a row meets is not quantised: a
 * rounding there is another expert.
 */
export function isLogits(value: ValueId, usersOf: (value: ValueId) => readonly GraphOp[]): boolean {
  const users = usersOf(value);
  return users.length > 0 && users.every((user) =>
    user.kind === 'experts' ? user.operands.indexOf(value) === 1 && user.operands.lastIndexOf(value) === 1 : user.kind === 'allgather' && isLogits(user.results[0] as ValueId, usersOf));
}
