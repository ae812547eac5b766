/** Names of a list near a name that is not in it, nearest first, at most three: a few edits apart, or one inside the other. */
export function nearest(name: string, among: Iterable<string>): readonly string[] {
  const scored: { readonly candidate: string; readonly score: number }[] = [];
  for (const candidate of among) {
    const edits = distance(name.slice(0, 64).toLowerCase(), candidate.slice(0, 64).toLowerCase());
    const contained = Math.min(name.length, candidate.length) >= 4 && (candidate.includes(name) || name.includes(candidate));
    const score = contained ? Math.min(edits, 2.5) : edits;
    if (score <= Math.max(1, Math.min(name.length, candidate.length) / 3)) scored.push({ candidate, score });
  }
  scored.sort((a, b) => a.score - b.score || (a.candidate < b.candidate ? -1 : 1));
  return scored.slice(0, 3).map(({ candidate }) => candidate);
}

/** Levenshtein's distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitute = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitute, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}
