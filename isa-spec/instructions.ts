import { acc, added, count, f32, type FieldKind, type FieldValue, flag, format, frame, hbm, line, oneOf, pc, rows, slot, sram, uint } from './fields.ts';

/** Instruction queues of a chip. Each issues and completes in order; nothing orders two queues but semaphores and the weight FIFO. */
export const queues = ['ctl', 'dma0', 'dma1', 'wld', 'mxu', 'epi', 'att', 'vec', 'col'] as const;
export type Queue = (typeof queues)[number];

type Fields = Readonly<Record<string, FieldKind>>;
type Row<G extends Fields, P extends Fields> = {
  readonly opcode: number;
  readonly queues: readonly Queue[];
  readonly summary: string;
  /** Modifiers, from bit 16. */
  readonly flags: G;
  /** Operands, from bit 80. */
  readonly payload: P;
};

/** Flags and payload share one space of names. */
const instruction = <const G extends Fields, const P extends Fields & { readonly [F in keyof G]?: never }>(row: Row<G, P>): Row<G, P> => row;
const every: readonly Queue[] = queues;
const dma: readonly Queue[] = ['dma0', 'dma1'];

/** Functions of one value the epilogue and the vector unit compute; `numerics.ts` defines each to the bit. */
export const activations = ['none', 'relu', 'silu', 'gelu', 'gelu_tanh', 'tanh', 'sigmoid'] as const;
export type Activation = (typeof activations)[number];

/** What a router's scores are of its logits. */
export const routeScores = ['softmax', 'sigmoid'] as const;

/** Micro-operations of `vmap`: of the value so far, or of it and an operand; `numerics-vector.ts` defines each to the bit. */
export const vectorFunctions = [
  'copy', 'add', 'multiply', 'relu', 'silu', 'gelu', 'gelu_tanh', 'tanh', 'sigmoid',
  'subtract', 'subtract_from', 'divide', 'divide_into', 'minimum', 'maximum', 'negate', 'absolute', 'square', 'exp', 'sqrt', 'rsqrt', 'reciprocal',
] as const;
export type VectorFunction = (typeof vectorFunctions)[number];

/** What `salu` computes of two whole numbers; `scalars.ts` defines each. */
export const scalarFunctions = ['copy', 'add', 'subtract', 'multiply', 'ceildiv', 'minimum', 'maximum', 'shift_left', 'shift_right'] as const;
export type ScalarFunction = (typeof scalarFunctions)[number];

/** What an operand of a micro-operation is: rows of elements; one row, the same for every row; a number for each row, in an FP32 row list; one number. */
export const operandKinds = ['matrix', 'vector', 'list', 'number'] as const;
export type OperandKind = (typeof operandKinds)[number];
const operandKind = added(oneOf(2, operandKinds));
/** A micro-operation more: `copy`, which is none, where it is absent. */
const next = added(oneOf(5, vectorFunctions));

/** How the elements of a block within a row share a scale: 128 of them an FP32 number; 32 of them a UE8M0 code, as the MX formats have it. `numerics-scales.ts` has the sizes. */
export const blockScalings = ['block', 'mx'] as const;
export type BlockScaling = (typeof blockScalings)[number];
/** What of a product has scales: rows and columns, which the epilogue knows of; or blocks of both operands. */
const scaling = added(oneOf(2, ['outer', ...blockScalings]));

/** What an index means whose row is not in the region. */
const outOfRange = added(oneOf(1, ['fault', 'skip']));

/**
 * Tables the host hands over with each step, by their index in the step-control block. `memory...`: of the rows sequences attend to
 * besides their own (an encoder's), which are in pages of their own.
 */
export const hostTables = ['ids', 'positions', 'types', 'slots', 'samples', 'worklist', 'pages', 'memorySlots', 'memoryWorklist', 'memoryPages'] as const;
export type HostTable = (typeof hostTables)[number];

/** Counts of the step-control block a queue may load into a register. */
export const stepCounts = ['tokens', 'sequences', 'samples', 'memory'] as const;
/** Tables of work entries. */
export const worklists = ['worklist', 'memoryWorklist'] as const satisfies readonly HostTable[];
export type Worklist = (typeof worklists)[number];
export const isWorklist = (table: HostTable): table is Worklist => (worklists as readonly string[]).includes(table);
export type StepCount = (typeof stepCounts)[number];

