import { describe, expect, test } from 'vitest';
import { activate, decodeBf16, decodeE4m3, encodeBf16, encodeE4m3, exp2f, toBf16 } from '../../../isa-spec/numerics.ts';
import type { WorkEntry } from '../../../isa-spec/step-block.ts';
import { SimulationFault } from '../../../simulator/fault.ts';
import type { InstructionOf } from '../../../isa-spec/instructions.ts';
import { all, at, hbmAt, Image, ins, numbers, runOnImage, token } from './harness.ts';

const { fround } = Math;
type Format = 'e4m3' | 'bf16';
const codecs = { e4m3: { bytes: 1, encode: encodeE4m3, decode: decodeE4m3 }, bf16: { bytes: 2, encode: encodeBf16, decode: decodeBf16 } } as const;

/** A dot product as the format has it: exact, or a chain of FP32 sums. */
const dot = (format: Format, a: readonly number[], b: readonly number[]): number =>
  format === 'e4m3' ? fround(Number(a.reduce((sum, x, i) => sum + BigInt(x * 2 ** 27) * BigInt(b[i]! * 2 ** 9), 0n)) / 2 ** 36) : a.reduce((sum, x, i) => fround(sum + x * b[i]!), 0);

type Cache = { readonly k: readonly (readonly number[])[]; readonly v: readonly (readonly number[])[] };

/** One query against its sequence: the whole of the online softmax, with a mask for each key. */
const naive = (format: Format, q: readonly number[], { k, v }: Cache, factor: number, { sees, sink, cap }: { readonly sees: (key: number) => boolean; readonly sink?: number; readonly cap?: { readonly at: number; readonly scale: number } }): number[] => {
  let m = -Infinity;
  let l = 0;
  let o = q.map(() => 0);
  for (let block = 0; block < k.length; block += 128) {
    const keys = k.map((_, j) => j).filter((j) => j >= block && j < block + 128 && sees(j));
    if (keys.length === 0) continue;
    const z = keys.map((j) => {
      const s = dot(format, q, k[j]!);
      return cap === undefined ? fround(s * factor) : fround(fround(cap.at * activate('tanh', fround(fround(s * cap.scale) / cap.at))) * fround(Math.LOG2E));
    });
    const most = Math.max(m, ...z);
    const alpha = m === -Infinity ? 0 : exp2f(fround(m - most));
    const p = z.map((value) => toBf16(exp2f(fround(value - most)))).map((value) => (value < 2 ** -18 ? 0 : value));
    l = fround(fround(l * alpha) + fround(p.reduce((sum, value) => sum + value, 0)));
    o = o.map((value, d) => fround(fround(value * alpha) + dot(format, p, keys.map((j) => v[j]![d]!))));
    m = most;
  }
  if (sink !== undefined) {
    const z = fround(sink * fround(Math.LOG2E));
    const most = Math.max(m, z);
    const alpha = m === -Infinity ? 0 : exp2f(fround(m - most));
    l = fround(fround(l * alpha) + exp2f(fround(z - most)));
    o = o.map((value) => fround(value * alpha));
  }
  return o.map((value) => (l === 0 ? 0 : fround(value / l)));
};

