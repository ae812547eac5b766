import { type FieldKind, type Format, formatBytes } from './fields.ts';
import type { Instruction, InstructionOf, Mnemonic, OperandKind } from './instructions.ts';
import { layouts } from './layout.ts';
import type { Machine } from './machine.ts';
import { blockScales, isQuantised } from './numerics-scales.ts';
import { takesOperand } from './numerics-vector.ts';
import { blocksOf, isMatrixFormat, profileOf, weightFormatOf } from './profiles.ts';

/** What must hold of an instruction for a machine to run it, beyond being one: `says` reads as a sentence with the instruction as its subject. */
export type Rule<M extends Mnemonic> = { readonly says: string; readonly holds: (fields: InstructionOf<M>['fields'], machine: Machine) => boolean };

type Operand = { readonly addr: number; readonly ss: number };
type Rows = { readonly max: number };

const realFormats: readonly Format[] = ['f32', 'bf16', 'e4m3', 'e5m2'];
const isReal = (format: Format): boolean => realFormats.includes(format);
const isWide = (format: Format): boolean => format === 'f32' || format === 'bf16';
const isUnset = (operand: Operand): boolean => operand.addr === 0 && operand.ss === 0;

/** Rows of a target do not overlap. */
const apart = (pitch: number, lines: number, rows: Rows): boolean => rows.max <= 1 || pitch >= lines;
const linesFor = (columns: number, format: Format, machine: Machine): number => Math.ceil((columns * formatBytes[format]) / machine.sram.lineBytes.value);
const storeApart = (pitch: number, columns: number, format: Format, rows: Rows, machine: Machine): boolean => apart(pitch, linesFor(columns, format, machine), rows);
const inGang = ({ nTiles, split, kSplit = 0 }: { readonly nTiles: number; readonly split: number; readonly kSplit?: number }, machine: Machine): boolean => nTiles * 2 ** (split + kSplit) <= machine.arrays.count.value;
/** Accumulator rows a window takes: 2^split groups share its rows. */
const accumulates = (acc: Operand, rows: Rows, split: number, machine: Machine): boolean => acc.addr + Math.ceil(rows.max / 2 ** split) <= machine.accumulatorRows.value;

/** An array leaves a block's exact sum where a k-tile ends or within one: no block straddles that. */
const alignsBlocks = (fields: Pick<InstructionOf<'mm'>['fields'], 'scaling'>, machine: Machine): boolean => {
  const blocks = blocksOf(fields);
  if (blocks === undefined) return true;
  const [side, block] = [machine.arrays.size.value, blockScales[blocks].size];
  return side % block === 0 || block % side === 0;
};

const blocksAlign = 'has blocks that align with its k-tiles: A is a multiple of the block, or the block of A';
const gang = 'drives no more arrays than the machine has: nTiles * 2^(split + kSplit) <= arrays';
const drainedGang = 'drains no more arrays than the machine has: nTiles * 2^split <= arrays';
const addedUp = 'shares k among arrays only if sums are exact, or blocks have scales: e4m3 by e4m3';
const accumulators = 'stays within the accumulators: acc + ceil(rows / 2^split) <= accumulator rows';
const targetApart = 'has a target pitch no shorter than what it writes of a row, if it may write two';
const listOperand = 'has lists of f32 only, and moves none by a stride set';
const storesReal = 'stores f32, bf16, e4m3 or e5m2';
const realOnly = 'works on numbers: no operand is i32 or ue8m0';
const quantises = 'reads f32 or bf16 and stores e4m3 or e5m2';

/** How many of a chain's micro-operations take an operand. */
const operandsTaken = ({ function: head, second = 'copy', third = 'copy' }: InstructionOf<'vmap' | 'vmap3'>['fields']): number => [head, second, third].filter(takesOperand).length;
/** A list has FP32 numbers and is not moved. */
const isKind = (is: OperandKind | undefined, operand: Operand, format: Format): boolean => is !== 'list' || (format === 'f32' && operand.ss === 0);

const reduces = (kind: string): boolean => kind === 'allreduce' || kind === 'reducescatter';

