import { createHash } from 'node:crypto';
import { accuracy } from '../../isa-spec/accuracy.ts';
import { type VectorFunction, vectorFunctions } from '../../isa-spec/instructions.ts';
import { edges, fromSingleBits, words } from './bits.ts';
import { features } from './features.ts';
import { exp2Value, fixedOf, gelu, geluTanh, sigmoid, silu, tanh, valueOf } from './oracle-functions.ts';
import { attend, factorOf, norm, rope, singleOf, stored, turns } from './oracle-ops.ts';
import { naiveSample } from './oracle-sampling.ts';
import { codesBy, quantise, quantiseBlocks, quantiseMx, scaleOf, type Target } from './oracle-scales.ts';
import { chain } from './oracle-vector.ts';
import { bf16, blockDot, chainedDot, decode, e4m3, e5m2, exact, exactDot, mxDot, type Single, single, type Value, values } from './oracle.ts';

/**
 * Golden vectors: inputs and results of one operation as codes in hexadecimal, made by the oracle. A pack is committed as
 * isa-spec/vectors/<op>.json with the SHA-256 of its cases; `vitest -u` writes it anew.
 */
export type Format = 'e4m3' | 'bf16';
export type MatrixFormat = Format | 'e5m2';
/** Codes of equal width, separated by blanks. */
export type Codes = string;

export type DotCase = { readonly name: string; readonly format: Format; readonly a: Codes; readonly b: Codes; readonly sum: Codes };
/** A dot product of any two formats, or of E4M3 with scales of blocks: FP32 numbers, of `mx` UE8M0 codes. */
export type ProductCase = {
  readonly name: string; readonly format: MatrixFormat; readonly weightFormat: MatrixFormat; readonly scaling: 'outer' | 'block' | 'mx';
  readonly a: Codes; readonly b: Codes; readonly scalesA: Codes; readonly scalesB: Codes; readonly sum: Codes;
};
export type NormCase = { readonly name: string; readonly kind: 'rms' | 'layer'; readonly epsilon: Codes; readonly x: Codes; readonly gamma: Codes; readonly beta: Codes; readonly out: Codes };
export type RopeCase = { readonly name: string; readonly interleaved: boolean; readonly frequencies: readonly number[]; readonly position: number; readonly x: Codes; readonly table: Codes; readonly out: Codes };
export type QuantiseCase = { readonly name: string; readonly x: Codes; readonly codes: Codes; readonly scale: Codes };
/** FP32 rows quantised to either format: by a scale found, or given; in blocks of either kind. `scales` are FP32 numbers, of `mx` UE8M0 codes. */
export type ScalesCase = { readonly name: string; readonly mode: 'row' | 'given' | 'block' | 'mx'; readonly format: Target; readonly pow2: boolean; readonly x: Codes; readonly codes: Codes; readonly scales: Codes };
/** One query, the last row of a sequence of as many rows as there are keys. */
export type AttentionCase = { readonly name: string; readonly format: Format; readonly scale: Codes; readonly window: number; readonly q: Codes; readonly k: readonly Codes[]; readonly v: readonly Codes[]; readonly out: Codes };
/** The same in parts of `splitBlocks` blocks; 0: not split. Values may have another width than keys; without any they are the first elements of keys, as many as `out` has. */
export type PartsCase = AttentionCase & { readonly splitBlocks: number };
export type FunctionCase = { readonly name: 'exp2' | 'sigmoid' | 'silu' | 'gelu' | 'gelu_tanh' | 'tanh'; readonly x: Codes; readonly out: Codes };
/** A chain of `vmap`, or of `vmap3` if there is a z. */
export type MapCase = { readonly name: string; readonly functions: readonly [VectorFunction, VectorFunction, VectorFunction]; readonly x: Codes; readonly y: Codes; readonly z: Codes; readonly out: Codes };
export type ConvertCase = { readonly name: Format; readonly x: Codes; readonly out: Codes };

/** FP32 logits; the seed's low and high word. */
export type SampleCase = { readonly name: string; readonly logits: Codes; readonly temperature: Codes; readonly topK: number; readonly topP: Codes; readonly seed: readonly [number, number]; readonly position: number; readonly token: number };

