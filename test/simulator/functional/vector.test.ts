import { describe, expect, test } from 'vitest';
import type { Queue, StrideSet } from '../../../isa-spec/instructions.ts';
import { activate, cosSin, encodeBf16, encodeE4m3, toBf16, toE4M3 } from '../../../isa-spec/numerics.ts';
import { encodeStepBlock } from '../../../isa-spec/step-block.ts';
import { readHbm } from '../../../simulator/functional/machine-state.ts';
import { runStep } from '../../../simulator/functional/run.ts';
import { all, at, emptyStep, hbmAt, Image, ins, numbers, programOf, runOnImage, stateOf, sync, token } from './harness.ts';

const { fround, sqrt } = Math;
const next = numbers(3);
const rowOf = (count: number, scale = 4): number[] => Array.from({ length: count }, () => toBf16(scale * next()));
const bf16 = (values: readonly number[]): number[] => values.map(encodeBf16);

describe('vmap', () => {
  const x = rowOf(11);
  const y = rowOf(11);
  const image = new Image();
  image.codes16(0, bf16(x));
  image.f32(100, y);
  const store = (values: readonly number[]): number[] => values.map(encodeE4m3);
  const common = { xFormat: 'bf16', format: 'e4m3', x: at(0), out: at(200), columns: 11 } as const;

  test.each(['copy', 'silu', 'multiply', 'subtract_from'] as const)('%s, rounded once more to the format', (name) => {
    const y8 = name === 'copy' || name === 'silu' ? ({ y: at(0), yPitch: 0 } as const) : ({ y: at(100), yPitch: 6 } as const);
    const { image: after } = runOnImage(image, ['vec'], {
      vec: [ins('vmap', { ...common, function: name, yFormat: 'f32', ...y8, xPitch: 3, outPitch: 2, rows: all(1) }, [], [token(10)])],
    });
    const formula = { copy: (a: number) => a, silu: (a: number) => activate('silu', a), multiply: (a: number, b: number) => fround(a * b), subtract_from: (a: number, b: number) => fround(b - a) };
    expect(after.read8(200, 11)).toEqual(store(x.map((a, i) => formula[name](a, y[i]!))));
    expect(after.read8(200, 16).slice(11)).toEqual(Array(5).fill(0xff));
  });

  test('stores e5m2 saturating, and reads its infinities', () => {
    const image = new Image();
    image.f32(0, [1.2, -61440, Infinity, NaN, 2 ** -16, 2 ** -18]);
    image.codes8(50, [0x7c, 0xfc, 0x3d]);
    const copy = { function: 'copy', yFormat: 'f32', xPitch: 1, y: at(0), yPitch: 0, outPitch: 1, rows: all(1) } as const;
    const { image: after } = runOnImage(image, ['vec'], {
      vec: [
        ins('vmap', { ...copy, xFormat: 'f32', format: 'e5m2', x: at(0), out: at(100), columns: 6 }),
        ins('vmap', { ...copy, xFormat: 'e5m2', format: 'f32', x: at(50), out: at(200), columns: 3 }, [], [token(10)]),
      ],
    });
    expect(after.read8(100, 6)).toEqual([0x3d, 0xfb, 0x7b, 0x7e, 0x01, 0x00]);
    expect(after.readF32(200, 3)).toEqual([Infinity, -Infinity, 1.25]);
  });

  test('a chain over two operands, one of them a list of the step, the other a number', () => {
    const rows = [x, rowOf(11), rowOf(11)];
    const listed = new Image();
    rows.forEach((row, r) => listed.codes16(3 * r, bf16(row)));
    listed.f32(100, [0.5, 3, -2]);
    listed.f32(110, [7, 9]);
    // Windows of two rows: the second begins at element 2 of the list.
    const code = (operation: ReturnType<typeof ins>) => ({ vec: [ins('sreg', { reg: 1, count: 'tokens' }), ins('loop', { level: 1, count: 2, body: 1 }), operation, sync([], [token(10)])] });
    const fields = { ...common, function: 'divide', second: 'square', third: 'add', yFormat: 'f32', zFormat: 'f32', x: at(0, 1), out: at(200, 2), rows: { max: 2, reg: 1, level: 1 } } as const;
    const still = { stride: 0, depth: 0, base: 0, steps: [0, 0, 0, 0] } as const;
    const strideSets = { vec: [{ strides: [0, 6, 0, 0], ring: still }, { strides: [0, 4, 0, 0], ring: still }] } as const;
    const step = { counts: { tokens: 3, sequences: 0, samples: 0, memory: 0 } };
    const { image: two } = runOnImage(listed, ['vec'], code(ins('vmap', { ...fields, y: at(100), yIs: 'list', yPitch: 0, xPitch: 3, outPitch: 2 })), step, { strideSets });
    const { image: three } = runOnImage(listed, ['vec'], code(ins('vmap3', { ...fields, y: at(100), yIs: 'list', z: at(110), zIs: 'number' })), step, { strideSets });
    rows.forEach((row, r) => {
      const scale = [0.5, 3, -2][r]!;
      const squared = row.map((a) => fround(fround(a / scale) ** 2));
      expect(two.read8(200 + 2 * r, 11)).toEqual(store(squared.map((t) => fround(t + scale))));
      expect(three.read8(200 + 2 * r, 11)).toEqual(store(squared.map((t) => fround(t + 7))));
    });
    expect(three.read8(200 + 6, 8)).toEqual(Array(8).fill(0xff));
  });

  test('three operands whose rows follow one another; a vector is the same for every row', () => {
    const [a, gate, added] = [[rowOf(11), rowOf(11)], rowOf(11), [rowOf(11), rowOf(11)]];
    const image3 = new Image();
    a.forEach((row, r) => image3.codes16(3 * r, bf16(row)));
    image3.f32(100, gate);
    added.forEach((row, r) => image3.codes8(150 + 2 * r, store(row)));
    const fields = { ...common, format: 'f32', function: 'multiply', second: 'add', yFormat: 'f32', zFormat: 'e4m3', y: at(100), yIs: 'vector', z: at(150), rows: all(2) } as const;
    const { image: after } = runOnImage(image3, ['vec'], { vec: [ins('vmap3', fields, [], [token(10)])] });
    a.forEach((row, r) => expect(after.readF32(200 + 6 * r, 11)).toEqual(row.map((t, i) => fround(fround(t * gate[i]!) + toE4M3(added[r]![i]!)))));
  });
});