/**
 * The instruction set: one record an instruction. Everything that must know of instructions (encoder, decoder, assembler,
 * disassembler, simulator dispatch, manual) is derived from it. Tables with a row of each say the rest: what fields are (`operands.ts`), what it does
 * (`meaning.ts`), touches (`effects.ts`), takes (`costs.ts`), when it is legal (`legal.ts`).
 *
 * Notation. Memory is addressed in lines. A matrix operand is rows at a `pitch` in lines, elements packed from the start of
 * each row. A *row list* (ids, positions, slots, row scales) is packed 4-byte elements covering the whole step; a
 * window uses its elements from `max * I[level]` on, while matrix operands are moved by their stride set alone.
 * A = the side of a matrix array of the machine.
 */
export const instructions = {
  nop: instruction({
    opcode: 0x00, queues: every, summary: 'does nothing but take its waits and make its posts',
    flags: {},
    payload: {},
  }),
  sync: instruction({
    opcode: 0x01, queues: every, summary: 'takes up to four further waits and makes up to four further posts',
    flags: {},
    payload: {
      wait2: slot(8), wait3: slot(8), wait4: slot(8), wait5: slot(8), post2: slot(8), post3: slot(8), post4: slot(8), post5: slot(8),
      waitCount2: slot(4), waitCount3: slot(4), waitCount4: slot(4), waitCount5: slot(4),
      postCount2: slot(4), postCount3: slot(4), postCount4: slot(4), postCount5: slot(4),
    },
  }),
  loop: instruction({
    opcode: 0x02, queues: every, summary: 'repeats the next `body` instructions `count` times; I[level] counts up from 0 and is 0 again after',
    flags: { level: uint(2) },
    payload: { count: count(20), body: count(16) },
  }),
  sreg: instruction({
    opcode: 0x03, queues: every, summary: 'R[reg] <- a count of the step-control block (R0 cannot be written)',
    flags: {},
    payload: { reg: uint(5), count: oneOf(4, stepCounts) },
  }),
  call: instruction({
    opcode: 0x04, queues: every, summary: 'runs the subprogram at `target` to its `ret`, its stride sets numbered from `frame` sets further on',
    flags: {},
    payload: { target: pc, frame },
  }),
  ret: instruction({
    opcode: 0x05, queues: every, summary: 'goes on after the call in force; where there is none, ends the queue\'s step',
    flags: {},
    payload: {},
  }),
  setp: instruction({
    opcode: 0x06, queues: every, summary: 'P[target] <- whether R[reg] compares so with `value`, unsigned',
    flags: { compare: oneOf(3, ['eq', 'ne', 'lt', 'le', 'gt', 'ge']) },
    payload: { target: uint(3), reg: uint(5), value: slot(32) },
  }),
  trace: instruction({
    opcode: 0x07, queues: every, summary: 'marks a place in time by `tag`, or asserts that least <= R[reg] <= most',
    flags: { kind: oneOf(3, ['timestamp', 'assert']) },
    payload: { tag: uint(32), reg: slot(5), least: slot(32), most: slot(32) },
  }),
  hostw: instruction({
    opcode: 0x08, queues: ['ctl'], summary: 'copies a host table of this step, at most `bytes`, to SRAM',
    flags: {},
    payload: { table: oneOf(4, hostTables), dst: sram, bytes: uint(28) },
  }),
  event: instruction({
    opcode: 0x09, queues: ['ctl'], summary: 'reports to the host that everything waited for is done',
    flags: {},
    payload: { tag: uint(32) },
  }),
  salu: instruction({
    opcode: 0x0a, queues: every, summary: 'R[reg] <- function(R[a], R[b] or `value`), which is from `least` to `most` (R0 cannot be written)',
    flags: { function: oneOf(4, scalarFunctions) },
    payload: { reg: uint(5), a: slot(5), b: slot(5), value: slot(32), least: slot(32), most: uint(32) },
  }),
  dld: instruction({
    opcode: 0x10, queues: dma, summary: 'HBM -> SRAM: rows of `lines` lines',
    flags: {},
    payload: { src: hbm, srcPitch: uint(24), dst: sram, dstPitch: uint(16), lines: uint(16), rows },
  }),
  dst: instruction({
    opcode: 0x11, queues: dma, summary: 'SRAM -> HBM: rows of `lines` lines',
    flags: {},
    payload: { src: sram, srcPitch: uint(16), dst: hbm, dstPitch: uint(24), lines: uint(16), rows },
  }),
  dcp: instruction({
    opcode: 0x12, queues: dma, summary: 'SRAM -> SRAM: rows of `lines` lines; with `fill`: every 4 bytes of them become `value`',
    flags: { fill: flag },
    payload: { src: sram, srcPitch: uint(16), dst: sram, dstPitch: uint(16), lines: uint(16), value: slot(32), rows },
  }),
  dgat: instruction({
    opcode: 0x13, queues: dma, summary: 'HBM -> SRAM: row i of the window comes from HBM row `index[first + i]`',
    /** `oob` skip: a row that is not there is zeros. */
    flags: { oob: outOfRange },
    payload: { src: hbm, srcPitch: uint(24), dst: sram, dstPitch: uint(16), index: line, lines: uint(16), rows },
  }),
  dsct: instruction({
    opcode: 0x14, queues: dma, summary: 'SRAM -> HBM: row i of the window goes to HBM row `index[first + i]`',
    /** `oob` skip: a row that is not there is not written. */
    flags: { oob: outOfRange },
    payload: { src: sram, srcPitch: uint(16), dst: hbm, dstPitch: uint(24), index: line, lines: uint(16), rows },
  }),
  wld: instruction({
    opcode: 0x20, queues: ['wld'],
    summary: 'pushes kTiles x nTiles weight tiles of A x A (k-tiles outermost; A rows of A elements a tile, each row padded to a line) to the weight FIFO',
    flags: { format, scaling },
    payload: { src: sram, kTiles: count(8), nTiles: count(6), split: uint(3), scales: added(sram), kSplit: added(uint(3)) },
  }),
  mm: instruction({
    opcode: 0x21, queues: ['mxu'],
    summary: 'acc[rows, nTiles*A] (+)= a[rows, k] x the next FIFO entry, k ascending; 2^split groups of arrays share the rows, nTiles x 2^kSplit arrays each, of which 2^kSplit share k',
    flags: { format, accumulate: oneOf(2, ['no', 'yes', 'first']), split: uint(3), weightFormat: added(format), scaling },
    payload: { a: sram, pitch: uint(16), acc, kTiles: count(8), kLast: count(8), nTiles: count(6), rows, scales: added(sram), scalePitch: added(uint(16)), kSplit: added(uint(3)) },
  }),
  epi: instruction({
    opcode: 0x22, queues: ['epi'],
    summary: 'drains accumulators: FP32, x row scale x column scale, + bias, activation (gated: act(left half) x right half), + residual, round, store',
    flags: { format, activation: oneOf(4, activations), scale: flag, bias: flag, residual: flag, gated: flag, split: uint(3) },
    payload: { acc, out: sram, pitch: uint(12), params: sram, residualAt: sram, rowScale: line, nTiles: count(6), nLast: count(8), rows },
  }),
  aq: instruction({
    opcode: 0x28, queues: ['att'], summary: 'loads the window of queries and clears their (m, l, O); `worklist` says which sequence each row belongs to',
    flags: { format, sloped: added(flag), from: added(uint(12)) },
    payload: { q: sram, pitch: uint(16), worklist: line, heads: count(8), headDim: count(10), scale: f32, rows, valueDim: added(uint(10)), slopes: added(line) },
  }),
  attn: instruction({
    opcode: 0x29, queues: ['att'],
    summary: 'for every query loaded by `aq`: streams the pages of its sequence, QK, mask, online softmax, PV, in blocks of 128 keys ascending',
    flags: { format, mask: oneOf(2, ['full', 'causal']), latent: added(flag) },
    payload: {
      kv: hbm, pages: line, pageRows: count(10), kvLines: uint(12), kvHeads: count(8), window: uint(20), softCap: added(f32),
      splitBlocks: added(uint(9)), firstPart: added(uint(9)), parts: added(uint(9)),
    },
  }),
  afin: instruction({
    opcode: 0x2a, queues: ['att'], summary: 'adds partials of other parts of the keys, divides O by l, rounds and stores the window loaded by `aq`; or stores a partial',
    flags: { format, sink: added(flag), partial: added(flag) },
    payload: { out: sram, pitch: uint(16), rows, sinks: added(sram), merge: added(uint(9)), partials: added(sram), partialPitch: added(uint(20)) },
  }),
  vmap: instruction({
    opcode: 0x30, queues: ['vec'], summary: 'o[rows, columns] <- third(second(function(x, y), y), y), an FP32 operation each, rounded to the output format',
    flags: { function: oneOf(5, vectorFunctions), xFormat: format, yFormat: format, format, yIs: operandKind },
    payload: { x: sram, xPitch: uint(12), y: sram, yPitch: uint(12), out: sram, outPitch: uint(12), columns: count(16), rows, second: next, third: next },
  }),
  vmap3: instruction({
    opcode: 0x36, queues: ['vec'], summary: 'as `vmap`, of three operands: the first micro-operation of two operands takes y, those after it z; rows follow one another',
    flags: { xFormat: format, yFormat: format, zFormat: format, format, yIs: operandKind, zIs: operandKind },
    payload: { function: oneOf(5, vectorFunctions), second: next, third: next, x: sram, y: sram, z: sram, out: sram, columns: count(16), rows },
  }),
  vred: instruction({
    opcode: 0x31, queues: ['vec'], summary: 'reduces each row to one FP32 number, in 16 lanes and a fixed tree; the numbers go to a row list',
    flags: { reduce: oneOf(3, ['sum', 'max', 'min', 'amax', 'meanSquare']), xFormat: format },
    payload: { x: sram, xPitch: uint(16), out: line, columns: count(18), rows },
  }),
  vnorm: instruction({
    opcode: 0x32, queues: ['vec'], summary: 'normalises each row, or each of the equal parts it is cut into: RMS or layer norm',
    flags: { xFormat: format, format, kind: oneOf(1, ['rms', 'layer']) },
    payload: { x: sram, xPitch: uint(16), params: sram, out: sram, outPitch: uint(16), columns: count(16), rows, groups: added(uint(10)) },
  }),
  vrope: instruction({
    opcode: 0x33, queues: ['vec'], summary: 'rotates the first `rotary` elements of each head by the row\'s angles, copies the rest',
    flags: { xFormat: format, format, interleaved: flag },
    payload: { x: sram, xPitch: uint(12), table: sram, out: sram, outPitch: uint(12), headDim: count(10), rotary: count(10), heads: count(8), rows },
  }),
  vqnt: instruction({
    opcode: 0x34, queues: ['vec'], summary: 'row scale <- amax / the largest number of the format (1 if 0), o <- x / scale; scales go to an FP32 row list, or are given there',
    flags: { xFormat: format, format, mode: added(oneOf(2, ['row', 'given'])), pow2: added(flag) },
    payload: { x: sram, xPitch: uint(16), out: sram, outPitch: uint(16), rowScale: line, columns: count(16), rows },
  }),
  vqblk: instruction({
    opcode: 0x37, queues: ['vec'], summary: 'as `vqnt`, a scale for each block of a row: 128 elements an FP32 scale, or 32 a UE8M0 code',
    flags: { xFormat: format, format, scaling: oneOf(2, blockScalings), pow2: flag },
    payload: { x: sram, xPitch: uint(16), out: sram, outPitch: uint(16), scales: sram, scalePitch: uint(16), columns: count(16), rows },
  }),
  sample: instruction({
    opcode: 0x35, queues: ['vec'], summary: 'the id of a token for each row of logits: the largest, or drawn from the likeliest; ids go to an i32 row list',
    flags: { mode: oneOf(3, ['greedy', 'draw']), xFormat: format },
    payload: { x: sram, xPitch: uint(16), params: sram, out: line, columns: count(18), rows },
  }),
  route: instruction({
    opcode: 0x38, queues: ['vec'], summary: 'the k best of `experts` scores of each row; lists of weights, of the pairs by expert, and of where each expert\'s begin',
    flags: { scores: oneOf(2, routeScores), normalise: flag, bias: flag, xFormat: format },
    payload: { x: sram, xPitch: uint(12), biases: line, indices: line, weights: line, offsets: line, experts: count(10), k: count(4), rows },
  }),
  perm: instruction({
    opcode: 0x39, queues: ['vec'], summary: 'moves rows to the order of their experts and back, or adds up what a row\'s k experts made of it',
    flags: { direction: oneOf(2, ['permute', 'unpermute', 'combine']), xFormat: format, format },
    payload: { x: sram, xPitch: uint(12), out: sram, outPitch: uint(12), indices: line, weights: line, columns: count(16), k: count(4), rows },
  }),
  bin: instruction({
    opcode: 0x3a, queues: ['vec'], summary: 'puts the pairs of a `route` into bins of `size` places, each of one expert; lists of the rows and pairs by place, or the places by pair, and of the expert by bin',
    flags: { inverse: added(flag) },
    payload: { indices: line, offsets: line, sources: line, targets: line, owners: line, experts: count(10), k: count(4), size: count(13), rows, group: added(uint(8)) },
  }),
  mix: instruction({
    opcode: 0x3b, queues: ['vec'], summary: 'adds up k rows to one, each times its weight',
    flags: { xFormat: format, format },
    payload: { x: sram, xPitch: uint(12), weights: sram, out: sram, outPitch: uint(12), columns: count(16), k: count(4), rows },
  }),
  coll: instruction({
    opcode: 0x3c, queues: ['col'], summary: 'brings the first `bytes` bytes of each row of all chips, or of those of a group, together: side by side, one chip\'s rows below another\'s, added up, from one to others, or each a group on',
    flags: { kind: oneOf(4, ['allgather', 'allreduce', 'reducescatter', 'broadcast', 'send', 'shift', 'exchange', 'collect', 'collectlist']), format: added(format) },
    payload: { src: sram, srcPitch: uint(16), out: sram, outPitch: uint(16), bytes: count(20), tag: uint(12), rows, root: added(uint(8)), peer: added(uint(8)), group: added(uint(8)) },
  }),
} as const;

