import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { TilingExplained } from '../../driver/explain-tiling.ts';
import { llama70 } from './llama70.ts';
import { example, folder, root, sohuc } from './command.ts';

const page = readFileSync(join(root, 'docs/reading-the-report.md'), 'utf8').split(/^## /m).find((section) => section.startsWith('The tiling')) as string;
const block = (language: string): string => new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``).exec(page)?.[1] as string;
const small = [example('llama/hf'), '--machine', 'tiny', '--isl', '16', '--osl', '8', '--parts', '1'];

describe('--explain tiling', () => {
  it('is a table a person can read', async () => {
    const { code, stdout } = await sohuc(...small, '--explain', 'tiling');
    expect(code).toBe(0);
    await expect(stdout).toMatchFileSnapshot('tiling.txt');
  });

  it('is data with --json: the plan, and what follows from it', async () => {
    const { stages, schema } = JSON.parse((await sohuc(...small, '--explain', 'tiling', '--json')).stdout) as TilingExplained;
    expect([schema, stages.length]).toEqual(['sohuc-tiling/1', 1]);
    const [{ plan, products, values, rings, sram }] = stages as readonly [TilingExplained['stages'][number]];
    expect(plan.homes.spilled.filter((name) => !values.some((value) => value.name === name && value.why === 'spilled'))).toEqual([]);
    expect(plan.tries.flatMap((one) => (one.so === 'spill' ? [one.value] : []))).toEqual(plan.homes.spilled);
    expect(products.map(({ weight }) => weight)).toEqual(plan.decisions.flatMap((decision) => (decision.kind === 'product' && decision.settled !== undefined ? [decision.what] : [])));
    expect(rings.find(({ name }) => name === 'weights.e4m3')).toMatchObject({ slots: plan.homes.ringDepth, queues: ['dma0'] });
    expect(sram.peakBytes).toBeLessThanOrEqual(sram.bytes);
  });

  it('is what docs/reading-the-report.md says', async () => {
    const [, path = '', ...words] = block('sh').trim().split(' ');
    const lines = (await sohuc(join(root, path), ...words)).stdout.split('\n');
    let at = 0;
    for (const line of block('text').trimEnd().split('\n')) if (line.trim() !== '...') expect((at = lines.indexOf(line, at)), line).toBeGreaterThanOrEqual(0);
    expect(at).toBeGreaterThan(50);
  });

  it('has no field that page does not name', async () => {
    const named = new Set([...page.replaceAll(/```[\s\S]*?```/g, '').matchAll(/`([^`]+)`/g)].map(([, name]) => name));
    const keys = new Set<string>();
    const collect = (value: unknown): void => {
      if (typeof value !== 'object' || value === null) return;
      for (const [key, part] of Object.entries(value)) {
        if (!Array.isArray(value)) keys.add(key);
        if (key !== 'of') collect(part);
      }
    };
    collect(JSON.parse((await sohuc(...small, '--explain', 'tiling', '--json')).stdout));
    expect([...keys].filter((key) => !named.has(key))).toEqual([]);
  });

  it('stages what `--stage-share` says', async () => {
    const { stages: [stage] } = JSON.parse((await sohuc(example('llama/hf'), '--stage-share', '0.125', '--explain', 'tiling', '--json')).stdout) as TilingExplained;
    expect(stage?.plan.homes.stageBytes).toBe((stage?.sram.bytes ?? 0) / 8);
  });

  it('is of a model: a program does not say what was decided', async () => {
    const { code, stderr } = await sohuc('report', 'model.sohu', '--explain', 'tiling');
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining('`--explain tiling` is of a model') as string });
  });
});

describe('--tiling', () => {
  const explained = async (...words: readonly string[]): Promise<TilingExplained> => JSON.parse((await sohuc(...words, '--explain', 'tiling', '--json')).stdout) as TilingExplained;
  /** The program of a model, with a plan given or not. */
  const program = async (words: readonly string[], given?: unknown): Promise<Buffer> => {
    const at = folder();
    writeFileSync(join(at, 'plan.json'), JSON.stringify(given ?? {}));
    const { code, stderr } = await sohuc(...words, '--no-weights', '--quiet', '--out', join(at, 'out'), ...(given === undefined ? [] : ['--tiling', join(at, 'plan.json')]));
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    return readFileSync(join(at, 'out/model.sohu'));
  };

  it('makes of a plan that was printed the program it was printed of; and another of another', async () => {
    const plan = await explained(...small);
    const found = await program(small);
    expect(Buffer.compare(await program(small, plan), found)).toBe(0);
    const [stage] = plan.stages as readonly [TilingExplained['stages'][number]];
    const taller = { ...plan, stages: [{ ...stage, plan: { ...stage.plan, decisions: stage.plan.decisions.map((one) => (one.kind === 'product' && one.settled !== undefined ? { ...one, settled: { ...one.settled, rowTile: 4 } } : one)) } }] };
    expect(Buffer.compare(await program(small, taller), found)).not.toBe(0);
  });

  it('on a server on the mapping, and for the workload, it was printed of', async () => {
    const at = folder();
    writeFileSync(join(at, 'config.json'), JSON.stringify({ ...llama70, num_hidden_layers: 8 }));
    const words = [at, '--machine', 'sohu-8'];
    for (const flags of [['--isl', '1000', '--osl', '100'], ['--pp', '4', '--batch', '300'], ['--tp', '2', '--pp', '2']]) {
      const plan = await explained(...words, ...flags);
      expect(Buffer.compare(await program(words, plan), await program([...words, ...flags]))).toBe(0);
    }
    expect((await explained(...words, '--pp', '4', '--stages', '2,2,2,2')).stages.map(({ stages }) => stages)).toEqual([[0], [1, 2], [3]]);
  });

  it.each<[string, unknown, RegExp]>([
    ['nothing of the kind', { schema: 'sohuc-claim/1' }, /E4004.*is no tiling plan: `schema` must be one of sohuc-tiling\/1/],
    ['no stages', { schema: 'sohuc-tiling/1', mapping: { tp: 1, ep: 1, pp: 1, replicas: 1 }, workload: { isl: 16, osl: 8, batch: 8 }, stages: [] }, /E4004.*it is of 0 kinds of stages, and there is 1/],
    ['of more chips than there are', { schema: 'sohuc-tiling/1', mapping: { tp: 1, ep: 1, pp: 1, replicas: 2 }, workload: { isl: 16, osl: 8, batch: 8 }, stages: [] }, /`tiny` has 1 chip/],
  ])('refuses %s', async (_, given, message) => {
    const at = folder();
    writeFileSync(join(at, 'plan.json'), JSON.stringify(given));
    const { code, stderr } = await sohuc(...small, '--tiling', join(at, 'plan.json'));
    expect(stderr).toMatch(message);
    expect(code).toBeGreaterThan(0);
  });

  it('refuses what is not JSON, and what says nothing that can be settled', async () => {
    const at = folder();
    const file = join(at, 'plan.json');
    writeFileSync(file, '{');
    expect(await sohuc(...small, '--tiling', file)).toMatchObject({ code: 1, stderr: expect.stringMatching(/E4004.*it is not JSON/) as string });
    const plan = await explained(...small);
    writeFileSync(file, JSON.stringify(plan).replace('"rowTile":', '"rowTiles":'));
    expect(await sohuc(...small, '--tiling', file)).toMatchObject({ code: 1, stderr: expect.stringMatching(/E4004.*`stages\[0\]\.plan\.decisions\[0\]\.settled\.rowTile` must be an integer/) as string });
    expect(await sohuc(example('qwen2/hf'), ...small.slice(1), '--tiling', file.replace('plan', 'none'))).toMatchObject({ code: 2 });
  });
});
