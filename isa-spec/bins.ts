/**
 * Bins of `size` places each that always suffice for the pairs of `max` rows with the `k` experts each chooses: every expert that is chosen
 * has one that is not full, and none has more rows than there are.
 */
export function binsOf({ max, k, experts, size }: { readonly max: number; readonly k: number; readonly experts: number; readonly size: number }): number {
  const pairs = max * k;
  const open = Math.min(experts, pairs);
  return Math.min(open + Math.floor((pairs - open) / size), experts * Math.ceil(max / size));
}