export type Mnemonic = keyof typeof instructions;
export const mnemonics = Object.keys(instructions) as readonly Mnemonic[];

/** One semaphore taken (or given) `count` times; id 1 to 255, count 1 to 15. */
export type Token = { readonly semaphore: number; readonly count: number };

type FieldsOf<M extends Mnemonic> = (typeof instructions)[M]['flags'] & (typeof instructions)[M]['payload'];
/** The fields of an instruction, and those that say where in a memory it begins. */
export type FieldOf<M extends Mnemonic> = keyof FieldsOf<M>;
export type AddressOf<M extends Mnemonic> = { readonly [F in FieldOf<M>]: FieldsOf<M>[F] extends { readonly kind: 'sram' | 'hbm' | 'acc' } | { readonly line: true } ? F : never }[FieldOf<M>];
type ValueOf<K> = K extends FieldKind ? FieldValue<K> : never;

/** A decoded instruction: its mnemonic, the predicate (1 to 7) it has its effect under if it has one, up to two waits and two posts, and its fields by name. */
export type Instruction = {
  readonly [M in Mnemonic]: {
    readonly op: M;
    readonly predicate?: number;
    readonly waits: readonly Token[];
    readonly posts: readonly Token[];
    readonly fields: { readonly [F in keyof FieldsOf<M> as FieldsOf<M>[F] extends { readonly added: true } ? never : F]: ValueOf<FieldsOf<M>[F]> } & {
      readonly [F in keyof FieldsOf<M> as FieldsOf<M>[F] extends { readonly added: true } ? F : never]?: ValueOf<FieldsOf<M>[F]>;
    };
  };
}[Mnemonic];
export type InstructionOf<M extends Mnemonic> = Extract<Instruction, { op: M }>;

