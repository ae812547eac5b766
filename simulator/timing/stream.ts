import { hostTables, type Instruction, type Mnemonic, type Queue, queues, stepCounts, type StrideSet, type Token } from '../../isa-spec/instructions.ts';
import type { RowWindow } from '../../isa-spec/fields.ts';
import { membersOf } from '../../isa-spec/groups.ts';
import { isSlow } from '../../isa-spec/profiles.ts';
import { type Cost, costs, kSteps, tileLoadCycles, tileStreamCycles } from './cycles.ts';
import type { Rates } from './rates.ts';

/** How the event loop treats an instruction. */
const actions = ['fixed', 'loop', 'call', 'return', 'count', 'compute', 'compare', 'dma', 'weights', 'multiply', 'drain', 'query', 'attend', 'finish', 'gather'] as const;
type Action = (typeof actions)[number];

const actionOf: { readonly [M in Mnemonic]: Action } = {
  nop: 'fixed', sync: 'fixed', loop: 'loop', call: 'call', ret: 'return', sreg: 'count', salu: 'compute', setp: 'compare', trace: 'fixed',
  dcp: 'fixed', hostw: 'fixed', event: 'fixed', dld: 'dma', dst: 'dma', dgat: 'dma', dsct: 'dma', wld: 'weights', mm: 'multiply',
  epi: 'drain', aq: 'query', attn: 'attend', afin: 'finish', vmap: 'fixed', vmap3: 'fixed', vred: 'fixed', sample: 'fixed', route: 'fixed', perm: 'fixed', bin: 'fixed', mix: 'fixed', vnorm: 'fixed', vrope: 'fixed', vqnt: 'fixed', vqblk: 'fixed', coll: 'gather',
};
export const actionCode = Object.fromEntries(actions.map((name, code) => [name, code])) as { readonly [A in Action]: number };

/** The code of one queue, as read from a container. */
export type QueueCode = { readonly instructions: readonly Instruction[]; readonly strideSets: readonly StrideSet[] };
export type ChipCode = Readonly<Record<Queue, QueueCode>>;

/** Two slots of costs an instruction: for its full window, and for the other row count seen last. */
const slots = 2;

/**
 * One queue's code in columns, one element an instruction. Waits of instruction `pc` are `waitStart[pc]` to `waitStart[pc + 1]` of
 * `waitSemaphore` and `waitCount`, posts likewise. Columns of costs are indexed by the slot `prepare` returns.
 */
export type Stream = {
  readonly length: number;
  readonly instructions: readonly Instruction[];
  readonly strideSets: readonly StrideSet[];
  readonly action: Uint8Array;
  readonly waitStart: Int32Array;
  readonly waitSemaphore: Uint8Array;
  readonly waitCount: Uint8Array;
  readonly postStart: Int32Array;
  readonly postSemaphore: Uint8Array;
  readonly postCount: Uint8Array;
  /** Predicate each has its effect under, 0: always. */
  readonly predicate: Uint8Array;
  /** Row window; rowsMax is 0 for an instruction without one. */
  readonly rowsMax: Float64Array;
  readonly rowsRegister: Uint8Array;
  readonly rowsLevel: Uint8Array;
  /** loop: count, body. call: target, frame. sreg: register, step count. wld: steps, cycles a tile. mm: steps, columns. epi: valid columns. dma: region. hostw: table. coll: chips that meet. */
  readonly a: Float64Array;
  readonly b: Float64Array;
  /** loop: its level. mm: levels of adders. */
  readonly level: Uint8Array;
  /** mm, epi: accumulator row and its stride set. mm: 0 overwrites, 1 adds, 2 overwrites in iteration 0 of level 3. */
  readonly accRow: Int32Array;
  readonly accStride: Uint8Array;
  readonly accumulate: Uint8Array;
  /** mm, attn: 1 if an operand is bf16. */
  readonly slow: Uint8Array;
  /** Numbers of the ways calls lead (`pathOf`), by the way to the call and its pc. */
  readonly paths: Map<number, number>;
  /** Everything read from HBM so far; and what is known of each read (`readOf`), by the way to it and its pc. */
  readonly reads: { readonly known: Set<string>; readonly at: Map<number, number> };
  readonly otherRows: Int32Array;
  readonly cycles: Float64Array;
  readonly latency: Float64Array;
  readonly hbmBytes: Float64Array;
  readonly runBytes: Float64Array;
  readonly linkBytes: Float64Array;
  readonly work: Float64Array;
  /** mm: cycles a k-tile streams. */
  readonly tile: Float64Array;
};