/** The 16-lane sum, written as the specification says it. */
const lanes = (values: readonly number[]): number => {
  let sums = Array.from({ length: 16 }, (_, lane) => values.filter((__, i) => i % 16 === lane).reduce((sum, value) => fround(sum + value), 0));
  while (sums.length > 1) sums = sums.slice(0, sums.length / 2).map((sum, i) => fround(sum + sums[i + sums.length / 2]!));
  return sums[0]!;
};

describe('vnorm', () => {
  const n = 37;
  const x = [rowOf(n), rowOf(n, 400)];
  const [gamma, beta, epsilon] = [rowOf(n), rowOf(n), fround(1e-5)];
  const image = new Image();
  x.forEach((row, r) => image.codes16(10 * r, bf16(row)));
  image.f32(100, [epsilon]);
  image.f32(101, gamma);
  image.f32(101 + 19, beta);
  const inverse = (d: readonly number[]): number => fround(1 / fround(sqrt(fround(fround(lanes(d.map((v) => fround(v * v))) / n) + epsilon))));

  test.each(['rms', 'layer'] as const)('%s', (kind) => {
    const { image: after } = runOnImage(image, ['vec'], {
      vec: [ins('vnorm', { xFormat: 'bf16', format: 'f32', kind, x: at(0), xPitch: 10, params: at(100), out: at(200), outPitch: 20, columns: n, rows: all(2) }, [], [token(10)])],
    });
    x.forEach((row, r) => {
      const mean = kind === 'layer' ? fround(lanes(row) / n) : 0;
      const d = row.map((value) => fround(value - mean));
      const scale = inverse(d);
      const wanted = d.map((value, i) => {
        const y = fround(fround(value * scale) * gamma[i]!);
        return kind === 'layer' ? fround(y + beta[i]!) : y;
      });
      expect(after.readF32(200 + 20 * r, n)).toEqual(wanted);
    });
  });

  test.each(['rms', 'layer'] as const)('%s, in groups: each as a row of its own', (kind) => {
    const normed = (columns: number, groups: number, from: number): readonly number[] => {
      const own = new Image();
      const to = from + columns;
      own.codes16(0, bf16(x[0]!.slice(from, to)));
      own.f32(100, [epsilon]);
      own.f32(101, gamma.slice(from, to));
      own.f32(101 + columns / 2, beta.slice(from, to));
      const fields = { xFormat: 'bf16', format: 'f32', kind, x: at(0), xPitch: 10, params: at(100), out: at(200), outPitch: 20, columns, rows: all(1), groups } as const;
      return runOnImage(own, ['vec'], { vec: [ins('vnorm', fields, [], [token(10)])] }).image.readF32(200, columns);
    };
    expect(normed(36, 3, 0)).toEqual([0, 12, 24].flatMap((from) => normed(12, 1, from)));
  });
});

