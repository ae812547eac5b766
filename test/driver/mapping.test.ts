import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { sohu8 } from '../../isa-spec/machines/sohu.ts';
import type { CostReport } from '../../report/report.ts';
import { llama70 } from './llama70.ts';
import { isCheck, sweep } from '../sweep.ts';
import { folder, sohuc } from './command.ts';
import type { Ranked } from '../../driver/explain-mapping.ts';
import { divisionsOf, flagsOf, mappingsOf } from '../../driver/mapping.ts';

/** As `--explain mapping --json` has it. */
type Row = { readonly tp: number; readonly pp: number; readonly replicas: number; readonly totalTokensPerSecond?: number; readonly why: string };

describe('Llama-3-70B on eight chips', () => {
  const asked = (...words: readonly string[]): ReturnType<typeof sohuc> => {
    const at = folder();
    writeFileSync(join(at, 'config.json'), JSON.stringify(llama70));
    return sohuc(at, '--machine', 'sohu-8', '--isl', '2048', '--osl', '128', '--json', '--out', join(at, 'out'), ...words);
  };

  it.skipIf(isCheck)('is put on them in the fastest of the ways tried; what is told of a way is what the report of its program says, which is of more steps', async () => {
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

  it.skipIf(isCheck)('of one prompt where two do not fit, in two parts all the same; in one part, if asked', async () => {
    const workload = async (...words: readonly string[]): Promise<unknown> => (JSON.parse((await asked('--pp', '1', ...words)).stdout) as CostReport).workload;
    expect(await workload()).toMatchObject({ parts: 2, batch: 128 });
    expect(await workload('--parts', '2')).toMatchObject({ parts: 2, batch: 128 });
    expect(await workload('--parts', '1')).toMatchObject({ parts: 1, batch: 128 });
    const { code, stdout } = await asked('--pp', '1', '--batch', '256');
    expect([code, /E4001/.test(stdout)]).toEqual([1, true]);
  });
});

describe('--explain mapping', () => {
  const decoding = ['--isl', '1', '--osl', '64', '--batch', '16'] as const;
  const small = { ...llama70, hidden_size: 1024, intermediate_size: 3584, num_hidden_layers: 8, num_attention_heads: 16, num_key_value_heads: 8, vocab_size: 32768 };
  const told = (...words: readonly string[]): ReturnType<typeof sohuc> => {
    const at = folder();
    writeFileSync(join(at, 'config.json'), JSON.stringify(small));
    return sohuc(at, '--machine', 'sohu-8', '--out', join(at, 'out'), ...words);
  };
  const asked = async (...words: readonly string[]): Promise<unknown> => JSON.parse((await told('--json', ...words)).stdout);

  it.each(sweep([['whole requests', []], ['decoding', decoding]] as const, 1))('the fastest of all is what a compile chooses, which does not look at all: %s', async (_, words) => {
    const rows = (await asked('--explain', 'mapping', ...words)) as readonly Ranked[];
    const report = (await asked(...words)) as CostReport;
    const [best, ...others] = rows;
    expect(report.mapping).toMatchObject({ tp: best!.tp, pp: best!.pp, replicas: best!.replicas });
    // Other steps are tried only if they are a twentieth faster by estimate.
    expect(report.timing.totalTokensPerSecond * 1.05).toBeGreaterThan(best!.totalTokensPerSecond!);
    expect([...new Set(rows.map(({ tp, pp }) => `${tp} ${pp}`))].toSorted()).toEqual(mappingsOf(8, false).map(({ tp, pp }) => `${tp} ${pp}`).toSorted());
    for (const { why } of others) expect(why).toMatch(/^\d+\.\d % slower: |^not compiled: (at most ~[\d,]+ tok\/s whatever the schedule, for ~.* in a step|~[\d,]+ tok\/s by estimate)$|^as fast: runs of |^not compiled: a step of all layers in ~.* by estimate, with (none|\d+) in ~/);
  });

  it('what bounds a mapping does: no program of it is faster', async () => {
    const rows = (await asked('--explain', 'mapping', ...decoding)) as readonly Ranked[];
    expect(rows.filter(({ rank }) => rank === undefined).length).toBeGreaterThan(0);
    for (const { tp, pp, replicas, step, pageRows, lent, rank, bound, totalTokensPerSecond } of rows) {
      if (pageRows !== undefined || lent !== undefined) continue;
      const { timing } = (await asked('--mapping', `tp${tp}xpp${pp}xr${replicas}`, '--parts', String(step!.parts), ...decoding)) as CostReport;
      const rate = rank === undefined ? timing.totalTokensPerSecond : totalTokensPerSecond!;
      expect(bound!.tokensPerSecond * bound!.seconds).toBeCloseTo(timing.totalTokensPerSecond * timing.stepSeconds, 6);
      expect(rate).toBeLessThanOrEqual(bound!.tokensPerSecond);
      if (rank === undefined) expect(rate).toBeLessThanOrEqual(rows[0]!.totalTokensPerSecond!);
    }
  });

  it('--mapping says what --tp, --pp and --replicas do; of some replicas the fastest is looked for; pages are as long as --page-rows says', async () => {
    const short = (await asked('--mapping', 'tp2xpp2xr2')) as CostReport;
    expect(short).toEqual(await asked('--tp', '2', '--pp', '2', '--replicas', '2'));
    expect(short.mapping).toMatchObject({ tp: 2, pp: 2, replicas: 2, cut: [4, 4] });
    expect(new Set(((await asked('--replicas', '2', '--explain', 'mapping')) as readonly Ranked[]).map(({ replicas }) => replicas))).toEqual(new Set([2]));
    expect(((await asked('--pp', '2', '--page-rows', '24')) as CostReport).program.entries[0]!.bounds).toMatchObject({ pageRows: 24 });
  });

  it('of a mapping that is given, that one; with the options that decide otherwise', async () => {
    const { stdout } = await told('--explain', 'mapping', '--pp', '3', '--stages', '2,4,2');
    expect(stdout).toMatch(/^  1 TP 1 x PP 3, 1 replica .* the fastest$/m);
    expect(stdout).toMatch(/--stages +stages of 2 \+ 4 \+ 2 layers/);
    const { stderr: refused, code } = await told('--pp', '2', '--stages', '2,4');
    expect([code, refused]).toEqual([1, expect.stringContaining('2 + 4 layers are not the 8 that are alike')]);
  });
});

describe('experts', () => {
  const mixture = {
    model_type: 'mixtral', hidden_size: 512, intermediate_size: 1024, num_hidden_layers: 8, num_attention_heads: 8, num_key_value_heads: 8, vocab_size: 4096, num_local_experts: 16, num_experts_per_tok: 2,
    max_position_embeddings: 512, rms_norm_eps: 1e-5, rope_theta: 1e6, hidden_act: 'silu', tie_word_embeddings: false,
  };
  const asked = (config: object, ...words: readonly string[]): ReturnType<typeof sohuc> => {
    const at = folder();
    writeFileSync(join(at, 'config.json'), JSON.stringify(config));
    return sohuc(at, '--machine', 'sohu-8', '--isl', '1', '--osl', '64', '--batch', '64', '--out', join(at, 'out'), '--json', ...words);
  };
  type Spread = Row & { readonly ep: number; readonly pageRows?: number; readonly lent?: number; readonly bound: { readonly tokensPerSecond: number } };

  it('are divided, or spread over the chips whole, whichever is faster', async () => {
    const rows = (JSON.parse((await asked(mixture, '--explain', 'mapping')).stdout) as readonly Spread[]).filter(({ pageRows, lent }) => pageRows === undefined && lent === undefined);
    expect(rows.map(flagsOf).toSorted()).toEqual(mappingsOf(8, true).map(flagsOf).toSorted());
    for (const { totalTokensPerSecond = 0, bound } of rows) expect(totalTokensPerSecond).toBeLessThanOrEqual(bound.tokensPerSecond);
    const [best] = rows;
    const { mapping } = JSON.parse((await asked(mixture)).stdout) as CostReport;
    expect([mapping.tp, mapping.ep, mapping.pp]).toEqual([best?.tp, best?.ep, best?.pp]);
    expect(best).toMatchObject({ tp: 8, ep: 8 });
    const given = JSON.parse((await asked(mixture, '--mapping', 'tp8xpp1xep8')).stdout) as CostReport;
    expect(given.mapping).toMatchObject({ tp: 8, ep: 8, pp: 1, replicas: 1 });
  });

  it.each([
    ['of which chips would have different numbers', { ...mixture, num_local_experts: 12 }, ['--ep', '8'], /the number of experts 12 cannot be divided over `--ep 8`.*num_local_experts.*use a --ep that divides 12/s],
    ['that are not there', llama70, ['--ep', '2'], /the model has no experts that `--ep 2` could spread over chips/],
    ['for some chips of a layer', mixture, ['--tp', '8', '--ep', '4'], /`--ep 4`: whole experts are spread over all of the 8 chips a layer is divided over, or none is/],
  ] as const)('%s are refused', async (_, config, words, message) => {
    const { code, stdout, stderr } = await asked(config, ...words);
    expect(code).toBeGreaterThan(0);
    expect(`${stdout}${stderr}`).toMatch(message);
  });
});

it('every mapping has all chips, and every division is there once', () => {
  for (const chips of [1, 2, 6, 8]) {
    const [plain, spread] = [mappingsOf(chips, false), mappingsOf(chips, true)];
    for (const { tp, pp, replicas } of spread) expect(tp * pp * replicas).toBe(chips);
    expect(plain.map(flagsOf).toSorted()).toEqual(divisionsOf(chips).map(flagsOf).toSorted());
    expect(new Set(spread.map(flagsOf)).size).toBe(spread.length);
    expect(spread.filter(({ ep }) => ep === 1)).toEqual(plain);
    expect(spread.filter(({ ep }) => ep > 1).map((mapping) => ({ ...mapping, ep: 1 }))).toEqual(plain.filter(({ tp }) => tp > 1));
  }
  expect(divisionsOf(4).map(flagsOf)).toEqual(['one chip', '--pp 2', '--tp 2', '--pp 4', '--tp 2 --pp 2', '--tp 4']);
});