/** The rules of each instruction. */
export const legal: { readonly [M in Mnemonic]: readonly Rule<M>[] } = {
  nop: [],
  sync: [
    {
      says: 'counts a semaphore it names at least once, and none it does not name',
      holds: (f) =>
        ([[f.wait2, f.waitCount2], [f.wait3, f.waitCount3], [f.wait4, f.waitCount4], [f.wait5, f.waitCount5],
          [f.post2, f.postCount2], [f.post3, f.postCount3], [f.post4, f.postCount4], [f.post5, f.postCount5]] as const)
          .every(([semaphore, count]) => (semaphore === 0) === (count === 0)),
    },
  ],
  loop: [],
  sreg: [{ says: 'does not write R0', holds: (f) => f.reg !== 0 }],
  salu: [
    { says: 'does not write R0', holds: (f) => f.reg !== 0 },
    { says: 'names a first register, unless it copies: a', holds: (f) => (f.function === 'copy') === (f.a === 0) },
    { says: 'takes a register or a value, not both', holds: (f) => f.b === 0 || f.value === 0 },
    { says: 'declares a range that has numbers: least <= most', holds: (f) => f.least <= f.most },
  ],
  call: [{ says: 'calls what comes after the start of the code: target > 0', holds: (f) => f.target > 0 }],
  ret: [],
  setp: [{ says: 'writes a predicate: P1 to P7', holds: (f) => f.target !== 0 }],
  trace: [
    { says: 'names a register and its bounds only to assert', holds: (f) => f.kind === 'assert' || (f.reg === 0 && f.least === 0 && f.most === 0) },
    { says: 'asserts what can hold: least <= most', holds: (f) => f.least <= f.most },
  ],
  hostw: [{ says: 'copies at least a byte', holds: (f) => f.bytes > 0 }],
  event: [],
  dld: [
    { says: 'moves at least a line', holds: (f) => f.lines > 0 },
    { says: targetApart, holds: (f) => apart(f.dstPitch, f.lines, f.rows) },
  ],
  dst: [
    { says: 'moves at least a line', holds: (f) => f.lines > 0 },
    { says: targetApart, holds: (f) => apart(f.dstPitch, f.lines, f.rows) },
  ],
  dcp: [
    { says: 'moves at least a line', holds: (f) => f.lines > 0 },
    { says: 'names a source only if it copies', holds: (f) => !f.fill || (isUnset(f.src) && f.srcPitch === 0) },
    { says: 'names a value only if it fills', holds: (f) => f.fill || f.value === 0 },
    { says: targetApart, holds: (f) => apart(f.dstPitch, f.lines, f.rows) },
  ],
  dgat: [
    { says: 'moves at least a line', holds: (f) => f.lines > 0 },
    { says: targetApart, holds: (f) => apart(f.dstPitch, f.lines, f.rows) },
  ],
  dsct: [
    { says: 'moves at least a line', holds: (f) => f.lines > 0 },
    { says: targetApart, holds: (f) => apart(f.dstPitch, f.lines, f.rows) },
  ],
  wld: [
    { says: 'loads e4m3, e5m2 or bf16', holds: (f) => isMatrixFormat(f.format) },
    { says: 'has scales of blocks for e4m3 only', holds: (f) => f.scaling === undefined || f.format === 'e4m3' },
    { says: 'names scales only if blocks have them', holds: (f) => f.scaling !== undefined || f.scales === undefined },
    { says: blocksAlign, holds: (f, machine) => alignsBlocks(f, machine) },
    { says: gang, holds: (f, machine) => inGang(f, machine) },
    { says: addedUp, holds: (f) => f.kSplit === undefined || f.format === 'e4m3' },
  ],
  mm: [
    { says: 'multiplies e4m3, e5m2 or bf16, in any mixture', holds: (f) => isMatrixFormat(f.format) && isMatrixFormat(weightFormatOf(f)) },
    { says: 'names a format of weights only if it is another', holds: (f) => f.weightFormat !== f.format },
    { says: 'has scales of blocks for e4m3 by e4m3 only', holds: (f) => f.scaling === undefined || (f.format === 'e4m3' && weightFormatOf(f) === 'e4m3') },
    { says: 'names scales only if blocks have them', holds: (f) => f.scaling !== undefined || (f.scales === undefined && f.scalePitch === undefined) },
    { says: blocksAlign, holds: (f, machine) => alignsBlocks(f, machine) },
    { says: gang, holds: (f, machine) => inGang(f, machine) },
    { says: addedUp, holds: (f) => f.kSplit === undefined || profileOf(f) !== 'chained' },
    { says: accumulators, holds: (f, machine) => accumulates(f.acc, f.rows, f.split, machine) },
    { says: 'has a last k-tile no longer than a tile: kLast <= A', holds: (f, machine) => f.kLast <= machine.arrays.size.value },
  ],
  epi: [
    { says: storesReal, holds: (f) => isReal(f.format) },
    { says: drainedGang, holds: (f, machine) => inGang(f, machine) },
    { says: accumulators, holds: (f, machine) => accumulates(f.acc, f.rows, f.split, machine) },
    { says: 'has a last tile no wider than a tile: nLast <= A', holds: (f, machine) => f.nLast <= machine.arrays.size.value },
    { says: 'if gated, has as many gate tiles as others: nTiles is even', holds: (f) => !f.gated || f.nTiles % 2 === 0 },
    { says: 'names params only with scale or bias', holds: (f) => f.scale || f.bias || isUnset(f.params) },
    { says: 'names row scales only with scale', holds: (f) => f.scale || f.rowScale === 0 },
    { says: 'names a residual only if it adds one', holds: (f) => f.residual || isUnset(f.residualAt) },
    {
      says: targetApart,
      holds: (f, machine) => storeApart(f.pitch, ((f.gated ? f.nTiles / 2 : f.nTiles) - 1) * machine.arrays.size.value + f.nLast, f.format, f.rows, machine),
    },
  ],
  aq: [
    { says: 'loads e4m3, e5m2 or bf16', holds: (f) => isMatrixFormat(f.format) },
    { says: 'scales by a positive number', holds: (f) => f.scale > 0 },
    { says: 'names slopes only if it has them', holds: (f) => f.sloped === true || f.slopes === undefined },
  ],
  attn: [
    { says: 'reads e4m3, e5m2 or bf16', holds: (f) => isMatrixFormat(f.format) },
    { says: 'has at least a line of keys a row', holds: (f) => f.kvLines > 0 },
    { says: 'caps scores at a positive number', holds: (f) => f.softCap === undefined || f.softCap > 0 },
    { says: 'has a window only with the causal mask', holds: (f) => f.window === 0 || f.mask === 'causal' },
    { says: 'names parts only of keys that are split', holds: (f) => f.splitBlocks !== undefined || (f.firstPart === undefined && f.parts === undefined) },
  ],
  afin: [
    { says: storesReal, holds: (f) => isReal(f.format) },
    { says: 'names sinks only if it has them', holds: (f) => f.sink === true || f.sinks === undefined },
    { says: 'names partials only if it merges them', holds: (f) => f.merge !== undefined || (f.partials === undefined && f.partialPitch === undefined) },
    { says: 'stores a partial as f32, before any sink', holds: (f) => f.partial !== true || (f.format === 'f32' && f.sink !== true) },
  ],
  vmap: [
    { says: realOnly, holds: (f) => isReal(f.xFormat) && isReal(f.yFormat) && isReal(f.format) },
    { says: 'names y only if one of its functions has two operands', holds: (f) => operandsTaken(f) > 0 || (isUnset(f.y) && f.yPitch === 0 && f.yIs === undefined) },
    { says: 'has a pitch of y only if y is a matrix', holds: (f) => f.yIs === undefined || f.yPitch === 0 },
    { says: listOperand, holds: (f) => isKind(f.yIs, f.y, f.yFormat) },
    { says: targetApart, holds: (f, machine) => storeApart(f.outPitch, f.columns, f.format, f.rows, machine) },
  ],
  vmap3: [
    { says: realOnly, holds: (f) => isReal(f.xFormat) && isReal(f.yFormat) && isReal(f.zFormat) && isReal(f.format) },
    { says: 'has two functions of two operands, or three', holds: (f) => operandsTaken(f) > 1 },
    { says: listOperand, holds: (f) => isKind(f.yIs, f.y, f.yFormat) && isKind(f.zIs, f.z, f.zFormat) },
  ],
  vred: [{ says: realOnly, holds: (f) => isReal(f.xFormat) }],
  vnorm: [
    { says: realOnly, holds: (f) => isReal(f.xFormat) && isReal(f.format) },
    { says: 'has columns that its groups divide', holds: (f) => f.columns % (f.groups ?? 1) === 0 },
    { says: targetApart, holds: (f, machine) => storeApart(f.outPitch, f.columns, f.format, f.rows, machine) },
  ],
  vrope: [
    { says: realOnly, holds: (f) => isReal(f.xFormat) && isReal(f.format) },
    { says: 'rotates pairs within a head: rotary is even and at most headDim', holds: (f) => f.rotary % 2 === 0 && f.rotary <= f.headDim },
    { says: targetApart, holds: (f, machine) => storeApart(f.outPitch, f.heads * f.headDim, f.format, f.rows, machine) },
  ],
  vqnt: [
    { says: quantises, holds: (f) => isWide(f.xFormat) && isQuantised(f.format) },
    { says: 'brings only scales it finds up to powers of two', holds: (f) => f.mode !== 'given' || f.pow2 !== true },
    { says: targetApart, holds: (f, machine) => storeApart(f.outPitch, f.columns, f.format, f.rows, machine) },
  ],
  vqblk: [
    { says: quantises, holds: (f) => isWide(f.xFormat) && isQuantised(f.format) },
    { says: 'brings only FP32 scales up to powers of two', holds: (f) => f.scaling === 'block' || !f.pow2 },
    { says: targetApart, holds: (f, machine) => storeApart(f.outPitch, f.columns, f.format, f.rows, machine) },
    {
      says: 'has a pitch of scales no shorter than those of a row, if it may write two',
      holds: (f, machine) => storeApart(f.scalePitch, Math.ceil(f.columns / blockScales[f.scaling].size), blockScales[f.scaling].format, f.rows, machine),
    },
  ],
  sample: [
    { says: realOnly, holds: (f) => isReal(f.xFormat) },
    { says: 'names params only if it draws', holds: (f) => f.mode === 'draw' || isUnset(f.params) },
  ],
  route: [
    { says: realOnly, holds: (f) => isReal(f.xFormat) },
    { says: 'chooses no more experts than there are', holds: (f) => f.k <= f.experts },
    { says: 'names biases only if it adds them', holds: (f) => f.bias || f.biases === 0 },
  ],
  perm: [
    { says: realOnly, holds: (f) => isReal(f.xFormat) && isReal(f.format) },
    { says: 'names weights only if it combines', holds: (f) => f.direction === 'combine' || f.weights === 0 },
    { says: targetApart, holds: (f, machine) => storeApart(f.outPitch, f.columns, f.format, { max: f.rows.max * (f.direction === 'combine' ? 1 : f.k) }, machine) },
  ],
  bin: [
    { says: 'chooses no more experts than there are', holds: (f) => f.k <= f.experts },
    { says: 'gives each chip of a group as many experts', holds: (f) => f.experts % (f.group ?? 1) === 0 },
  ],
  mix: [
    { says: realOnly, holds: (f) => isReal(f.xFormat) && isReal(f.format) },
    { says: targetApart, holds: (f, machine) => storeApart(f.outPitch, f.columns, f.format, f.rows, machine) },
  ],
  coll: [
    { says: 'names a format only if it reduces, and none of integers', holds: (f) => f.format === undefined || (reduces(f.kind) && isReal(f.format)) },
    { says: 'adds up whole elements', holds: (f) => !reduces(f.kind) || f.bytes % formatBytes[f.format ?? 'f32'] === 0 },
    { says: 'names a root only if it broadcasts or sends, and a peer only if it sends', holds: (f) => (f.root === undefined || f.kind === 'broadcast' || f.kind === 'send') && (f.peer === undefined || f.kind === 'send') },
    { says: 'names chips of a group', holds: (f) => f.group === undefined || Math.max(f.root ?? 0, f.peer ?? 0) < f.group },
    { says: 'brings lists of elements of 4 bytes, gives them no pitch and moves none by a stride set', holds: (f) => f.kind !== 'collectlist' || (f.bytes === formatBytes.f32 && f.srcPitch === 0 && f.outPitch === 0 && f.src.ss === 0 && f.out.ss === 0) },
    { says: targetApart, holds: (f, machine) => f.kind === 'collectlist' || apart(f.outPitch, Math.ceil(f.bytes / (f.kind === 'reducescatter' ? (f.group ?? 1) : 1) / machine.sram.lineBytes.value), f.rows) },
  ],
};

