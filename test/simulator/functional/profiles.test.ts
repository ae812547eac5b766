import { describe, expect, test } from 'vitest';
import type { Format } from '../../../isa-spec/fields.ts';
import type { Machine } from '../../../isa-spec/machine.ts';
import { tiny } from '../../../isa-spec/machines/tiny.ts';
import { dotBlocks, dotChained, dotExact, dotMx } from '../../../isa-spec/numerics-dots.ts';
import { decodeE5m2 } from '../../../isa-spec/numerics-formats.ts';
import { decodeBf16, decodeE4m3 } from '../../../isa-spec/numerics.ts';
import type { MatrixFormat } from '../../../isa-spec/profiles.ts';
import { encodeStepBlock } from '../../../isa-spec/step-block.ts';
import { createMachineState, imageSource, type Kernels, readHbm } from '../../../simulator/functional/machine-state.ts';
import { runStep } from '../../../simulator/functional/run.ts';
import { singleBits, words } from '../../numerics/bits.ts';
import { all, at, emptyStep, faultOf, hbmAt, ins, programOf, token } from './harness.ts';

/** Arrays of 8 x 8, of which a block takes several k-tiles, or of 64 x 64, in which there are two MX blocks; 64 KiB of SRAM in lines of 8 bytes. */
const machineOf = (side: number): Machine => {
  const quantity = (value: number) => ({ ...tiny.sram.bytes, value });
  return { ...tiny, arrays: { ...tiny.arrays, size: quantity(side) }, sram: { ...tiny.sram, bytes: quantity(2 ** 18) } };
};
const lineBytes = 8;
const [weightsAt, rowScalesAt, weightScalesAt, outAt] = [4096, 24576, 28672, 30720];

const bytes = { e4m3: 1, e5m2: 1, ue8m0: 1, bf16: 2, f32: 4 } as const;
type Stored = keyof typeof bytes;
const decoders: { readonly [F in MatrixFormat]: (code: number) => number } = { e4m3: decodeE4m3, e5m2: decodeE5m2, bf16: decodeBf16 };
const linesOf = (format: Stored, count: number): number => Math.ceil((count * bytes[format]) / lineBytes);

type Rows = readonly (readonly number[])[];
type Case = {
  readonly side: number; readonly format: MatrixFormat; readonly weightFormat: MatrixFormat; readonly scaling?: 'block' | 'mx';
  /** k of each product; the sums go on from one to the next. */
  readonly chunks: readonly number[];
  /** Codes: rows of activations, and of weights (k by columns); FP32 numbers or UE8M0 codes of their blocks. */
  readonly a: Rows; readonly w: Rows; readonly rowScales?: Rows; readonly weightScales?: Rows;
};

