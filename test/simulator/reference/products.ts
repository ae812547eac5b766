import { move, still } from '../../../isa-spec/encoding.ts';
import type { HbmOperand, SramOperand } from '../../../isa-spec/fields.ts';
import type { Instruction, Queue, StrideSet, Token } from '../../../isa-spec/instructions.ts';
import type { Machine, Quantity } from '../../../isa-spec/machine.ts';
import { tiny } from '../../../isa-spec/machines/tiny.ts';
import { encodeBf16, encodeE4m3 } from '../../../isa-spec/numerics.ts';
import type { Program } from '../../../isa-spec/program.ts';
import { all, at, hbmAt, ins, numbers, programOf, sync, token } from '../functional/harness.ts';

const chosen = (value: number): Quantity => ({ value, provenance: 'assumed', source: 'a machine of few arrays, for the reference' });

/** Arrays of `side` x `side`; SRAM in lines of `side` bytes; HBM of `hbm` bytes a cycle. */
export const machineOf = (arrays: number, side: number, hbm: number): Machine => ({
  ...tiny,
  name: `${arrays} of ${side}`,
  arrays: { count: chosen(arrays), size: chosen(side), bf16Rate: chosen(0.5) },
  accumulatorRows: chosen(128),
  sram: { bytes: chosen(2 ** 17), banks: chosen(2), lineBytes: chosen(side) },
  hbm: { ...tiny.hbm, bytesPerSecond: chosen(hbm * 1e9) },
});

/**
 * `groups` products of `rows` x (`chunks` times `kTiles` tiles), each with weights of one tile of columns of its own, drained to bf16 and
 * stored. `ring`: slots of weights in SRAM, of a chunk each; `sums`: slots of accumulators.
 */
export type Products = {
  readonly side: number;
  readonly format: 'e4m3' | 'bf16';
  readonly rows: number;
  readonly kTiles: number;
  readonly kLast: number;
  /** Arrays that share k, as a power of two: of one product after the other, in turn. */
  readonly kSplits: readonly number[];
  /** Whether blocks of 128 of k have scales. */
  readonly blocks: boolean;
  readonly chunks: number;
  readonly groups: number;
  readonly ring: number;
  readonly sums: 1 | 2;
  /** Rows between slots of accumulators: a bank has 64. */
  readonly apart: number;
  /** Bytes of HBM a cycle. */
  readonly hbm: number;
  /** Lines loaded before the activations: weights wait for these meanwhile. */
  readonly late: number;
  readonly scale: boolean;
  readonly residual: boolean;
  /** A product waits until the results of the one before are stored. */
  readonly dependent: boolean;
  /** False: every iteration is written out, as it is if products differ in `kSplits`. */
  readonly loops: boolean;
  /** Rows the step has: at most so many of `rows` are there. */
  readonly tokens: number;
};
export const usual: Products = { side: 8, format: 'e4m3', rows: 16, kTiles: 4, kLast: 8, kSplits: [0], blocks: false, chunks: 1, groups: 1, ring: 2, sums: 2, apart: 64, hbm: 64, late: 0, scale: false, residual: false, dependent: false, loops: true, tokens: 4096 };

const given = { activations: 1, others: 2, loaded: 3, free: 4, product: 5, drained: 6, result: 7, stored: 8 } as const;
const resultSlots = 2;
const linear = (l2: number, l3: number): StrideSet => ({ strides: [0, 0, l2, l3], ring: still.ring });
const ring = (stride: number, depth: number, l2: number, l3: number): StrideSet => ({ strides: [0, 0, 0, 0], ring: { stride, depth, base: 0, steps: [0, 0, l2, l3] } });
const loop = (level: number, count: number, body: readonly Instruction[], waits: readonly Token[] = []): Instruction[] => [ins('loop', { level, count, body: body.length }, waits), ...body];

