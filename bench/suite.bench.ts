import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { rolldown } from 'rolldown';
import { bench, describe } from 'vitest';
import type { Measured } from './suite-runs.ts';

/** How near models come to the speed of light of the machine, by phase and chips: a share of it a line, least first, and the share no schedule exceeds of those below 85 %; the median; what does not fit. */
const folder = mkdtempSync(join(tmpdir(), 'sohuc-bench-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const bundle = await rolldown({ input: resolve(import.meta.dirname, 'suite-runs.ts'), platform: 'node' });
const script = join(folder, 'suite-runs.mjs');
await bundle.write({ file: script, format: 'esm' });

const all = execFileSync(process.execPath, [script], { encoding: 'utf8', maxBuffer: 2 ** 26 }).trimEnd().split('\n').map((line) => JSON.parse(line) as Measured);
const timed = all.flatMap((one) => ('share' in one ? [one] : [])).toSorted((a, b) => a.share - b.share);
const percent = (share: number): string => `${(100 * share).toFixed(1).padStart(5)} %`;
for (const { model, phase, chips, parts, share, boundBy, lost, chain, floor, hbm = 0 } of timed) console.log(`${percent(share)}  ${model.padEnd(15)} ${phase.padEnd(22)} chips ${chips}  parts ${parts}  bound by ${boundBy.padEnd(9)}  lost ${lost}${chain === undefined ? '' : `  at most ${floor}  HBM at work ${(100 * hbm).toFixed(0)} %, chain ${chain}`}`);
for (const one of all) if (!('share' in one)) console.log(`      -  ${one.model.padEnd(15)} ${one.phase.padEnd(22)} chips ${one.chips}  ${one.refused}`);
console.log(`median ${percent(timed[Math.floor(timed.length / 2)]?.share ?? 0)} of ${timed.length}; ${timed.filter(({ share }) => share < 0.85).length} below 85 %`);

describe('the suite', () => {
  bench.todo('is measured once, above');
});
