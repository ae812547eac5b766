import { amaxOfRows, bf16Rows, type Grid, quantiseRows } from '../isa-spec/numerics-rows.ts';
import { type Code, define, either, f32x4, i16x8, i32, i32x4, i8x16, type Local, locals, loopUp, v128 } from '../wasm/assembler.ts';
import { growTo, instances } from '../wasm/host.ts';
import { newRoom, type Numbers, type Room, sameRoom } from './weights.ts';

/**
 * Memory for source tensors in which WebAssembly SIMD finds them: what is read into such a room and is FP32 is scaled and encoded where
 * it lies. The results are those of `numerics-rows.ts`, to the bit, which does it for all other data and where there is no SIMD.
 */

/** Elements lie in runs, one after the other: `runs` of `count` each, `pitch` bytes apart. A scale is an element's place in its run (`across`), or its run's (`along`). */
const ways = ['across', 'along'] as const;
type Way = (typeof ways)[number];

const magnitudeOf = (x: Code): Code => v128.and(x, i32x4.const(0x7fffffff));

/** `amax*(from, pitch, runs, count, to)`: the largest magnitudes of places, `count` of them; or of runs, in four parts each. NaN is none. */
const amax = <const W extends Way>(way: W) => define(`${way}Amax`, 5, ([from, pitch, runs, count, to], local) => {
  const [run, i, at] = locals(3, () => local('i32'));
  const most = local('v128');
  const across = way === 'across';
  return loopUp(run, i32.const(0), runs.get, 1, [
    ...(across ? at.set(to.get) : most.set(i32x4.const(0))),
    ...loopUp(i, i32.const(0), count.get, 4, [
      ...(across ? most.set(v128.load(at.get)) : []),
      ...most.set(f32x4.pmax(most.get, magnitudeOf(v128.load(i32.add(from.get, i32.shl(i.get, i32.const(2))))))),
      ...(across ? [...v128.store(at.get, most.get), ...at.step(16)] : []),
    ]),
    ...(across ? [] : [...v128.store(to.get, most.get), ...to.step(16)]),
    ...from.step(pitch.get),
  ]);
});

/** FP32 bits where E4M3 becomes normal, and of infinity; 2^14, near which FP32 is as far apart as E4M3's subnormals; the codes' exponent bias less FP32's. */
const [normalFrom, infinity, subnormalRounder, subnormalRounderBits, rebias] = [0x3c800000, 0x7f800000, 2 ** 14, 0x46800000, 960];

/** The E4M3 codes of four quotients, a lane each. */
const encodeFour = (quotient: Local, magnitude: Local): Code => {
  const odd = v128.and(i32x4.shrU(magnitude.get, i32.const(20)), i32x4.const(1));
  const normal = i32x4.sub(i32x4.shrU(i32x4.add(i32x4.add(magnitude.get, i32x4.const(0x7ffff)), odd), i32.const(20)), i32x4.const(rebias));
  const subnormal = i32x4.sub(f32x4.add(magnitude.get, f32x4.const(subnormalRounder)), i32x4.const(subnormalRounderBits));
  const sign = v128.and(i32x4.shrU(quotient.get, i32.const(24)), i32x4.const(0x80));
  const finite = v128.or(sign, v128.select(subnormal, i32x4.minS(normal, i32x4.const(0x7e)), i32x4.gtS(i32x4.const(normalFrom), magnitude.get)));
  return v128.select(i32x4.const(0x7f), finite, i32x4.gtS(magnitude.get, i32x4.const(infinity)));
};

/** Codes of four quotients, where they are normal: the sign in bit 11 and above, the rest in 11 bits below, which are those of no normal code if the quotient is none. */
const encodeNormal = (quotient: Local): Code =>
  i32x4.shrS(i32x4.add(i32x4.add(quotient.get, i32x4.const(0x7ffff - rebias * 2 ** 20)), v128.and(i32x4.shrU(quotient.get, i32.const(20)), i32x4.const(1))), i32.const(20));
/** Lower or upper bytes of sixteen codes. */
const bytesOf = (half: 'lower' | 'upper', x: Local, y: Local): Code => v128.shuffle(x.get, y.get, Array.from({ length: 16 }, (_, i) => 2 * i + (half === 'lower' ? 0 : 1)));
/** Where sixteen codes, by their bytes, are not among the normal ones, 8 to 126. */
const notNormal = (lower: Local, upper: Local): Code => v128.or(i8x16.subSatU(i8x16.sub(lower.get, i8x16.const(8)), i8x16.const(0x7e - 8)), v128.and(upper.get, i8x16.const(7)));

