import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Diagnostics } from '../../diagnostics/diagnostic.ts';
import { type Compiled, compile } from '../../driver/compile.ts';
import { divided, type Edge, longestInput, mostRequests, type On } from '../../driver/fits.ts';
import { divisionsOf } from '../../driver/mapping.ts';
import { steadyServing } from '../../driver/serving.ts';
import type { Workload } from '../../driver/workload.ts';
import type { Machine } from '../../isa-spec/machine.ts';
import { tiny } from '../../isa-spec/machines/tiny.ts';
import { fuseGated } from '../../passes/fuse/gated.ts';
import { fuseResidual } from '../../passes/fuse/residual.ts';
import { roll } from '../../passes/roll.ts';
import { tinyLlama } from '../passes/tiny-llama.ts';
import { isCheck } from '../sweep.ts';
import { folder, root, sohuc } from './command.ts';
import { llama70 } from './llama70.ts';

/** Four tiny chips with as much HBM as is given. */
const machineOf = (bytes: number): Machine => ({ ...tiny, name: 'tiny-4', chips: 4, sram: { ...tiny.sram, bytes: { ...tiny.sram.bytes, value: 2 ** 15 } }, hbm: { ...tiny.hbm, bytes: { ...tiny.hbm.bytes, value: bytes } } });

const layers = 4;
const model = tinyLlama({ layers, hidden: 32, heads: 4, kvHeads: 4, headDim: 8, inner: 48, vocabulary: 40 });
const whole = fuseResidual(fuseGated(roll(model)));

type Answer = { readonly compiled: Compiled | undefined; readonly codes: readonly string[]; readonly text: string };
function compiledFor(on: On, workload: Workload): Answer {
  const diagnostics = new Diagnostics();
  const compiled = compile({ module: model, primitive: false, store: undefined, tensors: new Map() }, { ...on, serve: (module) => steadyServing(module, workload, on) }, diagnostics);
  return { compiled, codes: diagnostics.all.map(({ code }) => code), text: JSON.stringify(diagnostics.all) };
}

const mapping = fc.constantFrom(...divisionsOf(4));
const precision = fc.constantFrom('fp8' as const, 'bf16' as const);
const room = fc.integer({ min: 120_000, max: 900_000 });
const lengths = fc.record({ isl: fc.integer({ min: 1, max: 60 }), osl: fc.integer({ min: 1, max: 20 }) });

/** What the edge says: it compiles there, with the memory it names, and is refused one further. */
function isExact(on: On, edge: Edge, further: Workload): void {
  const { compiled } = compiledFor(on, edge.workload);
  expect(compiled?.program.regions).toEqual(edge.memory.regions);
  const refused = compiledFor(on, further);
  expect(refused.codes).toEqual(['E4001']);
  expect(edge.beyond?.bytes).toBeGreaterThan(on.machine.hbm.bytes.value);
  expect(refused.text).toContain(`${edge.beyond?.bytes.toString().replace(/\B(?=(\d{3})+$)/g, ',')} bytes of HBM`);
}

describe('the edge of what fits', () => {
  it('is exact in requests: there it compiles, one more is refused', () => {
    let edges = 0;
    fc.assert(fc.property(mapping, precision, room, lengths, (chips, format, bytes, { isl, osl }) => {
      const on: On = { machine: machineOf(bytes), ...chips, precision: format, stageShare: 0.25, parts: 1 };
      const edge = mostRequests(divided(whole, on, new Diagnostics())!, { isl, osl });
      if (edge === undefined) return expect(compiledFor(on, { isl, osl, batch: 1 }).codes).toEqual(['E4001']);
      edges++;
      isExact(on, edge, { isl, osl, batch: edge.workload.batch + 1 });
    }), { numRuns: isCheck ? 2 : 8, seed: 7 });
    expect(edges).toBeGreaterThan(isCheck ? 0 : 4);
  });

  it('is exact in tokens: there it compiles, a longer input is refused', () => {
    fc.assert(fc.property(mapping, precision, room, fc.integer({ min: 1, max: 12 }), (chips, format, bytes, batch) => {
      const on: On = { machine: machineOf(bytes), ...chips, precision: format, stageShare: 0.25, parts: 1 };
      const edge = longestInput(divided(whole, on, new Diagnostics())!, { osl: 4, batch }, 100_000);
      if (edge === undefined) return expect(compiledFor(on, { isl: 1, osl: 4, batch }).codes).toEqual(['E4001']);
      isExact(on, edge, { ...edge.workload, isl: edge.workload.isl + 1 });
    }), { numRuns: isCheck ? 2 : 6, seed: 7 });
  });
});

