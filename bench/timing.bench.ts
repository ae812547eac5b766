import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { rolldown } from 'rolldown';
import { bench, describe } from 'vitest';
import type { Measurement } from './timing-runs.ts';

/**
 * The event simulator as users have it: bundled, in a process of its own. The budget is 5 million instructions a second, warm.
 */
const folder = mkdtempSync(join(tmpdir(), 'sohuc-bench-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const bundle = await rolldown({ input: resolve(import.meta.dirname, 'timing-runs.ts'), platform: 'node' });
const script = join(folder, 'timing-runs.mjs');
await bundle.write({ file: script, format: 'esm' });

const run = (...args: readonly string[]): string => execFileSync(process.execPath, [script, ...args], { encoding: 'utf8' });
const measure = (...args: readonly string[]): Measurement => JSON.parse(run(...args));
run('compile', folder);
const say = (what: string, { instructions, milliseconds }: Measurement): void =>
  console.log(`${what}: ${instructions} instructions in ${milliseconds.toFixed(1)} ms, ${(instructions / milliseconds / 1000).toFixed(1)} M a second`);

say('800 layers, warm', measure('layers'));
say('a step of Llama 70B on 8 chips, warm', measure('decoded', folder));
say('the same from its bytes, decoded each time', measure('repeated', folder));
say('the same, first run of a process', Array.from({ length: 5 }, () => measure('first', folder)).reduce((a, b) => (b.milliseconds < a.milliseconds ? b : a)));

describe('timing simulation', () => {
  bench('a process that simulates one step of Llama 70B', () => {
    measure('first', folder);
  }, { iterations: 5, time: 0, warmupIterations: 0, warmupTime: 0 });
});