export const digits = { e4m3: 2, e5m2: 2, ue8m0: 2, bf16: 4, f32: 8 } as const;
export const pack = (format: keyof typeof digits, codes: readonly number[]): Codes => codes.map((code) => code.toString(16).padStart(digits[format], '0')).join(' ');
export const unpack = (codes: Codes): number[] => (codes === '' ? [] : codes.split(' ').map((code) => Number.parseInt(code, 16)));

const layouts = { e4m3, e5m2, bf16 } as const;
const series = (count: number, make: (i: number) => number): number[] => Array.from({ length: count }, (_, i) => make(i));
/** Codes of BF16 values of either sign from 2^-low to below 2^(high + 1). */
const bf16Codes = (next: () => number, count: number, low: number, high: number): number[] => series(count, () => ((next() & 0x8000) | ((127 - low + (next() % (low + high + 1))) << 7) | (next() & 0x7f)) & 0xffff);
const e4m3Codes = (next: () => number, count: number): number[] => series(count, () => {
  const code = next() & 0xff;
  return (code & 0x7f) === 0x7f ? code ^ 1 : code;
});
/** BF16 codes as FP32. */
const widened = (codes: readonly number[]): Single[] => codes.map((code) => single(decode(bf16, BigInt(code))));

const dots = (): DotCase[] => {
  const next = words(101);
  const random = [1, 2, 3, 8, 9, 31, 64, 100, 255, 256].flatMap((length) => [
    { name: `random, ${length}`, format: 'e4m3' as const, a: e4m3Codes(next, length), b: e4m3Codes(next, length) },
    { name: `random, ${length}`, format: 'bf16' as const, a: bf16Codes(next, length, 20, 10), b: bf16Codes(next, length, 20, 10) },
  ]);
  return [...features, ...random].map(({ name, format, a, b }) => {
    const [x, y] = [values(layouts[format], a), values(layouts[format], b)];
    const sum = format === 'e4m3' ? single(exactDot(x, y)) : chainedDot(x, y);
    return { name, format, a: pack(format, a), b: pack(format, b), sum: pack('f32', [sum]) };
  });
};

/** E5M2 and BF16 codes of magnitudes within a few powers of two of 1; those of E4M3 of any. */
const matrixCodes = { e4m3: e4m3Codes, bf16: (next: () => number, count: number) => bf16Codes(next, count, 20, 10), e5m2: (next: () => number, count: number) => series(count, () => (next() & 0x80) | (0x20 + (next() % 0x40))) };