type Listed = { readonly mappings: readonly { readonly tp: number; readonly pp: number; readonly refused: readonly { readonly code: string }[]; readonly edges: readonly (Workload & { readonly bytes: number; readonly oneMoreNeedsBytes?: number })[] }[] };

describe('sohuc fits', () => {
  it.skipIf(isCheck)('Llama-3-70B on a server: every number of chips, and what it says of one is what a compile says', async () => {
    const at = folder();
    writeFileSync(join(at, 'config.json'), JSON.stringify(llama70));
    const { code, stdout } = await sohuc('fits', at, '--machine', 'sohu-8', '--json');
    const { mappings: rows } = JSON.parse(stdout) as Listed;
    expect([code, rows.map(({ tp, pp }) => [tp, pp])]).toEqual([0, [[1, 1], [1, 2], [2, 1], [1, 4], [2, 2], [4, 1], [1, 8], [2, 4], [4, 2], [8, 1]]]);
    for (const { edges } of rows) expect(edges.map(({ isl, osl }) => isl + osl)).toEqual([256, 512, 1024, 2048, 4096, 8192]);
    // Twice the chips hold more than twice the requests: the weights are there once.
    const [one, two] = [rows[0]!.edges, rows[1]!.edges];
    for (const [i, { batch }] of one.entries()) expect(two[i]!.batch).toBeGreaterThan(2 * batch);

    const { isl, osl, batch, oneMoreNeedsBytes } = rows[6]!.edges[3]!;
    const asked = (requests: number): ReturnType<typeof sohuc> => sohuc(at, '--machine', 'sohu-8', '--pp', '8', '--isl', String(isl), '--osl', String(osl), '--batch', String(requests), '--parts', '1', '--out', join(at, 'out'), '--json');
    expect((await asked(batch)).code).toBe(0);
    const refused = await asked(batch + 1);
    expect(refused.code).toBe(1);
    const [{ code: why, message }] = (JSON.parse(refused.stdout) as { diagnostics: { code: string; message: string }[] }).diagnostics as [{ code: string; message: string }];
    expect([why, message.replaceAll(',', '')]).toEqual(['E4001', `a chip needs ${oneMoreNeedsBytes} bytes of HBM and has 144000000000: ${(oneMoreNeedsBytes ?? 0) - 144e9} too few`]);
  });

  it.skipIf(isCheck)('is what its page shows, within a twentieth', async () => {
    const at = folder();
    writeFileSync(join(at, 'config.json'), JSON.stringify(llama70));
    const page = readFileSync(join(root, 'docs/what-fits.md'), 'utf8');
    const shown = /```text\n\$ sohuc fits llama-3-70b --machine sohu-8\n([\s\S]*?)```/.exec(page)![1]!;
    const { stdout } = await sohuc('fits', at, '--machine', 'sohu-8');
    const words = (text: string): readonly string[] => text.split(/\s+/);
    expect(words(stdout)).toHaveLength(words(shown).length);
    for (const [i, word] of words(shown).entries()) {
      const value = Number(word.replaceAll(',', ''));
      if (word === '' || Number.isNaN(value)) expect(words(stdout)[i]).toBe(word);
      else expect(Math.abs(Number(words(stdout)[i]!.replaceAll(',', '')) / value - 1)).toBeLessThan(0.05);
    }
  });

  it.skipIf(isCheck)('of a batch, the longest requests; mappings the model has no parts for are named', async () => {
    const at = folder();
    writeFileSync(join(at, 'config.json'), JSON.stringify({ ...llama70, num_hidden_layers: 3 }));
    const { stdout } = await sohuc('fits', at, '--machine', 'sohu-8', '--batch', '100000', '--json');
    const { mappings: rows } = JSON.parse(stdout) as Listed;
    expect(rows.filter(({ refused }) => refused.length > 0).map(({ tp, pp, refused: [first] }) => [tp, pp, first?.code])).toEqual([[1, 4, 'E4002'], [1, 8, 'E4002'], [2, 4, 'E4002']]);
    for (const { edges } of rows) for (const { batch } of edges) expect(batch).toBe(100000);
    const said = (await sohuc('fits', at, '--machine', 'sohu-8', '--batch', '100000')).stdout;
    expect(said).toMatch(/^tokens of the longest context of 100,000 requests at once, 128 of them output$/m);
    expect(said).toMatch(/^--pp 4: `llama` cannot be cut into 4 stages: only 3 of its layers are alike \(E4002\)$/m);
  });

  it('nothing fits: exit code 1', async () => {
    const at = folder();
    writeFileSync(join(at, 'config.json'), JSON.stringify({ ...llama70, num_hidden_layers: 800 }));
    const { code, stdout } = await sohuc('fits', at);
    expect([code, stdout.trimEnd().split('\n').at(-1)]).toEqual([1, expect.stringMatching(/^1( +-)+$/)]);
  });
});

