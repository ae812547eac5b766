import { describe, expect, it } from 'vitest';
import type { TilingExplained } from '../../driver/explain-tiling.ts';
import { example, sohuc } from './command.ts';

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
    expect(rings.find(({ name }) => name === 'weights.e4m3')).toMatchObject({ slots: plan.homes.ringDepth, queue: 'dma0' });
    expect(sram.peakBytes).toBeLessThanOrEqual(sram.bytes);
  });

  it('is of a model: a program does not say what was decided', async () => {
    const { code, stderr } = await sohuc('report', 'model.sohu', '--explain', 'tiling');
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining('`--explain tiling` is of a model') as string });
  });
});