const products = (): ProductCase[] => {
  const next = words(151);
  const mixed = (name: string, format: MatrixFormat, weightFormat: MatrixFormat, a: readonly number[], b: readonly number[]): ProductCase => {
    const [x, y] = [values(layouts[format], a), values(layouts[weightFormat], b)];
    const sum = format === 'e4m3' && weightFormat === 'e4m3' ? single(exactDot(x, y)) : chainedDot(x, y);
    return { name, format, weightFormat, scaling: 'outer', a: pack(format, a), b: pack(weightFormat, b), scalesA: '', scalesB: '', sum: pack('f32', [sum]) };
  };
  const scaled = (name: string, scaling: 'block' | 'mx', operands: readonly [a: readonly number[], b: readonly number[]], [scalesA, scalesB]: readonly [readonly number[], readonly number[]]): ProductCase => {
    const [x, y] = operands.map((codes) => values(e4m3, codes)) as [Value[], Value[]];
    const sum = scaling === 'block' ? blockDot(x, y, scalesA, scalesB, 128) : mxDot(x, y, scalesA, scalesB);
    const format = scaling === 'block' ? 'f32' : 'ue8m0';
    return { name, format: 'e4m3', weightFormat: 'e4m3', scaling, a: pack('e4m3', operands[0]), b: pack('e4m3', operands[1]), scalesA: pack(format, scalesA), scalesB: pack(format, scalesB), sum: pack('f32', [sum]) };
  };
  const formats = ['e4m3', 'e5m2', 'bf16'] as const;
  const pair = (length: number): readonly [number[], number[]] => [e4m3Codes(next, length), e4m3Codes(next, length)];
  const scale = (): number => 0x3a000000 + (next() & 0x7ffffff);
  const code = (): number => 97 + (next() % 60);
  return [
    ...formats.flatMap((a) => formats.flatMap((b) => [3, 40].map((length) => mixed(`random, ${length}`, a, b, matrixCodes[a](next, length), matrixCodes[b](next, length))))),
    mixed('infinities of E5M2: infinity less infinity', 'e5m2', 'e4m3', [0x7c, 0xfc, 0x3c], [0x38, 0x38, 0x38]),
    mixed('an infinity of E5M2 by zero', 'bf16', 'e5m2', [0x0000, 0x3f80], [0x7c, 0x3c]),
    mixed('every NaN of E5M2', 'e5m2', 'bf16', [0x7d, 0x7e, 0xff], [0x3f80, 0x3f80, 0x3f80]),
    mixed('E5M2 by itself is a chain: one after 2^24 is lost', 'e5m2', 'e5m2', [0x6c, 0x3c, 0xec], [0x6c, 0x3c, 0x6c]),
    mixed('the least of E5M2, squared', 'e5m2', 'e5m2', [0x01], [0x01]),
    ...[7, 128, 129, 260].map((length) => scaled(`random, ${length}`, 'block', pair(length), [series(Math.ceil(length / 128), scale), series(Math.ceil(length / 128), scale)])),
    ...[7, 32, 33, 100, 260].map((length) => scaled(`random, ${length}`, 'mx', pair(length), [series(Math.ceil(length / 32), code), series(Math.ceil(length / 32), code)])),
    scaled('blocks that cancel', 'mx', [series(64, () => 0x38), series(64, (i) => (i < 32 ? 0x38 : 0xb8))], [[127, 130], [130, 127]]),
    scaled('scales whose product FP32 has not', 'block', pair(20), [[0x7f000000], [0x7f000000]]),
    scaled('scales far apart: the term is a subnormal number', 'mx', pair(20), [[0], [100]]),
    scaled('beyond the largest, from the second block on', 'mx', [series(64, () => 0x7e), series(64, () => 0x7e)], [[127, 254], [127, 254]]),
    scaled('a scale that is NaN', 'mx', pair(64), [[127, 255], [127, 127]]),
    scaled('a weight\'s scale that is NaN, of zeros', 'mx', [series(32, () => 0), series(32, () => 0)], [[127], [255]]),
    scaled('an infinite scale', 'block', pair(130), [[0x3f800000, 0x7f800000], [0x3f800000, 0x3f800000]]),
  ];
};

const norms = (): NormCase[] => {
  const next = words(103);
  const rows: readonly { readonly name: string; readonly x: readonly number[]; readonly epsilon: number }[] = [
    ...[1, 2, 15, 16, 17, 33, 100, 128].map((n) => ({ name: `random, ${n}`, x: bf16Codes(next, n, 6, 3), epsilon: 1e-5 })),
    { name: 'carry at 2^24 in a lane: ones after 2^12, lost one by one', x: [0x4580, ...series(63, () => 0x3f80)], epsilon: 1e-6 },
    { name: 'and in the tree: a lane of 2^12 and fifteen of ones', x: [0x4580, ...series(15, () => 0x3f80)], epsilon: 1e-6 },
    { name: 'cancellation: values that differ in their last bit', x: series(32, (i) => 0x4780 + (i % 2)), epsilon: 1e-5 },
    { name: 'cancellation: equal values', x: series(20, () => 0x42c9), epsilon: 1e-5 },
    { name: 'subnormal values, whose squares are 0', x: series(18, (i) => i + 1), epsilon: 1e-12 },
    { name: 'squares among the subnormals, no epsilon', x: series(18, (i) => 0x1f00 + i), epsilon: 0 },
    { name: 'squares beyond the largest: everything is 0', x: [0x7f00, 0xff7f, 0x3f80], epsilon: 1e-5 },
    { name: 'zeros keep their sign', x: [0x0000, 0x8000, 0x0000], epsilon: 1e-5 },
    { name: 'zeros without epsilon', x: [0x0000, 0x8000], epsilon: 0 },
    { name: 'one NaN is all NaN', x: [0x3f80, 0x7fc0, 0x4000], epsilon: 1e-5 },
    { name: 'an infinity', x: [0x3f80, 0xff80, 0x4000], epsilon: 1e-5 },
  ];
  return rows.flatMap(({ name, x, epsilon }) =>
    (['rms', 'layer'] as const).map((kind) => {
      const [gamma, beta] = [widened(bf16Codes(next, x.length, 2, 1)), widened(bf16Codes(next, x.length, 4, 1))];
      const e = singleOf(epsilon);
      const out = norm(widened(x), e, gamma, kind === 'layer' ? beta : undefined);
      return { name, kind, epsilon: pack('f32', [e]), x: pack('bf16', x), gamma: pack('f32', gamma), beta: kind === 'layer' ? pack('f32', beta) : '', out: pack('f32', out) };
    }),
  );
};

