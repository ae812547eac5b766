import type { Span } from './lifetimes.ts';

/** Something that needs `size` units at some times. */
export type Claim = { readonly size: number; readonly spans: readonly Span[] };

/** Whether two are there at the same time. */
export const meet = (a: readonly Span[], b: readonly Span[]): boolean => a.some(({ from, to }) => b.some((other) => other.from <= to && from <= other.to));

/**
 * An address for each claim such that no two claims of the same time overlap: largest first, each at the lowest address that
 * is free. On failure, the index of the first claim that found no room.
 */
export function firstFit(claims: readonly Claim[], capacity: number): { readonly addresses: readonly number[] } | { readonly failed: number } {
  const order = claims.map((_, i) => i).sort((a, b) => (claims[b] as Claim).size - (claims[a] as Claim).size || a - b);
  const addresses = Array.from(claims, () => 0);
  const placed: number[] = [];
  for (const i of order) {
    const claim = claims[i] as Claim;
    let address = 0;
    for (const j of placed) {
      const other = claims[j] as Claim;
      const start = addresses[j] as number;
      if (address + claim.size > start && meet(other.spans, claim.spans)) address = Math.max(address, start + other.size);
    }
    if (address + claim.size > capacity) return { failed: i };
    addresses[i] = address;
    placed.push(i);
    placed.sort((a, b) => (addresses[a] as number) - (addresses[b] as number));
  }
  return { addresses };
}