/** Calls that may be in force at once. */
export const callsMax = 4;

/** Bytes of an instruction. */
export const wordBytes = 32;

/**
 * A stride set. Set 0 moves nothing; an operand that names set n means set n of the frame in force: the queue's set `frames + n`, where
 * `frames` is the sum of the frames of all calls in force. An operand moves by
 * `sum I[l]*strides[l] + ring.stride * ((ring.base + sum I[l]*ring.steps[l]) mod ring.depth)`.
 * Units are those of the operand (lines, or accumulator rows).
 */
export type StrideSet = {
  readonly strides: readonly [number, number, number, number];
  readonly ring: { readonly stride: number; readonly depth: number; readonly base: number; readonly steps: readonly [number, number, number, number] };
};

/** HBM base registers, set by the loader from the container's regions; each carries a limit. */
export const hbmBases = ['none', 'weights', 'kv', 'scratch', 'io'] as const;
export type HbmBase = (typeof hbmBases)[number];

/** Bytes of a row of what `sample` draws by: temperature f32, topK u32, topP f32, seed u64, position u32; the rest zero. */
export const samplingBytes = 32;

/** Bytes of a work-list entry: u32 firstRow, rows, keys (past and new), firstPosition, firstPage (index into the page list); the rest zero. */
export const workEntryBytes = 64;