const ropes = (): RopeCase[] => {
  const next = words(107);
  const usual = [1, 0.1778279410038923, 0.03162277660168379, 0.005623413251903491];
  const rows: readonly { readonly name: string; readonly frequencies: readonly number[]; readonly position: number; readonly x: readonly number[] }[] = [
    ...[0, 1, 2, 1000, 131071].map((position) => ({ name: `random, position ${position}`, frequencies: usual, position, x: bf16Codes(next, 8, 4, 3) })),
    { name: 'part of a head, the rest copied', frequencies: usual.slice(0, 2), position: 77, x: bf16Codes(next, 10, 4, 3) },
    { name: 'cancellation: an angle near pi/4 takes a pair of equals to nearly nothing', frequencies: [0.7853981633974483], position: 1, x: [0x3f80, 0x3f80] },
    { name: 'cosine near 0: 355/2 is near an odd multiple of pi/2', frequencies: [0.5], position: 355, x: [0x4049, 0x3f80] },
    { name: 'zeros of either sign', frequencies: [1, 1], position: 3, x: [0x0000, 0x8000, 0x8000, 0x8000] },
    { name: 'subnormals', frequencies: [1, 1], position: 3, x: [0x0001, 0x8003, 0x007f, 0x0080] },
    { name: 'beyond the largest', frequencies: [0.5], position: 1, x: [0x7f7f, 0xff7f] },
    { name: 'NaN stays in its pair', frequencies: [1, 1], position: 3, x: [0x7fc0, 0x3f80, 0x3f80, 0x3f80] },
    { name: 'infinities meet', frequencies: [1], position: 3, x: [0x7f80, 0x7f80] },
    { name: 'infinity times sine 0', frequencies: [1], position: 0, x: [0x7f80, 0x3f80] },
  ];
  return rows.flatMap(({ name, frequencies, position, x }) =>
    [false, true].map((interleaved) => {
      const table = turns(frequencies, position);
      return { name, interleaved, frequencies, position, x: pack('bf16', x), table: pack('f32', table), out: pack('f32', rope(widened(x), table, interleaved)) };
    }),
  );
};

const quantises = (): QuantiseCase[] => {
  const next = words(109);
  const rows: readonly { readonly name: string; readonly x: readonly number[] }[] = [
    ...[1, 7, 16, 100].map((n) => ({ name: `random, ${n}`, x: bf16Codes(next, n, 8, 4) })),
    { name: 'every exponent', x: bf16Codes(next, 128, 126, 127) },
    { name: 'zeros: the scale is 1', x: [0x0000, 0x8000, 0x0000] },
    { name: 'scale 1: ties to even, up and down, and beside', x: [0x43e0, 0x3f88, 0x3f98, 0xbf88, 0xbf98, 0x3f89, 0x3f87, 0x4378, 0x4388] },
    { name: 'scale 1: ties of subnormals; half the least is 0', x: [0x43e0, 0x3a80, 0xba80, 0x3b40, 0x3ba0, 0x3a81, 0x3c70] },
    { name: 'a scale that is rounded up: the largest is still 448', x: [0x3f80, 0x4040, 0x4049, 0xc049] },
    { name: 'subnormal values, with a subnormal scale', x: [0x0001, 0x0002, 0x8007, 0x007f] },
    { name: 'the largest values', x: [0x7f7f, 0xff00, 0x7b80] },
    { name: 'NaN: the row is NaN', x: [0x3f80, 0x7fc0, 0x0000] },
    { name: 'an infinity: the finite become 0, the infinite NaN', x: [0x3f80, 0xff80, 0xc000] },
  ];
  return rows.map(({ name, x }) => {
    const { codes, scale } = quantise(widened(x));
    return { name, x: pack('bf16', x), codes: pack('e4m3', codes), scale: pack('f32', [scale]) };
  });
};