describe('vrope', () => {
  const [headDim, rotary, heads] = [6, 4, 2];
  const x = [rowOf(12), rowOf(12)];
  const angles = [[0.3, 2], [0.6, 4]].map((row) => row.map(cosSin));
  const image = new Image();
  x.forEach((row, r) => image.codes16(3 * r, bf16(row)));
  angles.forEach((row, r) => image.f32(100 + 2 * r, [...row.map(([cos]) => cos), ...row.map(([, sin]) => sin)]));

  test.each([false, true])('interleaved %s', (interleaved) => {
    const { image: after } = runOnImage(image, ['vec'], {
      vec: [ins('vrope', { xFormat: 'bf16', format: 'bf16', interleaved, x: at(0), xPitch: 3, table: at(100), out: at(200), outPitch: 3, headDim, rotary, heads, rows: all(2) }, [], [token(10)])],
    });
    x.forEach((row, r) => {
      const wanted = [...row];
      for (const head of [0, 6]) {
        for (const i of [0, 1]) {
          const [ai, bi] = interleaved ? [head + 2 * i, head + 2 * i + 1] : [head + i, head + 2 + i];
          const [a, b, [c, s]] = [row[ai]!, row[bi]!, angles[r]![i]!];
          wanted[ai] = fround(fround(a * c) - fround(b * s));
          wanted[bi] = fround(fround(b * c) + fround(a * s));
        }
      }
      expect(after.read16(200 + 3 * r, 12)).toEqual(bf16(wanted));
    });
  });
});

test('vqnt scales each row by its largest element and lists the scales by row of the step', () => {
  const x = [rowOf(9), Array(9).fill(0) as number[], rowOf(9, 3000)];
  const image = new Image();
  x.forEach((row, r) => image.codes16(3 * r, bf16(row)));
  const vqnt = ins('vqnt', { xFormat: 'bf16', format: 'e4m3', x: at(0, 1), xPitch: 3, out: at(200, 2), outPitch: 2, rowScale: 300, columns: 9, rows: { max: 2, reg: 1, level: 1 } });
  const still = { stride: 0, depth: 0, base: 0, steps: [0, 0, 0, 0] } as const;
  const { image: after } = runOnImage(
    image,
    ['vec'],
    { vec: [ins('sreg', { reg: 1, count: 'tokens' }), ins('loop', { level: 1, count: 4, body: 1 }), vqnt, ins('loop', { level: 0, count: 1, body: 1 }, [], [token(10)]), ins('sreg', { reg: 1, count: 'samples' })] },
    { counts: { tokens: 3, samples: 0, sequences: 0, memory: 0 } },
    { strideSets: { vec: [{ strides: [0, 6, 0, 0], ring: still }, { strides: [0, 4, 0, 0], ring: still }] } },
  );
  const scales = x.map((row) => Math.max(...row.map(Math.abs))).map((most) => (most === 0 ? 1 : fround(most / 448)));
  expect(after.readF32(300, 4)).toEqual([...scales, NaN]);
  x.forEach((row, r) => expect(after.read8(200 + 2 * r, 9)).toEqual(row.map((value) => encodeE4m3(fround(value / scales[r]!)))));
});

/** A gather after the image is there, a scatter after the gather, five rows in windows of two. */
const gatherScatter = (image: Image, code: Record<'dma0' | 'dma1', readonly ReturnType<typeof ins>[]>, kv: Uint8Array, strideSets: Readonly<Partial<Record<Queue, readonly StrideSet[]>>>) => {
  const program = programOf(
    [
      {
        dma0: [ins('dld', { src: hbmAt('io', 0), srcPitch: 0, dst: at(0), dstPitch: 0, lines: 1024, rows: all(1) }), ...code.dma0, sync([], [token(5)])],
        dma1: [sync([token(5)], []), ...code.dma1],
      },
    ],
    { strideSets },
  );
  const state = stateOf(program);
  state.chips[0]!.hbm.io!.write(0, image.bytes);
  state.chips[0]!.hbm.kv!.write(0, kv);
  runStep(state, [encodeStepBlock({ ...emptyStep, counts: { tokens: 5, sequences: 0, samples: 0, memory: 0 } })]);
  return { state };
};