describe('a refusal says what would fit, and that fits', () => {
  it('fewer requests, shorter ones, more chips, another format', async () => {
    const at = folder();
    writeFileSync(join(at, 'config.json'), JSON.stringify(llama70));
    const asked = (...words: readonly string[]): ReturnType<typeof sohuc> => sohuc(at, '--machine', 'sohu-8', '--out', join(at, 'out'), '--no-weights', ...(words.some((word) => word === '--pp' || word === '--tp') ? [] : ['--pp', '1']), ...words);
    const { code, stderr } = await asked('--precision', 'bf16', '--isl', '1000', '--osl', '24', '--batch', '20');
    expect(code).toBe(1);
    const found = (pattern: RegExp): readonly string[] => pattern.exec(stderr)?.slice(1) ?? [];
    const [batch] = found(/on these chips `--batch (\d+)` fits, of 1,024 tokens each/);
    const [isl] = found(/on these chips `--isl (\d+)` fits, at batch 20/);
    const [pipelined, divided] = found(/all of it fits with `(.*)` or `(.*)`/);
    expect(stderr).toContain('all of it fits with weights, keys and values in FP8: `--precision fp8`');
    const bf16 = ['--precision', 'bf16', '--osl', '24'];
    const answers = [
      await asked(...bf16, '--isl', '1000', '--batch', batch!), await asked(...bf16, '--isl', isl!, '--batch', '20'),
      await asked(...bf16, '--isl', '1000', '--batch', '20', ...pipelined!.split(' ')), await asked(...bf16, '--isl', '1000', '--batch', '20', ...divided!.split(' ')),
      await asked('--precision', 'fp8', '--osl', '24', '--isl', '1000', '--batch', '20'),
    ];
    expect(answers.map((one) => one.code)).toEqual([0, 0, 0, 0, 0]);
    const beyond = [await asked(...bf16, '--isl', '1000', '--batch', String(Number(batch) + 1)), await asked(...bf16, '--isl', String(Number(isl) + 1), '--batch', '20')];
    expect(beyond.map((one) => one.code)).toEqual([1, 1]);
  });
});