const scales = (): ScalesCase[] => {
  const next = words(149);
  const random = (count: number, spread: number): Single[] => series(count, () => ((next() & 0x80000000) | ((127 - (spread >> 1) + (next() % spread)) << 23) | (next() & 0x7fffff)) >>> 0);
  const rows: readonly { readonly name: string; readonly x: readonly Single[] }[] = [
    { name: 'random', x: random(20, 12) },
    { name: 'two blocks of 128 and a short one, of any exponent', x: random(260, 200) },
    { name: 'zeros', x: series(33, (i) => (i % 2) * 0x80000000) },
    { name: 'a row whose scale FP32 cannot hold: all round to 0, or to the least power of two of MX', x: [0x00000001, 0x80000010, 0x00000080] },
    { name: 'a subnormal scale, coarse: the largest saturates', x: [0x00000271, 0x80000271, 0x00000001] },
    { name: 'an infinity: its block has no finite scale', x: [...series(130, () => 0x3f800000), 0xff800000] },
    { name: 'a NaN in the second block of 32', x: [...series(32, () => 0x40000000), 0x3f800000, 0x7fc00000] },
    { name: 'ties, and values halfway beyond the largest', x: [0x43e00000, 0x43e80000, 0x3f880000, 0x3fa00000, 0xbfe00000, 0x47600000, 0x47700000] },
  ];
  return rows.flatMap(({ name, x }) => (['e4m3', 'e5m2'] as const).flatMap((format): ScalesCase[] => {
    const of = (mode: ScalesCase['mode'], pow2: boolean, codes: readonly number[], found: readonly number[]): ScalesCase =>
      ({ name, mode, format, pow2, x: pack('f32', x), codes: pack(format, codes), scales: pack(mode === 'mx' ? 'ue8m0' : 'f32', found) });
    const given = 0x3d000001;
    const mx = quantiseMx(x, format);
    return [
      ...[false, true].flatMap((pow2) => {
        const blocks = quantiseBlocks(x, format, pow2);
        return [of('row', pow2, quantise(x, format, pow2).codes, [scaleOf(x, format, pow2)]), of('block', pow2, blocks.codes, blocks.scales)];
      }),
      of('given', false, codesBy(x, given, format), [given]),
      of('mx', false, mx.codes, mx.scales),
    ];
  }));
};

type HeadCodes = { readonly name: string; readonly format: Format; readonly q: readonly number[]; readonly k: readonly (readonly number[])[]; readonly v: readonly (readonly number[])[]; readonly scale: number; readonly window: number };
/** Codes of values from 2^-3 to 4 or so, of either sign. */
const middling = (next: () => number, format: Format, count: number): number[] => (format === 'bf16' ? bf16Codes(next, count, 3, 1) : series(count, () => (next() & 0x80) | (0x20 + (next() % 0x28))));
const matrixOf = (next: () => number, format: Format, rows: number, columns: number): number[][] => series(rows, (i) => i).map(() => middling(next, format, columns));
const packHead = ({ name, format, q, k, v, scale, window }: HeadCodes) => {
  const packed = (matrix: readonly (readonly number[])[]): Codes[] => matrix.map((row) => pack(format, row));
  return { name, format, scale: pack('f32', [singleOf(scale)]), window, q: pack(format, q), k: packed(k), v: packed(v) };
};
const lowOf = ({ k, window }: HeadCodes): number => (window === 0 ? 0 : Math.max(0, k.length - window));

