import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { sohu8 } from '../../isa-spec/machines/sohu.ts';
import type { CostReport } from '../../report/report.ts';
import { llama70 } from './llama70.ts';
import { folder, sohuc } from './command.ts';
import { mappingsOf } from '../../driver/mapping.ts';

type Row = { readonly tp: number; readonly pp: number; readonly replicas: number; readonly totalTokensPerSecond?: number; readonly why: string };

describe('Llama-3-70B on eight chips', () => {
  const asked = (...words: readonly string[]): ReturnType<typeof sohuc> => {
    const at = folder();
    writeFileSync(join(at, 'config.json'), JSON.stringify(llama70));
    return sohuc(at, '--machine', 'sohu-8', '--isl', '2048', '--osl', '128', '--json', '--out', join(at, 'out'), ...words);
  };

  it('is put on them in the fastest of the ways tried; what is told of a way is what the report of its program says, which is of more steps', async () => {
    const [chosen, explained] = await Promise.all([asked(), asked('--explain', 'mapping')]);
    const report = JSON.parse(chosen.stdout) as CostReport;
    const rows = JSON.parse(explained.stdout) as readonly Row[];
    const most = Math.max(...rows.map(({ totalTokensPerSecond = 0 }) => totalTokensPerSecond));
    expect(report.timing.totalTokensPerSecond).toBeCloseTo(most, 3);
    expect(report.mapping).toMatchObject({ tp: 1, pp: 2, replicas: 4 });
    const other = rows.find(({ pp }) => pp === 4);
    const given = JSON.parse((await asked('--pp', '4')).stdout) as CostReport;
    expect(2 * given.timing.totalTokensPerSecond).toBeCloseTo(other!.totalTokensPerSecond!, 3);
  });

  it('does what the vendor claims of it: more than 500,000 tokens a second, with 90 % of the peak in use', async () => {
    const report = JSON.parse((await asked()).stdout) as CostReport;
    expect(report.timing.totalTokensPerSecond).toBeGreaterThan(500_000);
    expect(report.timing.matrixUtilisation).toBeGreaterThan(0.9);
    expect(report.mapping.chips * report.mapping.replicas).toBe(sohu8.chips);
  });

  it('in one part where two do not fit; in two parts, if asked', async () => {
    const one = JSON.parse((await asked('--pp', '1')).stdout) as CostReport;
    expect(one.workload.parts).toBe(1);
    const { code, stdout } = await asked('--pp', '1', '--parts', '2');
    expect([code, /E4001/.test(stdout)]).toEqual([1, true]);
  });
});

it('every mapping has all chips', () => {
  for (const chips of [1, 2, 6, 8]) expect(mappingsOf({ ...sohu8, chips }).map(({ tp, pp, replicas }) => tp * pp * replicas)).toEqual(mappingsOf({ ...sohu8, chips }).map(() => chips));
});