describe('transfers', () => {
  test('hostw copies as much of a table as there is, and no more than it may', () => {
    const { image: after } = runOnImage(
      new Image(),
      ['ctl'],
      { ctl: [ins('hostw', { table: 'ids', dst: at(10), bytes: 400 }), ins('hostw', { table: 'slots', dst: at(20), bytes: 8 }, [], [token(10)])] },
      { ids: [3, 200, 7], slots: [5, 1, 9] },
    );
    const words = (line: number): number[] => [...new Int32Array(after.bytes.slice(8 * line, 8 * line + 16).buffer)];
    expect([words(10), words(20)]).toEqual([[3, 200, 7, -1], [5, 1, -1, -1]]);
  });

  test('a row that is not in the region is a fault, or zeros, or not written', () => {
    const kv = Uint8Array.from({ length: 65536 }, (_, i) => 1 + (i >> 12));
    const image = new Image();
    image.i32(40, [1, -1, 4095, 4096]);
    const gather = (oob: object, rows: number) => ins('dgat', { ...oob, src: hbmAt('kv', 2), srcPitch: 2, dst: at(100), dstPitch: 2, index: 40, lines: 2, rows: all(rows) });
    const scatter = (oob: object, rows: number) => ins('dsct', { ...oob, src: at(100), srcPitch: 2, dst: hbmAt('kv', 2), dstPitch: 2, index: 40, lines: 2, rows: all(rows) });
    const skip = { oob: 'skip' } as const;
    // Row x is at byte 16 + 16 x of 65,536: row 4095 is beyond, row -1 is where the region begins.
    const out = [ins('dst', { src: at(100), srcPitch: 2, dst: hbmAt('io', 1024), dstPitch: 2, lines: 2, rows: all(4) }, [token(6)])];
    const { state } = gatherScatter(image, { dma0: [gather(skip, 4), sync([], [token(6)])], dma1: out }, kv, {});
    const rows = readHbm(state, 0, 'io', 8192, 64);
    expect([0, 1, 2, 3].map((row) => rows[16 * row])).toEqual([1, 0, 0, 0]);
    const { state: scattered } = gatherScatter(image, { dma0: [ins('dcp', { fill: true, src: at(0), srcPitch: 0, dst: at(100), dstPitch: 2, lines: 2, value: 0x77777777, rows: all(4) })], dma1: [scatter(skip, 4)] }, kv, {});
    const after = readHbm(scattered, 0, 'kv', 0, 65536);
    expect(after.filter((byte) => byte === 0x77).length).toBe(16);
    expect([after[0], after[32]]).toEqual([1, 0x77]);
    expect(() => gatherScatter(image, { dma0: [gather({}, 3)], dma1: [] }, kv, {})).toThrow('HBM `kv` bytes 65536 to 65552 of 65536');
    expect(() => gatherScatter(image, { dma0: [], dma1: [scatter({}, 3)] }, kv, {})).toThrow('HBM `kv` bytes 65536 to 65552 of 65536');
  });

  test('dgat and dsct follow the list from the first row of the window', () => {
    const kv = Uint8Array.from({ length: 4096 }, (_, i) => i >> 4);
    const image = new Image();
    image.i32(40, [9, 9, 3, 200, 7, 9]);
    const window = { max: 2, reg: 1, level: 1 };
    const lists = (queue: 'dma0' | 'dma1') => [ins('sreg', { reg: 1, count: 'tokens' }), ins('loop', { level: 1, count: 3, body: 1 }), move[queue]];
    const ring = { stride: 4, depth: 3, base: 0, steps: [0, 1, 0, 0] } as const;
    const sets = [{ strides: [0, 0, 0, 0], ring }] as const;
    const move = {
      dma0: ins('dgat', { src: hbmAt('kv', 0), srcPitch: 2, dst: at(100, 1), dstPitch: 2, index: 40, lines: 2, rows: window }),
      dma1: ins('dsct', { src: at(100, 1), srcPitch: 2, dst: hbmAt('kv', 1024), dstPitch: 2, index: 40, lines: 2, rows: window }),
    };
    const program = { dma0: lists('dma0'), dma1: lists('dma1') };
    const { state } = gatherScatter(image, program, kv, { dma0: sets, dma1: sets });
    const at16 = (row: number): number => readHbm(state, 0, 'kv', 8192 + 16 * row, 16)[15]!;
    expect([9, 3, 200, 7].map(at16)).toEqual([9, 3, 200, 7]);
    expect(at16(8)).toBe(0xff);
  });
});
