/** All that decides what comes of a part of the machine, as numbers: single ones, and columns of them. */
export type Standing = readonly (number | ArrayLike<number>)[];

/** The numbers, one after the other. */
export function numbersOf(standing: Standing): Float64Array {
  const numbers = new Float64Array(standing.reduce<number>((sum, part) => sum + (typeof part === 'number' ? 1 : part.length), 0));
  let at = 0;
  for (const part of standing) {
    if (typeof part === 'number') numbers[at++] = part;
    else {
      numbers.set(part, at);
      at += part.length;
    }
  }
  return numbers;
}
