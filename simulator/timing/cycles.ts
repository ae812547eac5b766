import { binsOf } from '../../isa-spec/bins.ts';
import { formatBytes } from '../../isa-spec/fields.ts';
import { membersOf, reachOf, shareOf } from '../../isa-spec/groups.ts';
import type { InstructionOf, Mnemonic, VectorFunction } from '../../isa-spec/instructions.ts';
import { isSlow } from '../../isa-spec/profiles.ts';
import { lanePasses, pipelineCycles, type Rates } from './rates.ts';

/**
 * What one execution of an instruction costs when nothing is contended. `cycles`: how long its unit is occupied; `latency`: from the end
 * of that to completion, when its posts leave; both in clock cycles. `runBytes`: length of the contiguous runs its HBM bytes come in.
 * `work`: multiply-adds on valid rows and k (mm, all nTiles*A columns), or lane operations (vector unit), else 0.
 */
export type Cost = {
  readonly cycles: number;
  readonly latency: number;
  readonly hbmBytes: number;
  readonly runBytes: number;
  readonly linkBytes: number;
  readonly work: number;
};

type Closed<M extends Mnemonic> = (fields: InstructionOf<M>['fields'], rows: number, rates: Rates) => Cost;

const idle: Cost = { cycles: 0, latency: 0, hbmBytes: 0, runBytes: 0, linkBytes: 0, work: 0 };
/** A queue issues one word a cycle, so nothing but loop control takes less than one. */
const unit = (cycles: number, more: Partial<Cost> = {}): Cost => ({ ...idle, cycles: Math.max(1, Math.ceil(cycles)), ...more });

/** Rows of a block in lines: contiguous as a whole if the HBM pitch leaves no gap. */
const transfer = (rows: number, lines: number, pitch: number, rates: Rates): Cost => {
  const bytes = rows * lines * rates.lineBytes;
  const run = pitch === lines ? bytes : lines * rates.lineBytes;
  return bytes === 0 ? unit(1) : { ...idle, latency: rates.hbmLatency, hbmBytes: bytes, runBytes: run };
};
const indexed = (rows: number, lines: number, rates: Rates): Cost => transfer(rows, lines, Infinity, rates);

const lanes = (elements: number, passes: number, rates: Rates): Cost =>
  unit((elements * passes) / rates.lanes, { latency: pipelineCycles, work: elements * passes });

/** Micro-operations that are more than one FP32 operation. */
const special: ReadonlySet<VectorFunction> = new Set(['silu', 'gelu', 'gelu_tanh', 'tanh', 'sigmoid', 'exp', 'sqrt', 'rsqrt', 'reciprocal', 'divide', 'divide_into']);

/** Passes of a chain: of each micro-operation, or of moving the elements if there is none. */
const chainPasses = ({ function: head, second = 'copy', third = 'copy' }: InstructionOf<'vmap' | 'vmap3'>['fields']): number => {
  const steps = [head, second, third].filter((name) => name !== 'copy');
  return Math.max(lanePasses.move, steps.reduce((sum, name) => sum + (special.has(name) ? lanePasses.special : lanePasses.move), 0));
};

const attentionMove = (rows: number, heads: number, elements: number, rates: Rates): Cost =>
  unit((rows * heads * elements) / (rates.attentionArrays * rates.attentionSide));

/** Bytes of rows the busiest chip sends: a reduction gives each chip its part of a row to add up, and an all-reduce then hands the sums round. Of shared rows a chip sends every other its share, or of its own. */
const linkBytes = (fields: InstructionOf<'coll'>['fields'], rows: number, chips: number): number => {
  const { bytes } = fields;
  const members = membersOf(fields, chips);
  const part = Math.ceil(bytes / members) * (members - 1);
  const all = bytes * (members - 1);
  const shared = shareOf(rows, members) * all;
  const sent = { allgather: rows * all, allreduce: rows * 2 * part, reducescatter: rows * part, broadcast: rows * all, send: members > 1 ? rows * bytes : 0, shift: members > reachOf(fields) ? rows * bytes : 0, exchange: shared, collect: shared, collectlist: shared };
  return sent[fields.kind];
};

/** Rows of a window that one of `2^split` groups of arrays takes. */
const groupRows = (rows: number, split: number): number => Math.ceil(rows / 2 ** split);

/** Steps in which arrays go through k-tiles: 2^kSplit of them at a time. */
export const kSteps = ({ kTiles, kSplit = 0 }: { readonly kTiles: number; readonly kSplit?: number }): number => Math.ceil(kTiles / 2 ** kSplit);
/** Cycles to load one weight tile into an array's FIFO: a row a cycle, bf16 rows at the half-rate port. Scales of blocks come beside it. */
export const tileLoadCycles = (format: string, rates: Rates): number => Math.ceil(rates.side * (format === 'bf16' ? rates.slow : 1));
/** Cycles an array streams the rows of one k-tile, at half rate if an operand is bf16: a tile without rows goes by in one. The next starts no sooner than it can move in (fifo.ts). */
export const tileStreamCycles = (product: InstructionOf<'mm'>['fields'], rows: number, rates: Rates): number =>
  Math.max(1, Math.ceil(groupRows(rows, product.split) * (isSlow(product) ? rates.slow : 1)));