/** `quantise*(from, pitch, runs, count, scales, to)`: codes of runs, each from a multiple of 16 bytes on. Beyond a run, what lies there is read. */
const quantise = <const W extends Way>(way: W) => define(`${way}Quantise`, 6, ([from, pitch, runs, count, scales, to], local) => {
  const [run, i, at] = locals(3, () => local('i32'));
  const four = locals(4, () => local('v128'));
  const [magnitude, scale, x, y, lower, upper] = locals(6, () => local('v128'));
  const [a, b, c, d] = four;
  const place = (list: Local): Code => i32.add(list.get, i32.shl(i.get, i32.const(2)));
  return loopUp(run, i32.const(0), runs.get, 1, [
    ...(way === 'along' ? [...scale.set(v128.load32Splat(scales.get)), ...scales.step(4)] : []),
    ...loopUp(i, i32.const(0), count.get, 16, [
      ...at.set(place(from)),
      ...four.flatMap((quotient, part) => quotient.set(f32x4.div(v128.load(at.get, 16 * part), way === 'along' ? scale.get : v128.load(place(scales), 16 * part)))),
      ...x.set(i16x8.narrow(encodeNormal(a), encodeNormal(b))),
      ...y.set(i16x8.narrow(encodeNormal(c), encodeNormal(d))),
      ...lower.set(bytesOf('lower', x, y)),
      ...upper.set(bytesOf('upper', x, y)),
      ...either(
        v128.any(notNormal(lower, upper)),
        [
          ...four.flatMap((quotient) => [...magnitude.set(magnitudeOf(quotient.get)), ...quotient.set(encodeFour(quotient, magnitude))]),
          ...v128.store(to.get, i8x16.narrow(i16x8.narrow(a.get, b.get), i16x8.narrow(c.get, d.get))),
        ],
        v128.store(to.get, v128.or(lower.get, v128.and(upper.get, i8x16.const(0x80)))),
      ),
      ...to.step(16),
    ]),
    ...from.step(pitch.get),
  ]);
});

/** The BF16 codes of four numbers, a lane each: to nearest even, where infinity stays what it is. */
const roundFour = (bits: Local): Code => {
  const odd = v128.and(i32x4.shrU(bits.get, i32.const(16)), i32x4.const(1));
  const rounded = i32x4.shrU(i32x4.add(i32x4.add(bits.get, i32x4.const(0x7fff)), odd), i32.const(16));
  return v128.select(i32x4.const(0x7fc0), rounded, i32x4.gtS(magnitudeOf(bits.get), i32x4.const(infinity)));
};

/** `bf16(from, pitch, runs, count, to)`: as `quantise*`, without scales. */
const bf16 = () => define('bf16', 5, ([from, pitch, runs, count, to], local) => {
  const [run, i] = locals(2, () => local('i32'));
  const [low, high] = locals(2, () => local('v128'));
  const code = (four: Local, offset: number): Code => [...four.set(v128.load(i32.add(from.get, i32.shl(i.get, i32.const(2))), offset)), ...four.set(roundFour(four))];
  return loopUp(run, i32.const(0), runs.get, 1, [
    ...loopUp(i, i32.const(0), count.get, 8, [...code(low, 0), ...code(high, 16), ...v128.store(to.get, i16x8.narrowU(low.get, high.get)), ...to.step(16)]),
    ...from.step(pitch.get),
  ]);
});

const kernelsOf = instances(() => [amax('across'), amax('along'), quantise('across'), quantise('along'), bf16()]);
type Kernels = NonNullable<ReturnType<typeof kernelsOf>>['functions'];

/** What each memory starts with: scales or magnitudes, and codes. So much of a matrix is taken at once. */
const [mostCount, mostRuns, codeBytes] = [4096, 4096, 1 << 17];
const codesAt = 16 * Math.max(mostCount, mostRuns);
const valuesAt = codesAt + codeBytes;
/** What may be read beyond a run of values. */
const slack = 64;
/** Addresses are signed. */
const mostBytes = 2 ** 31 - valuesAt - slack - 2 ** 16;

const rooms = new WeakMap<object, Kernels>();

/** A room of its own. Megabytes taken anew for every tensor would be what the time goes to. */
export function reused(): Room {
  let instance: ReturnType<typeof kernelsOf>;
  return sameRoom((bytes) => {
    instance ??= kernelsOf();
    if (instance === undefined || bytes > mostBytes) return newRoom(bytes);
    growTo(instance.memory, valuesAt + bytes + slack);
    rooms.set(instance.memory.buffer, instance.functions);
    return new Uint8Array(instance.memory.buffer, valuesAt, bytes);
  });
}

