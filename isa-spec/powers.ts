/** Powers of two from 2^-1074 to 2^1023; `powers[k + 1074]` is 2^k. Doubling and halving are exact. */
export const powers = ((): Float64Array => {
  const table = new Float64Array(2098);
  table[1074] = 1;
  for (let k = 1075; k < 2098; k++) table[k] = table[k - 1]! * 2;
  for (let k = 1073; k >= 0; k--) table[k] = table[k + 1]! / 2;
  return table;
})();

/** 2^k, exactly, for k from -1074 to 1023. */
export const powerOfTwo = (k: number): number => powers[k + 1074]!;