/** Where things are in SRAM, and how many lines they take. In HBM's image: activations and scales of their blocks, residual, parameters and row scales, then all weights, each chunk with scales of its blocks. */
function linesOf({ side, format, rows, kTiles, blocks, chunks, groups, ring: slots, late }: Products) {
  const bytes = format === 'bf16' ? 2 : 1;
  const perChunk = blocks ? Math.ceil((kTiles * side) / 128) : 0;
  const size = {
    pitch: chunks * kTiles * bytes, a: rows * chunks * kTiles * bytes, scalePitch: Math.ceil((4 * perChunk) / side), result: 2 * rows, params: 8, rowScale: Math.ceil((4 * rows) / side),
    tiles: kTiles * side * bytes, chunk: kTiles * side * bytes + perChunk,
  };
  const scales = size.a;
  const residual = scales + chunks * rows * size.scalePitch;
  const params = residual + size.result;
  const rowScale = params + size.params;
  const inputs = rowScale + size.rowScale;
  const weights = inputs;
  const out = weights + slots * size.chunk;
  const image = Math.max(late, inputs + groups * chunks * size.chunk);
  return { size, bytes, image, at: { a: 0, scales, residual, params, rowScale, weights, out, idle: out + resultSlots * size.result }, inputs };
}

/** How many arrays share the k of a product, as a power of two. */
const kSplitOf = ({ kSplits, chunks }: Products, group: number, chunk: number): number => kSplits[(group * chunks + chunk) % kSplits.length]!;

/** The same code without loops: every iteration written out, operands where they are in it. Tokens a loop takes are a `sync`'s. */
function unrolled(code: readonly Instruction[], sets: readonly StrideSet[], p: Products): readonly Instruction[] {
  const walk = (from: number, to: number, I: readonly number[]): Instruction[] => {
    const out: Instruction[] = [];
    for (let pc = from; pc < to; pc++) {
      const instruction = code[pc]!;
      if (instruction.op !== 'loop') {
        out.push(placed(instruction, sets, I, p));
        continue;
      }
      const { level, count, body } = instruction.fields;
      if (instruction.waits.length > 0) out.push(sync(instruction.waits, []));
      for (let i = 0; i < count; i++) out.push(...walk(pc + 1, pc + 1 + body, I.with(level, i)));
      pc += body;
    }
    return out;
  };
  return walk(0, code.length, [0, 0, 0, 0]);
}

/** An instruction in iteration `I`, as one outside any loop. */
function placed(instruction: Instruction, sets: readonly StrideSet[], I: readonly number[], p: Products): Instruction {
  const fields = Object.fromEntries(
    Object.entries(instruction.fields).map(([name, value]) => {
      if (name === 'accumulate' && value === 'first') return [name, I[3] === 0 ? 'no' : 'yes'];
      if (name === 'kSplit') return [name, kSplitOf(p, I[2]!, I[3]!)];
      if (typeof value !== 'object' || !('ss' in value) || value.ss === 0) return [name, value];
      const by = move(sets[value.ss - 1]!, I);
      return [name, 'off' in value ? { ...value, off: value.off + by, ss: 0 } : { addr: value.addr + by, ss: 0 }];
    }),
  );
  return { ...instruction, fields } as unknown as Instruction;
}