const attentions = (): AttentionCase[] => {
  const next = words(113);
  const like = (format: Format, name: string, keys: number, d: number, window = 0): HeadCodes =>
    ({ name, format, q: middling(next, format, d), k: matrixOf(next, format, keys, d), v: matrixOf(next, format, keys, d), scale: 1 / Math.sqrt(d), window });
  /** BF16 keys of one element each, whose scores are their values; values of one element. */
  const scores = (name: string, k: readonly number[], v: readonly number[]): HeadCodes => ({ name, format: 'bf16', q: [0x3f80], k: k.map((code) => [code]), v: v.map((code) => [code]), scale: 1, window: 0 });
  /** As `scores`, of two elements that are added; FP32(ln 2) makes them exponents of two. */
  const exponents = (name: string, k: readonly (readonly [number, number])[], v: readonly number[]): HeadCodes => ({ name, format: 'bf16', q: [0x3f80, 0x3f80], k, v: v.map((code) => [code, 0x3f80]), scale: 0.6931471805599453, window: 0 });
  const given: readonly HeadCodes[] = [
    ...(['e4m3', 'bf16'] as const).flatMap((format) => [
      like(format, 'one key', 1, 4),
      like(format, 'three keys', 3, 8),
      like(format, 'a whole block', 128, 4),
      like(format, 'a block and one key', 129, 4),
      like(format, 'three blocks', 300, 4),
      like(format, 'a window within the last block', 300, 4, 20),
      like(format, 'a window over a block\'s edge: the first block is skipped', 300, 4, 100),
      like(format, 'a window of one key', 130, 4, 1),
    ]),
    scores('equal scores: the mean', [0x4000, 0x4000, 0x4000], [0x3f80, 0x4000, 0x4080]),
    scores('rising scores over blocks: the earlier are scaled down', series(140, (i) => (i < 128 ? 0x3f80 : 0x4120)), series(140, (i) => 0x3f80 + (i % 64))),
    scores('falling scores over blocks', series(140, (i) => (i < 128 ? 0x4120 : 0x3f80)), series(140, (i) => 0x3f80 + (i % 64))),
    scores('weights below 2^-18 are 0, even for large values', [0x4120, 0xc0a0, 0xc0c0], [0x3f80, 0x7f00, 0x7f00]),
    exponents('a weight of 2^-18 counts', [[0, 0], [0xc190, 0]], [0x3f80, 0x4d00]),
    exponents('a weight BF16 rounds up to 2^-18 counts', [[0, 0], [0xc190, 0xbb00]], [0x3f80, 0x4d00]),
    exponents('a weight BF16 rounds to less than 2^-18 does not', [[0, 0], [0xc190, 0xbb80]], [0x3f80, 0x4d00]),
    exponents('weights are BF16: 2^-2^-9 is 1, 2^-2^-7 is less', [[0, 0], [0xbb00, 0], [0xbc00, 0]], [0x3f80, 0x4000, 0x4040]),
    scores('a score of minus infinity weighs nothing', [0xff80, 0x3f80], [0x4000, 0x3f80]),
    scores('minus infinity alone is NaN', [0xff80], [0x3f80]),
    scores('plus infinity is NaN', [0x7f80, 0x3f80], [0x4000, 0x3f80]),
    scores('a NaN key', [0x3f80, 0x7fc0, 0x3f80], [0x4000, 0x3f80, 0x3f80]),
    scores('a NaN value', [0x3f80, 0x3f80], [0x4000, 0x7fc0]),
    scores('a NaN value of weight 0 is NaN still', [0x4120, 0xc120], [0x4000, 0x7fc0]),
    scores('an infinite value', [0x3f80, 0x3f80], [0x4000, 0xff80]),
    scores('values that cancel', [0x3f80, 0x3f80], [0x4000, 0xc000]),
  ];
  return given.map((one) => {
    const out = attend({ ...one, factor: factorOf(one.scale), low: lowOf(one), high: one.k.length });
    return { ...packHead(one), out: pack('f32', out) };
  });
};