type Tokens = { start: Int32Array; semaphore: Uint8Array; count: Uint8Array };

/** Tokens of each instruction, those of one semaphore added up. */
function tokenColumns(lists: readonly (readonly Token[])[]): Tokens {
  const start = new Int32Array(lists.length + 1);
  const semaphore: number[] = [];
  const count: number[] = [];
  lists.forEach((list, pc) => {
    const sums = new Map<number, number>();
    for (const token of list) if (token.semaphore !== 0) sums.set(token.semaphore, (sums.get(token.semaphore) ?? 0) + token.count);
    for (const [id, sum] of sums) {
      semaphore.push(id);
      count.push(sum);
    }
    start[pc + 1] = semaphore.length;
  });
  return { start, semaphore: Uint8Array.from(semaphore), count: Uint8Array.from(count) };
}

const present = (tokens: readonly Token[]): readonly Token[] => tokens.filter((token) => token.semaphore !== 0);

/** Every wait of an instruction, those of `sync`'s own fields included. */
function waitsOf(instruction: Instruction): readonly Token[] {
  if (instruction.op !== 'sync') return instruction.waits;
  const f = instruction.fields;
  const more = [[f.wait2, f.waitCount2], [f.wait3, f.waitCount3], [f.wait4, f.waitCount4], [f.wait5, f.waitCount5]] as const;
  return [...instruction.waits, ...present(more.map(([semaphore, count]) => ({ semaphore, count })))];
}

/** Every post of an instruction, likewise. */
function postsOf(instruction: Instruction): readonly Token[] {
  if (instruction.op !== 'sync') return instruction.posts;
  const f = instruction.fields;
  const more = [[f.post2, f.postCount2], [f.post3, f.postCount3], [f.post4, f.postCount4], [f.post5, f.postCount5]] as const;
  return [...instruction.posts, ...present(more.map(([semaphore, count]) => ({ semaphore, count })))];
}

/** Bit `l` set: iterations of level `l` do not move an operand of this stride set. */
function stillLevels(set: StrideSet | undefined): number {
  if (set === undefined) return 15;
  let mask = 0;
  for (let level = 0; level < 4; level++) {
    const moves = set.strides[level] !== 0 || (set.ring.depth > 1 && (set.ring.steps[level] ?? 0) % set.ring.depth !== 0);
    if (!moves) mask |= 1 << level;
  }
  return mask;
}

/** The set of a frame an operand names; 0 moves nothing. */
export const strideSetOf = (sets: readonly StrideSet[], frame: number, ss: number): StrideSet | undefined => (ss === 0 ? undefined : sets[frame + ss]);

