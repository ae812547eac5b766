/** CPU seconds of the process: what else the computer does takes less part in them than in time. */
const spent = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

/** What is measured, and what comes before it each time. */
export type Run = { readonly before?: () => void; readonly run: () => unknown };

/** CPU seconds of each of the runs at its fastest: in turn, for `budget` seconds in all and at least four turns; a short run as long as the longest in each. */
export async function fastest<const Runs extends readonly Run[]>(runs: Runs, budget: number): Promise<{ readonly [I in keyof Runs]: number }> {
  const least = runs.map(() => Infinity);
  const started = performance.now();
  for (let turn = 0; turn < 4 || performance.now() - started < 1000 * budget; turn++) {
    const until = turn === 0 ? 0 : 1000 * Math.max(...least);
    for (const [i, { before, run }] of runs.entries()) {
      const first = performance.now();
      do {
        before?.();
        const start = spent();
        await run();
        least[i] = Math.min(least[i]!, spent() - start);
      } while (performance.now() - first < until);
    }
  }
  return least as unknown as { readonly [I in keyof Runs]: number };
}

let seed = 1;
/** Mulberry32: (0, 1). */
const uniform = (): number => {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), seed | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 2 ** 32;
};
export const normal = (): number => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());

/** What is measured of an instruction: with the kernels of a format, plain and in SIMD, or of the same in onnxruntime. */
export type Way = 'e4m3' | 'bf16' | 'onnxruntime';
export type Measurement = {
  readonly shapes: readonly { readonly name: string; readonly operations: number }[];
  /** Seconds of each shape: plain and in SIMD, or of the one. */
  readonly measure: (way: Way) => Promise<readonly (readonly number[])[]>;
};