const partsCases = (): PartsCase[] => {
  const next = words(139);
  type Given = HeadCodes & { readonly splitBlocks: number; readonly latentDim?: number };
  type Dims = { readonly d?: number; readonly valueDim?: number; readonly window?: number };
  const like = (format: Format, name: string, keys: number, splitBlocks: number, { d = 4, valueDim = d, window = 0 }: Dims = {}): Given =>
    ({ name, format, q: middling(next, format, d), k: matrixOf(next, format, keys, d), v: matrixOf(next, format, keys, valueDim), scale: 1 / Math.sqrt(d), window, splitBlocks });
  const latent = (format: Format, name: string, keys: number, splitBlocks: number): Given => ({ ...like(format, name, keys, splitBlocks, { d: 12, valueDim: 0 }), v: [], latentDim: 8 });
  /** BF16 keys of one element each, whose scores are their values, 128 of each; values of one element. */
  const scores = (name: string, parts: readonly number[]): Given => {
    const k = parts.flatMap((code) => series(128, () => code)).map((code) => [code]);
    return { name, format: 'bf16', q: [0x3f80], k, v: k.map((_, i) => [0x3f80 + (i % 64)]), scale: 1, window: 0, splitBlocks: 1 };
  };
  const given: readonly Given[] = [
    ...(['e4m3', 'bf16'] as const).flatMap((format) => [
      like(format, 'two parts', 200, 1),
      like(format, 'two parts and one key', 257, 1),
      like(format, 'parts of two blocks', 300, 2),
      like(format, 'one part: as if not split', 130, 2),
      like(format, 'a window beyond the first part', 200, 1, { window: 50 }),
      like(format, 'a window over an edge of parts', 200, 1, { window: 100 }),
      like(format, 'values wider than keys', 130, 0, { valueDim: 8 }),
      like(format, 'values narrower than keys, split', 130, 1, { d: 8, valueDim: 3 }),
      latent(format, 'latents', 130, 0),
      latent(format, 'latents, split', 130, 1),
    ]),
    scores('rising scores over parts', [0x3f80, 0x40a0, 0x4120]),
    scores('falling scores over parts', [0x4120, 0x40a0, 0x3f80]),
    scores('equal scores over parts', [0x4040, 0x4040, 0x4040]),
    scores('a part so much lower that it weighs nothing', [0x4120, 0xc378]),
    scores('a part of scores of minus infinity is NaN', [0x3f80, 0xff80]),
    scores('and so is one before the others', [0xff80, 0x3f80]),
    scores('a part of NaN', [0x3f80, 0x7fc0, 0x3f80]),
  ];
  return given.map((one) => {
    const { splitBlocks, latentDim } = one;
    const v = latentDim === undefined ? one.v : one.k.map((row) => row.slice(0, latentDim));
    const out = attend({ ...one, v, factor: factorOf(one.scale), low: lowOf(one), high: one.k.length }, splitBlocks === 0 ? undefined : 128 * splitBlocks);
    return { ...packHead(one), splitBlocks, out: pack('f32', out) };
  });
};

const formulas = { sigmoid, silu, gelu, gelu_tanh: geluTanh, tanh } as const;

const functions = (): FunctionCase[] => {
  const next = words(127);
  const x = [...series(40, () => ((next() & 0x80000000) | ((107 + (next() % 28)) << 23) | (next() & 0x7fffff)) >>> 0), ...[0.5, 1, 2, 8, 20, 88, 100, 120].flatMap((v) => [singleOf(v), singleOf(-v)])];
  const of = (name: FunctionCase['name'], f: (code: Single) => Single): FunctionCase => ({ name, x: pack('f32', x), out: pack('f32', x.map(f)) });
  return [
    of('exp2', (code) => single(exp2Value(exact(code)))),
    ...(Object.keys(formulas) as (keyof typeof formulas)[]).map((name) =>
      of(name, (code) => {
        const value = exact(code);
        if (value.kind !== 'finite') throw new Error('the inputs are numbers');
        const y = single(valueOf(formulas[name](fixedOf(value))));
        return y === 0 && value.negative && name !== 'sigmoid' ? 0x80000000 : y;
      }),
    ),
  ];
};

/** Every micro-operation on random numbers, and on pairs of edges those that are IEEE operations: others are nearly correctly rounded. Then chains. */
const maps = (): MapCase[] => {
  const next = words(139);
  const random = (): Single => ((next() & 0x80000000) | ((117 + (next() % 20)) << 23) | (next() & 0x7fffff)) >>> 0;
  const edge = (): Single => edges[next() % edges.length]!;
  const of = (name: string, functions: MapCase['functions'], operands: 2 | 3, code: () => Single): MapCase => {
    const [x, y, z] = [0, 1, 2].map(() => series(24, code)) as [Single[], Single[], Single[]];
    const out = x.map((t, i) => chain(functions, t, operands === 2 ? [y[i]!] : [y[i]!, z[i]!]));
    return { name, functions, x: pack('f32', x), y: pack('f32', y), z: operands === 2 ? '' : pack('f32', z), out: pack('f32', out) };
  };
  return [
    ...vectorFunctions.flatMap((name) => [...(name in accuracy ? [] : [of(`${name}, edges`, [name, 'copy', 'copy'], 2, edge)]), of(name, [name, 'copy', 'copy'], 2, random)]),
    of('a gate', ['silu', 'multiply', 'copy'], 2, random),
    of('x y + y: a second function of two operands takes y again', ['multiply', 'add', 'copy'], 2, random),
    of('the square of a relu, less y', ['relu', 'square', 'subtract'], 2, random),
    of('scale and shift', ['multiply', 'add', 'copy'], 3, random),
    of('a third function of two operands takes z again', ['subtract', 'multiply', 'add'], 3, random),
    of('bounds', ['maximum', 'minimum', 'negate'], 3, random),
    of('of edges', ['divide', 'multiply', 'absolute'], 3, edge),
  ];
};

