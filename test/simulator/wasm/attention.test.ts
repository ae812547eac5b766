import { describe, expect, it } from 'vitest';
import { encodeBf16, encodeE4m3 } from '../../../isa-spec/numerics.ts';
import { afin, aq, attn } from '../../../simulator/functional/attention.ts';
import { createMachineState, imageSource, type Kernels } from '../../../simulator/functional/machine-state.ts';
import { queueState } from '../../../simulator/functional/queue.ts';
import { sohu } from '../../../isa-spec/machines/sohu.ts';
import { all, at, hbmAt, programOf, numbers } from '../functional/harness.ts';

type Case = { readonly heads: number; readonly kvHeads: number; readonly headDim: number; readonly mask: 'full' | 'causal'; readonly window: number };
type Format = 'e4m3' | 'bf16';
type Draw = (next: () => number) => number;

/** Codes of queries, keys and values. */
const draws: Readonly<Record<Format, Readonly<Record<string, Draw>>>> = {
  e4m3: {
    usual: (next) => encodeE4m3(3 * next()),
    'any code but NaN': (next) => (next() < 0 ? 0x80 : 0) | Math.floor(Math.abs(next()) * 0x7f),
    'NaN among them': (next) => (next() > 0.998 ? 0x7f : encodeE4m3(3 * next())),
  },
  bf16: {
    usual: (next) => encodeBf16(3 * next()),
    'any code, infinities and NaN too': (next) => Math.floor(Math.abs(next()) * 65536),
    'NaN and infinities among them': (next) => (next() > 0.998 ? (next() > 0 ? 0x7fc0 : 0x7f80) : encodeBf16(3 * next())),
    'products FP32 does not hold': (next) => (next() < 0 ? 0x8000 : 0) | ((next() > 0 ? 190 : 62) << 7) | Math.floor(Math.abs(next()) * 128),
  },
};

/** A decode row after 150 keys, a prompt of 9 after 130, a prompt of 40, keys of each sequence in pages of 16 rows. */
const sequences = [{ rows: 1, past: 150 }, { rows: 9, past: 130 }, { rows: 40, past: 0 }];
const pageRows = 16;
const line = sohu.sram.lineBytes.value;

const outputs = (format: Format, draw: Draw, { heads, kvHeads, headDim, mask, window }: Case, kernels: Kernels): Uint8Array => {
  const next = numbers(5);
  const bytes = format === 'e4m3' ? 1 : 2;
  const codes = (count: number): Uint8Array => {
    const drawn = Array.from({ length: count }, () => draw(next));
    return bytes === 1 ? Uint8Array.from(drawn) : new Uint8Array(Uint16Array.from(drawn).buffer);
  };
  const rows = sequences.reduce((sum, one) => sum + one.rows, 0);
  const kvLines = Math.ceil((kvHeads * headDim * bytes) / line);
  const pages = sequences.flatMap(({ rows: count, past }) => Array.from({ length: Math.ceil((count + past) / pageRows) }, () => 0)).map((_, i) => i);
  const poolBytes = pages.length * 2 * pageRows * kvLines * line;
  const chip = createMachineState(programOf([{}], { machine: sohu, regions: [{ base: 'kv', bytes: poolBytes }] }), [imageSource(new Uint8Array(0))], kernels).chips[0];
  if (chip === undefined) throw new Error('no chip');
  chip.hbm.kv?.write(0, codes(poolBytes / bytes));

  const pitch = Math.ceil((heads * headDim * bytes) / line);
  const [queriesAt, worklistAt, pagesAt, outAt] = [0, 60000, 61000, 62000];
  for (let r = 0; r < rows; r++) chip.sram.views.u8.set(codes(heads * headDim), chip.sram.at(queriesAt + r * pitch, pitch * line));
  let [row, page] = [0, 0];
  sequences.forEach(({ rows: count, past }, i) => {
    chip.sram.views.u32.set([row, count, past + count, past, page], chip.sram.range(worklistAt * line + 64 * i, 64) / 4);
    row += count;
    page += Math.ceil((past + count) / pageRows);
  });
  chip.sram.views.i32.set(pages, chip.sram.at(pagesAt, 4 * pages.length) / 4);

  const queue = queueState({ name: 'att', code: [], strideSets: [] });
  aq(chip, queue, { format, q: at(queriesAt), pitch, worklist: worklistAt, heads, headDim, scale: Math.fround(0.2), rows: all(rows) });
  attn(chip, queue, { format, mask, kv: hbmAt('kv', 0), pages: pagesAt, pageRows, kvLines, kvHeads, window });
  const outPitch = Math.ceil((heads * headDim * 4) / line);
  afin(chip, queue, { format: 'f32', out: at(outAt), pitch: outPitch, rows: all(rows) });
  return chip.sram.views.u8.slice(outAt * line, (outAt + rows * outPitch) * line);
};

const cases: readonly Case[] = [
  { heads: 4, kvHeads: 2, headDim: 16, mask: 'causal', window: 0 },
  { heads: 2, kvHeads: 2, headDim: 24, mask: 'causal', window: 20 },
  { heads: 3, kvHeads: 1, headDim: 8, mask: 'full', window: 0 },
  { heads: 2, kvHeads: 1, headDim: 6, mask: 'causal', window: 0 },
];

describe.each(['e4m3', 'bf16'] as const)('SIMD attention over %s keys has the bits of the plain loops', (format) => {
  it.each(Object.entries(draws[format]))('%s', (_, draw) => {
    for (const one of cases) {
      const plain = outputs(format, draw, one, 'plain');
      expect(Buffer.compare(outputs(format, draw, one, 'simd'), plain), JSON.stringify(one)).toBe(0);
    }
  });
});
