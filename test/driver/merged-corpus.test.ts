import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { corpus } from '../frontend/onnx/corpus.ts';
import { sohuc } from './command.ts';

const merged = `${corpus}/optimum/llama-op14-merged/model.onnx`;

type Comparison = { readonly results: readonly { readonly equalBits: number; readonly values: number; readonly graphToRuntime: { readonly largest: number } }[] };

describe.skipIf(!existsSync(merged))('a decoder without and with a past, merged into one file', () => {
  it.each([
    ['with a past, of its own accord', [], /^warning\[W1007\]: .*`use_cache_branch`; the one for 1 is taken/, 2],
    ['without, if that is asked for', ['--fix', 'use_cache_branch=0'], /^(?!.*W1007)/, 0],
  ] as const)('%s: to the bit its graph, and ONNX Runtime on the file', async (_, flags, said, generate) => {
    const { code, stdout, stderr } = await sohuc('run', merged, ...flags, '--prompt', '1,5,9,2', '--generate', String(generate), '--compare', '--json');
    expect(code).toBe(0);
    expect(stderr).toMatch(said);
    const { comparison } = JSON.parse(stdout) as { comparison: Comparison };
    expect(comparison.results.length).toBeGreaterThan(0);
    for (const { equalBits, values, graphToRuntime } of comparison.results) {
      expect(equalBits).toBe(values);
      expect(graphToRuntime.largest).toBeLessThan(1e-5);
    }
  });
});