const converts = (): ConvertCase[] => {
  const next = words(131);
  const special = [0, 1, 0x7fffff, 0x800000, 0x7f7f7fff, 0x7f7f8000, 0x7f7fffff, 0x7f800000, 0x43e00000, 0x43e7ffff, 0x43e80000, 0x43e80001, 0x43f00000, 0x3a800000, 0x3a800001, 0x3b400000, 0x3f880000, 0x3f880001, 0x3f87ffff, 0x3f980000, 0x3f808000, 0x3f818000, 0x3f808001, 0x3f807fff];
  const x = [...special.flatMap((code) => [code, code + 0x80000000]), 0x7fc00000, ...series(64, () => ((next() & 0x80000000) | ((115 + (next() % 24)) << 23) | (next() & 0x7fffff)) >>> 0)];
  return (['bf16', 'e4m3'] as const).map((name) => ({ name, x: pack('f32', x), out: pack(name, x.map((code) => stored(layouts[name], code))) }));
};

const samples = (): SampleCase[] => {
  const next = words(137);
  type Given = Omit<SampleCase, 'logits' | 'temperature' | 'topP' | 'token'> & { readonly logits: readonly Single[]; readonly temperature: number; readonly topP: number };
  const random = (count: number): Single[] => series(count, () => single(decode(bf16, BigInt(bf16Codes(next, 1, 2, 2)[0]!))));
  const like = (name: string, logits: readonly Single[], temperature: number, topK: number, topP: number): Given => ({ name, logits, temperature, topK, topP, seed: [next(), next()], position: next() % 4096 });
  const ties = [1, 3, 3, 2, 3].map(singleOf);
  const given = [
    ...series(6, () => 0).map(() => like('random', random(50), 1, 0, 1)),
    ...series(4, () => 0).map(() => like('random, 5 candidates', random(50), 0.75, 5, 1)),
    ...series(4, () => 0).map(() => like('random, half the probability', random(50), 1.25, 0, 0.5)),
    ...series(4, () => 0).map(() => like('random, both', random(50), 2, 20, 0.875)),
    ...series(4, () => 0).map(() => like('ties: two candidates of three equals, the lowest ids', ties, 1, 2, 1)),
    ...series(4, () => 0).map(() => like('ties: the part of two of three equals', ties, 0.0625, 0, 0.6)),
    like('one candidate', random(20), 1, 1, 1),
    like('a temperature so low that only the largest has weight', random(20), 0.001, 0, 1),
    like('equal logits', random(1).flatMap((code) => series(17, () => code)), 1, 0, 1),
  ];
  return given.map(({ logits, temperature, topP, ...rest }) => ({
    ...rest, logits: pack('f32', logits), temperature: pack('f32', [singleOf(temperature)]), topP: pack('f32', [singleOf(topP)]),
    token: naiveSample(logits, { ...rest, temperature: fromSingleBits(singleOf(temperature)), topP: fromSingleBits(singleOf(topP)) }, rest.position),
  }));
};

export type Packs = { readonly dot: DotCase; readonly product: ProductCase; readonly norm: NormCase; readonly rope: RopeCase; readonly quantise: QuantiseCase; readonly attention: AttentionCase; readonly parts: PartsCase; readonly functions: FunctionCase; readonly convert: ConvertCase; readonly map: MapCase; readonly scales: ScalesCase; readonly sample: SampleCase };

/** Makes the cases of each pack, from the oracle alone. */
export const makers: { readonly [O in keyof Packs]: () => Packs[O][] } = { dot: dots, product: products, norm: norms, rope: ropes, quantise: quantises, attention: attentions, parts: partsCases, functions, convert: converts, map: maps, scales, sample: samples };

/** SHA-256 of the cases as compact JSON. */
export const digest = (cases: readonly unknown[]): string => createHash('sha256').update(JSON.stringify(cases)).digest('hex');

/** A pack as it is committed, a case a line. */
export const packText = (op: string, cases: readonly unknown[]): string =>
  `{\n"op": ${JSON.stringify(op)},\n"version": 1,\n"sha256": "${digest(cases)}",\n"cases": [\n${cases.map((one) => JSON.stringify(one)).join(',\n')}\n]\n}\n`;
