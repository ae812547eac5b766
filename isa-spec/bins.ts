/**
 * Bins of `size` places each that always suffice for the pairs of `max` rows with the `k` experts each chooses, those of them that are among a chip's own where a `group` of chips shares the experts:
 * every expert that is chosen has one that is not full, and none has more rows than there are.
 */
export function binsOf({ max, k, experts, size, group = 1 }: { readonly max: number; readonly k: number; readonly experts: number; readonly size: number; readonly group?: number }): number {
  const own = Math.floor(experts / group);
  const pairs = max * Math.min(k, own);
  const open = Math.min(own, pairs);
  return Math.min(open + Math.floor((pairs - open) / size), own * Math.ceil(max / size));
}