/** The program, and the image of its weight region. */
export function programFor(p: Products): { readonly program: Program; readonly image: Uint8Array } {
  const { side, format, kTiles, chunks, groups } = p;
  const { size, bytes, image, at: where, inputs } = linesOf(p);
  const rows = { max: p.rows, reg: 1, level: 0 };
  const stepRows = ins('sreg', { reg: 1, count: 'tokens' });
  const load = (src: HbmOperand, dst: SramOperand, lines: number, waits: readonly Token[], posts: readonly Token[]): Instruction =>
    ins('dld', { src, srcPitch: lines, dst, dstPitch: lines, lines, rows: all(1) }, waits, posts);
  const perChunk = (body: Instruction): Instruction[] => loop(2, groups, loop(3, chunks, [body]));
  const shared = { format, kTiles, kSplit: kSplitOf(p, 0, 0), nTiles: 1, split: 0 } as const;
  const scaled = <S extends object>(operands: S): object => (p.blocks ? { scaling: 'block', ...operands } : {});
  // The product that may start takes this token; `before` is how many are there at first.
  const [free, before] = p.dependent ? [given.stored, 1] : [given.drained, p.sums];
  const code: Partial<Record<Queue, readonly Instruction[]>> = {
    dma0: [
      ...(p.late === 0 ? [] : [load(hbmAt('weights', 0), at(where.idle), p.late, [], [])]),
      load(hbmAt('weights', 0), at(where.a), where.residual, [], [token(given.activations)]),
      load(hbmAt('weights', where.residual), at(where.residual), inputs - where.residual, [], [token(given.others)]),
      ...perChunk(load(hbmAt('weights', inputs, 1), at(where.weights, 2), size.chunk, [token(given.free)], [token(given.loaded)])),
      sync([token(given.free, p.ring)], []),
    ],
    wld: [sync([], [token(given.free, p.ring)]), ...perChunk(ins('wld', { ...shared, src: at(where.weights, 1), ...scaled({ scales: at(where.weights + size.tiles, 1) }) }, [token(given.loaded)], [token(given.free)]))],
    mxu: [
      stepRows,
      sync([token(given.activations)], []),
      ...loop(2, groups, [
        ...loop(3, chunks, [ins('mm', { ...shared, accumulate: 'first', a: at(where.a, 2), pitch: size.pitch, acc: at(0, 1), kLast: p.kLast, rows, ...scaled({ scales: at(where.scales, 3), scalePitch: size.scalePitch }) })], [token(free)]),
        sync([], [token(given.product)]),
      ]),
      sync([token(free, before)], []),
    ],
    epi: [
      stepRows,
      ...(p.dependent ? [] : [sync([], [token(given.drained, p.sums)])]),
      sync([token(given.others)], []),
      ...loop(2, groups, [
        ins('epi', {
          format: 'bf16', activation: 'relu', scale: p.scale, bias: p.scale, residual: p.residual, gated: false, split: 0, acc: at(0, 1), out: at(where.out, 2), pitch: 2,
          params: at(where.params), residualAt: at(where.residual), rowScale: where.rowScale, nTiles: 1, nLast: side, rows,
        }, p.dependent ? [token(given.product)] : [token(given.product), token(given.stored)], p.dependent ? [token(given.result)] : [token(given.drained), token(given.result)]),
      ]),
      ...(p.dependent ? [] : [sync([token(given.stored, resultSlots)], [])]),
    ],
    dma1: [
      stepRows,
      sync([], [token(given.stored, p.dependent ? 1 : resultSlots)]),
      ...loop(2, groups, [ins('dst', { src: at(where.out, 1), srcPitch: 2, dst: hbmAt('io', 0, 2), dstPitch: 2, lines: 2, rows }, [token(given.result)], [token(given.stored)])]),
    ],
  };
  const strideSets: Partial<Record<Queue, readonly StrideSet[]>> = {
    dma0: [linear(chunks * size.chunk, size.chunk), ring(size.chunk, p.ring, chunks, 1)],
    wld: [ring(size.chunk, p.ring, chunks, 1)],
    mxu: [ring(p.apart, p.sums, 1, 0), linear(0, kTiles * bytes), linear(0, p.rows * size.scalePitch)],
    epi: [ring(p.apart, p.sums, 1, 0), ring(size.result, resultSlots, 1, 0)],
    dma1: [ring(size.result, resultSlots, 1, 0), linear(size.result, 0)],
  };
  const written = Object.fromEntries(Object.entries(code).map(([queue, list]) => [queue, p.loops && p.kSplits.length === 1 ? list : unrolled(list, strideSets[queue as Queue] ?? [], p)]));
  const program = programOf([written], {
    machine: machineOf(2 ** Math.max(...p.kSplits), side, p.hbm),
    regions: [{ base: 'weights', bytes: image * side }, { base: 'io', bytes: groups * size.result * side }],
    strideSets,
  });
  return { program, image: imageOf(p) };
}

function imageOf(p: Products): Uint8Array {
  const { size, image: lines, at: where, inputs } = linesOf(p);
  const image = new Uint8Array(lines * p.side);
  const view = new DataView(image.buffer);
  const next = numbers(1 + p.rows + 100 * p.kTiles);
  const operands = (from: number, to: number): void => {
    if (p.format === 'bf16') for (let i = from; i < to; i += 2) view.setUint16(i, encodeBf16(next()), true);
    else for (let i = from; i < to; i++) view.setUint8(i, encodeE4m3(4 * next()));
  };
  const singles = (from: number, to: number): void => {
    for (let i = from; i < to; i += 4) view.setFloat32(i, next(), true);
  };
  operands(0, size.a * p.side);
  singles(where.scales * p.side, where.residual * p.side);
  for (let i = where.residual * p.side; i < where.params * p.side; i += 2) view.setUint16(i, encodeBf16(next()), true);
  singles(where.params * p.side, inputs * p.side);
  operands(inputs * p.side, image.length);
  for (let chunk = 0; chunk < p.groups * p.chunks; chunk++) singles((inputs + chunk * size.chunk + size.tiles) * p.side, (inputs + (chunk + 1) * size.chunk) * p.side);
  return image;
}