/** Columns of one queue's code. */
function streamOf(code: QueueCode, rates: Rates): Stream {
  const n = code.instructions.length;
  const waits = tokenColumns(code.instructions.map(waitsOf));
  const posts = tokenColumns(code.instructions.map(postsOf));
  const column = (): Float64Array => new Float64Array(n);
  const costColumn = (): Float64Array => new Float64Array(n * slots);
  const stream: Stream = {
    length: n,
    instructions: code.instructions,
    strideSets: code.strideSets,
    action: new Uint8Array(n),
    waitStart: waits.start, waitSemaphore: waits.semaphore, waitCount: waits.count,
    postStart: posts.start, postSemaphore: posts.semaphore, postCount: posts.count,
    predicate: Uint8Array.from(code.instructions, (instruction) => instruction.predicate ?? 0),
    rowsMax: column(), rowsRegister: new Uint8Array(n), rowsLevel: new Uint8Array(n),
    a: column(), b: column(), level: new Uint8Array(n),
    accRow: new Int32Array(n), accStride: new Uint8Array(n), accumulate: new Uint8Array(n), slow: new Uint8Array(n),
    paths: new Map(), reads: { known: new Set(), at: new Map() }, otherRows: new Int32Array(n).fill(-1),
    cycles: costColumn(), latency: costColumn(), hbmBytes: costColumn(), runBytes: costColumn(), linkBytes: costColumn(), work: costColumn(), tile: costColumn(),
  };
  code.instructions.forEach((instruction, pc) => {
    stream.action[pc] = actionCode[actionOf[instruction.op]];
    if ('rows' in instruction.fields) {
      const rows: RowWindow = instruction.fields.rows;
      stream.rowsMax[pc] = rows.max;
      stream.rowsRegister[pc] = rows.reg;
      stream.rowsLevel[pc] = rows.level;
    }
    operands(stream, pc, instruction, rates);
    fill(stream, pc, stream.rowsMax[pc]!, pc * slots, rates);
  });
  return stream;
}

/** The columns of instruction `pc` that depend on its kind. */
function operands(stream: Stream, pc: number, instruction: Instruction, rates: Rates): void {
  switch (instruction.op) {
    case 'loop':
      stream.a[pc] = instruction.fields.count;
      stream.b[pc] = instruction.fields.body;
      stream.level[pc] = instruction.fields.level;
      return;
    case 'call':
      stream.a[pc] = instruction.fields.target;
      stream.b[pc] = instruction.fields.frame;
      return;
    case 'hostw':
      stream.a[pc] = hostTables.indexOf(instruction.fields.table);
      return;
    case 'sreg':
      stream.a[pc] = instruction.fields.reg;
      stream.b[pc] = stepCounts.indexOf(instruction.fields.count);
      return;
    case 'dld':
    case 'dgat':
      stream.a[pc] = instruction.fields.src.base;
      return;
    case 'dst':
    case 'dsct':
      stream.a[pc] = instruction.fields.dst.base;
      return;
    case 'attn':
      stream.slow[pc] = Number(instruction.fields.format === 'bf16');
      return;
    case 'coll':
      stream.a[pc] = membersOf(instruction.fields, rates.chips);
      return;
    case 'wld':
      stream.a[pc] = kSteps(instruction.fields);
      stream.b[pc] = tileLoadCycles(instruction.fields.format, rates);
      return;
    case 'mm': {
      const { acc, accumulate, nTiles, kSplit = 0 } = instruction.fields;
      stream.level[pc] = kSplit;
      stream.slow[pc] = Number(isSlow(instruction.fields));
      stream.a[pc] = kSteps(instruction.fields);
      stream.b[pc] = nTiles * rates.side;
      stream.accRow[pc] = acc.addr;
      stream.accStride[pc] = acc.ss;
      stream.accumulate[pc] = ['no', 'yes', 'first'].indexOf(accumulate);
      return;
    }
    case 'epi': {
      const { acc, nTiles, nLast, gated } = instruction.fields;
      const halves = gated ? 2 : 1;
      stream.a[pc] = halves * ((nTiles / halves - 1) * rates.side + nLast);
      stream.accRow[pc] = acc.addr;
      stream.accStride[pc] = acc.ss;
      return;
    }
    default:
  }
}

/** What `readOf` says of a read that some instruction before has made. */
export const readBefore = 16;

/** The way to a subprogram: by the call at `pc`, which `path` has led to. 0 is that of no call. */
export function pathOf({ length, paths }: Stream, path: number, pc: number): number {
  const key = path * length + pc;
  const known = paths.get(key) ?? paths.size + 1;
  paths.set(key, known);
  return known;
}