/** A part of a matrix in a room: where its runs lie, and which rows or columns they are. */
type Block = { readonly at: number; readonly run: number; readonly runs: number; readonly first: number; readonly count: number };
type Runs = { readonly way: Way; readonly pitch: number; readonly kernels: Kernels; readonly buffer: ArrayBuffer; readonly blocks: readonly Block[] };

/** A matrix as runs of a room; undefined if it is in none, or its elements lie apart. */
function runsOf({ data, at, row, column }: Grid<Numbers>, rows: number, columns: number): Runs | undefined {
  const kernels = data instanceof Float32Array ? rooms.get(data.buffer) : undefined;
  if (kernels === undefined || (row !== 1 && column !== 1)) return undefined;
  const way = column === 1 ? 'along' : 'across';
  const [runs, count, apart] = way === 'along' ? [rows, columns, row] : [columns, rows, column];
  const blocks: Block[] = [];
  for (let first = 0; first < count; first += mostCount) {
    const part = Math.min(mostCount, count - first);
    const step = Math.min(mostRuns, Math.floor(codeBytes / (2 * padded(part, 16))));
    for (let run = 0; run < runs; run += step) blocks.push({ at: data.byteOffset + 4 * (at + run * apart + first), run, runs: Math.min(step, runs - run), first, count: part });
  }
  return { way, pitch: 4 * apart, kernels, buffer: data.buffer as ArrayBuffer, blocks };
}

const padded = (count: number, to: number): number => to * Math.ceil(count / to);

/** As `amaxOfRows`. */
export function amaxOf(from: Grid<Numbers>, rows: number, columns: number): Float32Array {
  const found = runsOf(from, rows, columns);
  if (found === undefined || (found.way === 'along' && columns % 4 !== 0)) return amaxOfRows(from, rows, columns);
  const { way, pitch, kernels, buffer, blocks } = found;
  const amax = new Float32Array(rows);
  for (const { at, run, runs, first, count } of blocks) {
    const most = new Float32Array(buffer, 0, 4 * (way === 'along' ? runs : Math.ceil(count / 4))).fill(0);
    kernels[`${way}Amax`](at, pitch, runs, count, 0);
    if (way === 'along') for (let r = 0; r < 4 * runs; r++) amax[run + (r >> 2)] = Math.max(amax[run + (r >> 2)]!, most[r]!);
    else for (let r = 0; r < count; r++) amax[first + r] = Math.max(amax[first + r]!, most[r]!);
  }
  return amax;
}

/** As `quantiseRows`. */
export function quantiseFrom(from: Grid<Numbers>, scales: Float32Array, to: Grid<Uint8Array>, rows: number, columns: number): void {
  const found = runsOf(from, rows, columns);
  if (found === undefined) return quantiseRows(from, scales, to, rows, columns);
  const { way, pitch, kernels, buffer, blocks } = found;
  for (const block of blocks) {
    const { at, run, runs, first, count } = block;
    new Float32Array(buffer).set(way === 'along' ? scales.subarray(run, run + runs) : scales.subarray(first, first + count));
    kernels[`${way}Quantise`](at, pitch, runs, count, 0, codesAt);
    place(new Uint8Array(buffer, codesAt, runs * padded(count, 16)), block, way, to);
  }
}

/** As `bf16Rows`. */
export function bf16From(from: Grid<Numbers>, to: Grid<Uint16Array>, rows: number, columns: number): void {
  const found = runsOf(from, rows, columns);
  if (found === undefined) return bf16Rows(from, to, rows, columns);
  const { way, pitch, kernels, buffer, blocks } = found;
  for (const block of blocks) {
    const { at, runs, count } = block;
    kernels.bf16(at, pitch, runs, count, codesAt);
    place(new Uint16Array(buffer, codesAt, runs * padded(count, 8)), block, way, to);
  }
}

/** Copies the codes of a block's runs, each padded alike, to where they belong. */
function place<Codes extends Uint8Array | Uint16Array>(codes: Codes, { run, runs, first, count }: Block, way: Way, to: Grid<Codes>): void {
  const [runStep, step] = way === 'along' ? [to.row, to.column] : [to.column, to.row];
  const pitch = codes.length / runs;
  const start = to.at + run * runStep + first * step;
  if (step === 1 && runStep === pitch && count === pitch) return to.data.set(codes, start);
  for (let r = 0; r < runs; r++) {
    if (step === 1) to.data.set(codes.subarray(r * pitch, r * pitch + count), start + r * runStep);
    else for (let i = 0, at = start + r * runStep; i < count; i++, at += step) to.data[at] = codes[r * pitch + i]!;
  }
}
