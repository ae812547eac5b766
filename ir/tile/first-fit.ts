import type { Span } from './lifetimes.ts';

/** Something that needs `size` units at some times. */
export type Claim = { readonly size: number; readonly spans: readonly Span[] };

/** Whether two are there at the same time. */
export const meet = (a: readonly Span[], b: readonly Span[]): boolean => a.some(({ from, to }) => b.some((other) => other.from <= to && from <= other.to));

/** Times that a claim which found no room is placed before all others: what was in its way goes around it. */
const turns = 64;

/**
 * An address for each claim such that no two claims of the same time overlap: largest first, each at the lowest address that
 * is free; and if one finds no room, though there is no time at which there are too many, that one first. On failure, the index of the first claim that found no room.
 */
export function firstFit(claims: readonly Claim[], capacity: number): { readonly addresses: readonly number[] } | { readonly failed: number } {
  const order = claims.map((_, i) => i).sort((a, b) => (claims[b] as Claim).size - (claims[a] as Claim).size || a - b);
  const first = placed(claims, order, capacity);
  if ('addresses' in first || mostTogether(claims) > capacity) return first;
  for (let found: ReturnType<typeof placed> = first, turn = 0; turn < turns; turn++) {
    if ('addresses' in found) return found;
    const { failed } = found;
    order.splice(order.indexOf(failed), 1);
    order.unshift(failed);
    found = placed(claims, order, capacity);
  }
  return first;
}

/** The most that claims need at a time. */
export function mostTogether(claims: readonly Claim[]): number {
  const changes = claims.flatMap(({ size, spans }) => spans.flatMap(({ from, to }) => [[from, size], [to + 1, -size]] as const)).toSorted(([a, more], [b, less]) => a - b || more - less);
  let [now, most] = [0, 0];
  for (const [, size] of changes) most = Math.max(most, (now += size));
  return most;
}

function placed(claims: readonly Claim[], order: readonly number[], capacity: number): { readonly addresses: readonly number[] } | { readonly failed: number } {
  const addresses = Array.from(claims, () => 0);
  const before: number[] = [];
  for (const i of order) {
    const claim = claims[i] as Claim;
    let address = 0;
    for (const j of before) {
      const other = claims[j] as Claim;
      const start = addresses[j] as number;
      if (address + claim.size > start && meet(other.spans, claim.spans)) address = Math.max(address, start + other.size);
    }
    if (address + claim.size > capacity) return { failed: i };
    addresses[i] = address;
    before.push(i);
    before.sort((a, b) => (addresses[a] as number) - (addresses[b] as number));
  }
  return { addresses };
}