/**
 * The closed form of each instruction for `rows` effective rows. Uncontended: HBM flows add bytes / (share x efficiency), `coll`'s bytes are
 * over the link rate already, `mm` has its weights loaded, `attn` depends on the work list (attention.ts) and `hostw` on the table.
 */
export const costs: { readonly [M in Mnemonic]: Closed<M> } = {
  nop: () => unit(1),
  sync: () => unit(1),
  loop: () => idle,
  sreg: () => idle,
  salu: () => idle,
  call: () => idle,
  ret: () => idle,
  setp: () => idle,
  trace: () => unit(1),
  hostw: (fields, _rows, rates) => unit(fields.bytes / rates.lineBytes),
  event: () => unit(1),
  dld: (fields, rows, rates) => transfer(rows, fields.lines, fields.srcPitch, rates),
  dst: (fields, rows, rates) => transfer(rows, fields.lines, fields.dstPitch, rates),
  dcp: (fields, rows) => unit(rows * fields.lines),
  dgat: (fields, rows, rates) => indexed(rows, fields.lines, rates),
  dsct: (fields, rows, rates) => indexed(rows, fields.lines, rates),
  wld: (fields, _rows, rates) => unit(kSteps(fields) * tileLoadCycles(fields.format, rates)),
  mm: (fields, rows, rates) => {
    const k = (fields.kTiles - 1) * rates.side + fields.kLast;
    return {
      ...idle,
      cycles: kSteps(fields) * tileStreamCycles(fields, rows, rates),
      latency: rows === 0 ? 0 : 2 * rates.side - 2 + (fields.kSplit ?? 0),
      work: rows * k * fields.nTiles * rates.side,
    };
  },
  epi: (fields, rows) => unit(groupRows(rows, fields.split), { latency: rows === 0 ? 0 : pipelineCycles }),
  aq: (fields, rows, rates) => attentionMove(rows, fields.heads, fields.headDim, rates),
  attn: () => unit(1),
  afin: () => unit(1),
  vmap: (fields, rows, rates) => lanes(rows * fields.columns, chainPasses(fields), rates),
  vmap3: (fields, rows, rates) => lanes(rows * fields.columns, chainPasses(fields), rates),
  vred: (fields, rows, rates) => lanes(rows * fields.columns, fields.reduce === 'meanSquare' ? 2 * lanePasses.move : lanePasses.move, rates),
  vnorm: (fields, rows, rates) => lanes(rows * fields.columns, lanePasses[fields.kind], rates),
  vrope: (fields, rows, rates) =>
    lanes(1, rows * fields.heads * (lanePasses.rope * fields.rotary + lanePasses.move * (fields.headDim - fields.rotary)), rates),
  vqnt: (fields, rows, rates) => lanes(rows * fields.columns, fields.mode === 'given' ? lanePasses.scale : lanePasses.quantise, rates),
  vqblk: (fields, rows, rates) => lanes(rows * fields.columns, lanePasses.quantise, rates),
  sample: (fields, rows, rates) => lanes(rows * fields.columns, fields.mode === 'draw' ? lanePasses.draw : lanePasses.move, rates),
  route: (fields, rows, rates) => lanes(rows * fields.experts, lanePasses.special + 2 * lanePasses.move + fields.k, rates),
  perm: (fields, rows, rates) => lanes(rows * fields.k * fields.columns, fields.direction === 'combine' ? 2 * lanePasses.move : lanePasses.move, rates),
  bin: (fields, _, rates) => lanes(binsOf({ ...fields, max: fields.rows.max }) * fields.size, 2 * lanePasses.move, rates),
  mix: (fields, rows, rates) => lanes(rows * fields.k * fields.columns, 2 * lanePasses.move, rates),
  coll: (fields, rows, rates) => {
    const bytes = linkBytes(fields, rows, rates.chips);
    return unit(bytes / rates.link, { latency: bytes === 0 ? 0 : rates.linkLatency, linkBytes: bytes });
  },
};

/** Cycles to read the partials of a window of `rows` queries, loaded by the `aq` with these fields, and to store its results. A partial has m and l beside O. */
export const finishCost = (query: InstructionOf<'aq'>['fields'], { merge = 0, partial = false }: InstructionOf<'afin'>['fields'], rows: number, rates: Rates): Cost => {
  const values = valueDimOf(query);
  return attentionMove(rows, query.heads, (merge + (partial ? 1 : 0)) * (values + 2) + (partial ? 0 : values), rates);
};

/** Elements of a head's values. */
export const valueDimOf = ({ valueDim, headDim }: InstructionOf<'aq'>['fields']): number => valueDim ?? headDim;

/** Bytes of an element of the keys and values an `attn` streams. */
export const keyBytes = (fields: InstructionOf<'attn'>['fields']): number => formatBytes[fields.format];