/** Instructions others rely on having had their effect: they have no predicate. */
export const unconditional: readonly Mnemonic[] = ['loop', 'sreg', 'salu', 'call', 'ret', 'setp', 'wld', 'mm', 'aq', 'coll'];

/** What must hold of every operand of a kind. */
const kindRules: { readonly [K in FieldKind['kind']]?: { readonly says: string; readonly holds: (value: never, machine: Machine) => boolean } } = {
  sram: { says: 'starts within SRAM', holds: (value: Operand, machine) => value.addr < machine.sram.bytes.value / machine.sram.lineBytes.value },
  acc: { says: 'starts within the accumulators', holds: (value: Operand, machine) => value.addr < machine.accumulatorRows.value },
  hbm: { says: 'names a base register', holds: (value: { readonly base: number }) => value.base !== 0 },
  rows: { says: 'has room for a row', holds: (value: Rows) => value.max > 0 },
};

/** The rules that come with the kinds of an instruction's fields, as sentences with the field as their subject. */
export const kindSentences: { readonly [K in FieldKind['kind']]?: string } = Object.fromEntries(Object.entries(kindRules).map(([kind, rule]) => [kind, rule.says]));

/** Every rule an instruction breaks on a machine, as sentences; none if it may run. Bounds of what it touches are proved elsewhere. */
export const illegalities = (instruction: Instruction, machine: Machine): readonly string[] => {
  const { op, predicate } = instruction;
  const values = instruction.fields as Readonly<Record<string, unknown>>;
  const broken: string[] = [];
  for (const { name, field } of layouts[op].fields) {
    const rule = kindRules[field.kind];
    if (rule !== undefined && values[name] !== undefined && !rule.holds(values[name] as never, machine)) broken.push(`\`${name}\` of ${op} must be one that ${rule.says}`);
  }
  if (predicate !== undefined && unconditional.includes(op)) broken.push(`${op} must be one that has no predicate`);
  for (const { says, holds } of legal[op] as readonly Rule<Mnemonic>[]) if (!holds(values as never, machine)) broken.push(`${op} must be one that ${says}`);
  return broken;
};
