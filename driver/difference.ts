export type Difference = { readonly sign: ' ' | '-' | '+'; readonly text: string };

/** Alignments longer than this, in pairs of lines, are not searched for: what is between the common ends then counts as replaced. */
const mostPairs = 2 ** 26;

/**
 * The lines of two module texts, aligned: lines that say the same but for the numbers of values are one line, if the values they
 * name were made by lines that are one. The longest common subsequence of the lines without their numbers decides what is aligned.
 */
export function differences(a: readonly string[], b: readonly string[]): readonly Difference[] {
  const [bareA, bareB] = [a.map(bare), b.map(bare)];
  let start = 0;
  while (start < a.length && start < b.length && bareA[start] === bareB[start]) start++;
  let end = 0;
  while (end < a.length - start && end < b.length - start && bareA[a.length - 1 - end] === bareB[b.length - 1 - end]) end++;
  const middle = aligned(bareA.slice(start, a.length - end), bareB.slice(start, b.length - end));

  const renamed = new Map<string, string>();
  const found: Difference[] = [];
  let [i, j] = [0, 0];
  const both = (): void => {
    const [left, right] = [a[i++] as string, b[j++] as string];
    if (sameValues(left, right, renamed)) found.push({ sign: ' ', text: right });
    else found.push({ sign: '-', text: left }, { sign: '+', text: right });
  };
  while (i < start) both();
  for (const step of middle) {
    if (step === 'both') both();
    else if (step === 'a') found.push({ sign: '-', text: a[i++] as string });
    else found.push({ sign: '+', text: b[j++] as string });
  }
  while (i < a.length) both();
  return found;
}

const value = /%\d+/g;
const bare = (line: string): string => line.replace(value, '%');

/** Whether values that are named in both lines are the same so far; values seen first here are one from here on. */
function sameValues(a: string, b: string, renamed: Map<string, string>): boolean {
  const right = b.match(value) ?? [];
  return (a.match(value) ?? []).every((left, i) => {
    const known = renamed.get(left);
    if (known === undefined) renamed.set(left, right[i] as string);
    return known === undefined || known === right[i];
  });
}

/** One of the longest common subsequences, as steps along both. */
function aligned(a: readonly string[], b: readonly string[]): readonly ('both' | 'a' | 'b')[] {
  const steps: ('both' | 'a' | 'b')[] = [];
  const width = b.length + 1;
  const searched = (a.length + 1) * width <= mostPairs;
  /** longest[i][j]: common lines of a from i on and b from j on. */
  const longest = new Uint32Array(searched ? (a.length + 1) * width : 0);
  const at = (i: number, j: number): number => longest[i * width + j] ?? 0;
  if (searched) {
    for (let i = a.length - 1; i >= 0; i--) {
      for (let j = b.length - 1; j >= 0; j--) longest[i * width + j] = a[i] === b[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  let [i, j] = [0, 0];
  while (i < a.length && j < b.length) {
    if (searched && a[i] === b[j]) {
      steps.push('both');
      i++;
      j++;
    } else if (at(i + 1, j) >= at(i, j + 1)) {
      steps.push('a');
      i++;
    } else {
      steps.push('b');
      j++;
    }
  }
  while (i++ < a.length) steps.push('a');
  while (j++ < b.length) steps.push('b');
  return steps;
}