/** The sums of a x w, drained in FP32, in two groups of arrays with two tile columns each. */
const sumsOf = ({ side, format, weightFormat, scaling, chunks, a, w, rowScales = [], weightScales = [] }: Case, kernels: Kernels): number[][] => {
  const [m, n] = [a.length, w[0]!.length];
  const memory = new Uint8Array(2 ** 18).fill(0xff);
  const view = new DataView(memory.buffer);
  const put = (stored: Stored, line: number, codes: readonly number[]): void =>
    codes.forEach((code, i) => {
      const offset = line * lineBytes + i * bytes[stored];
      if (stored === 'f32') view.setFloat32(offset, code, true);
      else if (stored === 'bf16') view.setUint16(offset, code, true);
      else view.setUint8(offset, code);
    });
  const pitch = linesOf(format, w.length);
  a.forEach((row, r) => put(format, r * pitch, row));
  const tileRow = linesOf(weightFormat, side);
  const nTiles = 2;
  const scaleFormat = scaling === 'mx' ? 'ue8m0' : 'f32';
  const block = scaling === 'mx' ? 32 : 128;
  rowScales.forEach((row, r) => put(scaleFormat, rowScalesAt + r * 64, row));
  const scaleLines = linesOf(scaleFormat, scaling === 'mx' ? nTiles * side : Math.ceil((nTiles * side) / 128));
  weightScales.forEach((row, i) => put(scaleFormat, weightScalesAt + i * scaleLines, row));
  let [line, from] = [weightsAt, 0];
  const parts = chunks.map((k, number) => {
    const kTiles = Math.ceil(k / side);
    const [src, first] = [line, from];
    for (let kt = 0; kt < kTiles; kt++) for (let nt = 0; nt < nTiles; nt++) for (let i = 0; i < side; i++, line += tileRow) put(weightFormat, line, Array.from({ length: side }, (_, c) => (kt * side + i < k ? (w[first + kt * side + i]?.[nt * side + c] ?? 0) : 0)));
    from += k;
    const given = (address: number, pitched: object): object => (scaling === undefined ? {} : { scaling, scales: at(address), ...pitched });
    const loads = given(weightScalesAt + (first / block) * scaleLines, {});
    const scales = given(rowScalesAt + (first / block) * bytes[scaleFormat] / lineBytes, { scalePitch: 64 });
    const mixed = weightFormat === format ? {} : { weightFormat };
    return {
      wld: ins('wld', { format: weightFormat, src: at(src), kTiles, nTiles, split: 1, ...loads }),
      mm: ins('mm', { format, ...mixed, accumulate: number === 0 ? 'no' : 'yes', split: 1, a: at(first * bytes[format] / lineBytes), pitch, acc: at(0), kTiles, kLast: k - (kTiles - 1) * side, nTiles, rows: all(m), ...scales }, [], number === chunks.length - 1 ? [token(9)] : []),
    };
  });
  const epi = ins('epi', { format: 'f32', activation: 'none', scale: false, bias: false, residual: false, gated: false, split: 1, acc: at(0), out: at(outAt), pitch: 64, params: at(0), residualAt: at(0), rowScale: 0, nTiles, nLast: n - side, rows: all(m) }, [token(9)], [token(10)]);
  const whole = { lines: 32768, rows: all(1) };
  const wait = (semaphore: number) => ins('sync', { wait2: 0, wait3: 0, wait4: 0, wait5: 0, post2: 0, post3: 0, post4: 0, post5: 0, waitCount2: 0, waitCount3: 0, waitCount4: 0, waitCount5: 0, postCount2: 0, postCount3: 0, postCount4: 0, postCount5: 0 }, [token(semaphore)], []);
  const program = programOf([{
    dma0: [ins('dld', { src: hbmAt('io', 0), srcPitch: 0, dst: at(0), dstPitch: 0, ...whole }, [], [token(1), token(2)])],
    wld: [wait(1), ...parts.map(({ wld }) => wld)],
    mxu: [wait(2), ...parts.map(({ mm }) => mm)],
    epi: [epi],
    dma1: [ins('dst', { src: at(0), srcPitch: 0, dst: hbmAt('io', 32768), dstPitch: 0, ...whole }, [token(10)])],
  }], { machine: machineOf(side), regions: [{ base: 'io', bytes: 2 ** 19 }] });
  const state = createMachineState(program, [imageSource(new Uint8Array(0))], kernels);
  state.chips[0]!.hbm.io!.write(0, memory);
  runStep(state, [encodeStepBlock(emptyStep)]);
  const after = new DataView(readHbm(state, 0, 'io', 2 ** 18 + outAt * lineBytes, m * 64 * lineBytes).buffer);
  return a.map((_, r) => Array.from({ length: n }, (__, c) => after.getFloat32(r * 64 * lineBytes + 4 * c, true)));
};

const matrix = (rows: number, columns: number, make: () => number): number[][] => Array.from({ length: rows }, () => Array.from({ length: columns }, make));
const columnOf = (rows: Rows, c: number): number[] => rows.map((row) => row[c]!);
const same = (got: Rows, want: (r: number, c: number) => number): void => got.forEach((row, r) => row.forEach((y, c) => {
  if (singleBits(y) !== singleBits(want(r, c) + 0)) expect.fail(`row ${r}, column ${c} is ${y}, not ${want(r, c)}`);
}));

const kernels = ['plain', 'simd'] as const;
const formats = ['e4m3', 'e5m2', 'bf16'] as const;
/** Any code, or those of numbers near 1. */
const codes = (format: MatrixFormat, next: () => number, any: boolean) => (): number => {
  if (any) return next() & (format === 'bf16' ? 0xffff : 0xff);
  return format === 'bf16' ? (next() & 0x807f) | ((120 + (next() % 12)) << 7) : (next() & 0x80) | (0x28 + (next() % 0x20));
};