describe.each(['e4m3', 'bf16'] as const)('attention over paged %s keys', (format) => {
  const { bytes, encode, decode } = codecs[format];
  const [heads, kvHeads, headDim, pageRows, layerOffset] = [4, 2, 6, 16, 64];
  const kvLines = Math.ceil((kvHeads * headDim * bytes) / 8);
  const next = numbers(21);
  const vector = (count: number, scale = 3): number[] => Array.from({ length: count }, () => decode(encode(scale * next())));
  /** Three sequences: a decode row after 150, a prompt of 5 after 30, a fresh prompt of 3. Pages are anywhere in the pool. */
  const sequences = [{ rows: 1, past: 150 }, { rows: 5, past: 30 }, { rows: 3, past: 0 }].map((sequence) => {
    const keys = sequence.past + sequence.rows;
    return { ...sequence, keys, k: Array.from({ length: keys }, () => vector(kvHeads * headDim)), v: Array.from({ length: keys }, () => vector(kvHeads * headDim)) };
  });
  const pool = [13, 2, 7, 0, 9, 4, 11, 1, 14, 5, 3, 8, 10, 6];
  const q = sequences.flatMap(({ rows }) => Array.from({ length: rows }, () => vector(heads * headDim)));
  const scale = fround(0.37);

  const kv = new Uint8Array(65536).fill(0xff);
  const pages: number[] = [];
  const worklist: WorkEntry[] = [];
  let firstRow = 0;
  for (const { rows, past, keys, k, v } of sequences) {
    worklist.push({ firstRow, rows, keys, firstPosition: past, firstPage: pages.length });
    for (let p = 0; p * pageRows < keys; p++) pages.push(pool.shift()!);
    const view = new DataView(kv.buffer);
    const store = (row: number, values: readonly number[]): void => values.forEach((value, i) => (bytes === 1 ? view.setUint8((layerOffset + row * kvLines) * 8 + i, encode(value)) : view.setUint16((layerOffset + row * kvLines) * 8 + 2 * i, encode(value), true)));
    for (let j = 0; j < keys; j++) {
      const slot = 2 * pageRows * pages[worklist.at(-1)!.firstPage + Math.floor(j / pageRows)]! + (j % pageRows);
      store(slot, k[j]!);
      store(slot + pageRows, v[j]!);
    }
    firstRow += rows;
  }
  const image = new Image();
  const pitch = Math.ceil((heads * headDim * bytes) / 8);
  q.forEach((row, r) => (bytes === 1 ? image.codes8(r * pitch, row.map(encode)) : image.codes16(r * pitch, row.map(encode))));

  const sinks = [-1.25, 2.5, 40, -Infinity];
  image.f32(490, sinks);

  const run = (mask: 'full' | 'causal', window: number, finish: Partial<InstructionOf<'afin'>['fields']> = {}, capped: Partial<InstructionOf<'attn'>['fields']> = {}): Image => {
    const rows = { max: 4, reg: 1, level: 1 };
    const ring = { stride: 0, depth: 0, base: 0, steps: [0, 0, 0, 0] } as const;
    const att = [
      ins('sreg', { reg: 1, count: 'tokens' }, [token(5)]),
      ins('loop', { level: 1, count: 3, body: 3 }),
      ins('aq', { format, q: at(0, 1), pitch, worklist: 400, heads, headDim, scale, rows }),
      ins('attn', { format, mask, kv: hbmAt('kv', layerOffset), pages: 460, pageRows, kvLines, kvHeads, window, ...capped }),
      ins('afin', { format: 'f32', out: at(500, 2), pitch: 12, rows, ...finish }),
      ins('loop', { level: 0, count: 1, body: 1 }, [], [token(10)]), ins('sreg', { reg: 2, count: 'tokens' }),
    ];
    return runOnImage(
      image,
      ['att', 'ctl'],
      { att, ctl: [ins('hostw', { table: 'worklist', dst: at(400), bytes: 4096 }), ins('hostw', { table: 'pages', dst: at(460), bytes: 4096 }, [], [token(5)])] },
      { counts: { tokens: q.length, sequences: 3, samples: 0, memory: 0 }, worklist, pages },
      { kv, strideSets: { att: [{ strides: [0, 4 * pitch, 0, 0], ring }, { strides: [0, 48, 0, 0], ring }] } },
    ).image;
  };

  test.each([['full', 0, false], ['causal', 0, false], ['causal', 20, false], ['causal', 1, false], ['causal', 0, true], ['causal', 20, true], ['causal', 0, false, 1.5], ['causal', 20, true, 6]] as const)('%s mask, window %d, sinks %s, soft cap %s', (mask, window, sink, softCap?: number) => {
    const after = run(mask, window, sink ? { sink, sinks: at(490) } : {}, softCap === undefined ? {} : { softCap });
    const factor = fround(scale * 1.4426950408889634);
    let r = 0;
    for (const { rows, past, k, v } of sequences) {
      for (let i = 0; i < rows; i++, r++) {
        const wanted = Array.from({ length: heads }, (_, head) => {
          const at = Math.floor(head / (heads / kvHeads)) * headDim;
          const part = (row: readonly number[]): number[] => row.slice(at, at + headDim);
          const sees = (key: number): boolean => mask === 'full' || (key <= past + i && (window === 0 || key > past + i - window));
          return naive(format, q[r]!.slice(head * headDim, (head + 1) * headDim), { k: k.map(part), v: v.map(part) }, factor, { sees, ...(sink ? { sink: sinks[head]! } : {}), ...(softCap === undefined ? {} : { cap: { at: softCap, scale } }) });
        });
        expect(after.readF32(500 + 12 * r, heads * headDim)).toEqual(wanted.flat());
      }
    }
    expect(after.read8(500 + 12 * r, 8)).toEqual(Array(8).fill(0xff));
  });
});

test('a work list with a gap is a fault', () => {
  const att = [ins('aq', { format: 'e4m3', q: at(0), pitch: 1, worklist: 400, heads: 1, headDim: 8, scale: 1, rows: all(2) }, [token(5)])];
  const entry = { firstRow: 0, rows: 1, keys: 1, firstPosition: 0, firstPage: 0 };
  const run = (): unknown =>
    runOnImage(new Image(), ['att', 'ctl'], { att, ctl: [ins('hostw', { table: 'worklist', dst: at(400), bytes: 4096 }, [], [token(5)])] }, { worklist: [entry, { ...entry, firstRow: 2 }] });
  expect(run).toThrow(SimulationFault);
  expect(run).toThrow('work-list entry 1 starts at row 2, the one before it ends at 1');
});