/**
 * Of the HBM operand of instruction `pc`, issued in a frame by way of `path`: `readBefore` if an instruction before reads the same, a
 * subprogram's being another by every path; else the loop levels (bits) in whose iterations it stays where it is.
 */
export function readOf(stream: Stream, pc: number, path: number, frame: number): number {
  const { at } = stream.reads;
  const key = path * stream.length + pc;
  const known = at.get(key);
  if (known !== undefined) return known;
  const read = firstRead(stream, stream.instructions[pc]!, frame);
  at.set(key, read);
  return read;
}

function firstRead({ strideSets, reads: { known } }: Stream, instruction: Instruction, frame: number): number {
  if (instruction.op !== 'dld' && instruction.op !== 'dgat') return 0;
  const { src, srcPitch, lines, rows } = instruction.fields;
  const set = strideSetOf(strideSets, frame, src.ss);
  const key = JSON.stringify([instruction.op, src.base, src.off, set, srcPitch, lines, rows]);
  if (known.has(key)) return readBefore;
  known.add(key);
  return instruction.op === 'dgat' ? 0 : stillLevels(set);
}

/** Writes the costs of instruction `pc` for `rows` rows to slot `slot`. */
function fill(stream: Stream, pc: number, rows: number, slot: number, rates: Rates): void {
  const instruction = stream.instructions[pc]!;
  const cost = costOf(instruction, rows, rates);
  stream.cycles[slot] = cost.cycles;
  stream.latency[slot] = cost.latency;
  stream.hbmBytes[slot] = cost.hbmBytes;
  stream.runBytes[slot] = cost.runBytes;
  stream.linkBytes[slot] = cost.linkBytes;
  stream.work[slot] = cost.work;
  if (instruction.op === 'mm') stream.tile[slot] = tileStreamCycles(instruction.fields, rows, rates);
}

/** Closed form of an instruction, whatever it is. */
export function costOf<I extends Instruction>(instruction: I, rows: number, rates: Rates): Cost {
  const closed = costs[instruction.op] as (fields: I['fields'], rows: number, rates: Rates) => Cost;
  return closed(instruction.fields, rows, rates);
}

/** Slot of the costs of instruction `pc` for `rows` rows, computed now if they are not there. */
export function prepare(stream: Stream, pc: number, rows: number, rates: Rates): number {
  if (rows === stream.rowsMax[pc]) return pc * slots;
  const slot = pc * slots + 1;
  if (rows !== stream.otherRows[pc]) {
    fill(stream, pc, rows, slot, rates);
    stream.otherRows[pc] = rows;
  }
  return slot;
}

/** Columns of every queue of a chip, in the order of `queues`. */
export type ChipStreams = readonly Stream[];
export const chipStreams = (code: ChipCode, rates: Rates): ChipStreams => queues.map((queue) => streamOf(code[queue], rates));

/** Which queue posts each semaphore (its index in `queues`), -1 if none does. */
export function postersOf(streams: ChipStreams): Int8Array {
  const poster = new Int8Array(256).fill(-1);
  streams.forEach((stream, queue) => stream.postSemaphore.forEach((id) => (poster[id] = queue)));
  return poster;
}

/** Instructions a queue issues in a step, from one on to the end, or to where its subprogram returns: bodies of loops as often as they are repeated. */
export function issuesOf(stream: Stream, from = 0, to = stream.length): number {
  let count = 0;
  for (let pc = from; pc < to; pc++) {
    count++;
    const action = stream.action[pc];
    if (action === actionCode.return) break;
    if (action === actionCode.call) count += issuesOf(stream, stream.a[pc]!);
    if (action !== actionCode.loop) continue;
    const body = stream.b[pc]!;
    count += stream.a[pc]! * issuesOf(stream, pc + 1, pc + 1 + body);
    pc += body;
  }
  return count;
}