describe.each(kernels)('%s kernels', (kernel) => {
  test.each(formats.flatMap((a) => formats.map((b) => [a, b] as const)))('%s by %s, k in two products, numbers and any codes', (format, weightFormat) => {
    const next = words(61);
    const dot = format === 'e4m3' && weightFormat === 'e4m3' ? dotExact : dotChained;
    for (const side of [8, 64]) for (const any of [false, true]) {
      const chunks = [side * 2, side + 5];
      const k = side * 3 + 5;
      const [a, w] = [matrix(5, k, codes(format, next, any)), matrix(k, side + 6, codes(weightFormat, next, any))];
      same(sumsOf({ side, format, weightFormat, chunks, a, w }, kernel), (r, c) => dot(a[r]!.map(decoders[format]), columnOf(w, c).map(decoders[weightFormat])));
    }
  });

  test.each([8, 64])('scales of blocks of 128, arrays of %i: blocks go on where another product does', (side) => {
    const next = words(63);
    const scale = (): number => Math.fround(2 ** ((next() % 20) - 10) * (1 + (next() % 1000) / 1000));
    const [k, n] = [256 + 128 + 17, side + 6];
    const [a, w] = [matrix(5, k, codes('e4m3', next, false)), matrix(k, n, codes('e4m3', next, false))];
    const [rowScales, weightScales] = [matrix(5, 4, scale), matrix(4, 1, scale)];
    const got = sumsOf({ side, format: 'e4m3', weightFormat: 'e4m3', scaling: 'block', chunks: [256, 128 + 17], a, w, rowScales, weightScales }, kernel);
    same(got, (r, c) => dotBlocks(a[r]!.map(decodeE4m3), columnOf(w, c).map(decodeE4m3), rowScales[r]!, columnOf(weightScales, 0)));
  });

  test.each([8, 64])('MX, arrays of %i', (side) => {
    const next = words(65);
    const code = (): number => 117 + (next() % 20);
    const [k, n] = [256 + 64 + 9, side + 6];
    const [a, w] = [matrix(5, k, codes('e4m3', next, false)), matrix(k, n, codes('e4m3', next, false))];
    const blocks = Math.ceil(k / 32);
    // A scale for each column of both tiles.
    const [rowScales, weightScales] = [matrix(5, blocks, code), matrix(blocks, 2 * side, code)];
    const got = sumsOf({ side, format: 'e4m3', weightFormat: 'e4m3', scaling: 'mx', chunks: [256, 64 + 9], a, w, rowScales, weightScales }, kernel);
    same(got, (r, c) => dotMx(a[r]!.map(decodeE4m3), columnOf(w, c).map(decodeE4m3), rowScales[r]!, columnOf(weightScales, c)));
  });
});

test('weights of another format or scaling than the product expects are a fault', () => {
  const wld = (fields: object) => ins('wld', { format: 'e4m3', src: at(100), kTiles: 1, nTiles: 1, split: 0, ...fields });
  const mm = (fields: object) => ins('mm', { format: 'e4m3', accumulate: 'no', split: 0, a: at(0), pitch: 1, acc: at(0), kTiles: 1, kLast: 8, nTiles: 1, rows: all(1), ...fields });
  const fault = (load: object, product: object): string => faultOf(() => runStep(createMachineState(programOf([{ wld: [wld(load)], mxu: [mm(product)] }]), [imageSource(new Uint8Array(0))]), [encodeStepBlock(emptyStep)])).message;
  const weights: readonly Format[] = ['e5m2', 'bf16'];
  for (const format of weights) expect(fault({ format }, {})).toContain(`multiplies e4m3 1 x 1 tiles split 0, pushed were ${format} 1 x 1`);
  expect(fault({}, { weightFormat: 'e5m2' })).toContain('multiplies e5m2 1 x 1 tiles split 0, pushed were e4m3');
  expect(fault({ scaling: 'mx' }, { scaling: 'block' })).toContain('multiplies e4m3 with block scales 1 x 1 tiles split 0, pushed were e4m3 with mx scales');
  expect(fault({}, { format: 'f32' })).toContain('matrices are e4m3, e5m2 or bf16, not f32');
});
