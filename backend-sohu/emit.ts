import { encode, withoutRoom } from '../isa-spec/encoding.ts';
import { type Instruction, type Queue, queues, type StrideSet, wordBytes } from '../isa-spec/instructions.ts';
import { shareOf } from '../isa-spec/groups.ts';
import type { Machine } from '../isa-spec/machine.ts';
import { allTileOps, type Buffer, isLoop, type TileModule, type TileNode, type TileOp } from '../ir/tile/module.ts';
import { queueOf } from '../ir/tile/queue.ts';
import type { Layout } from './allocate.ts';
import { type Framed, inFrames } from './frames.ts';
import { Addressing, OffLine, type RowCount, rowCounts, select, wholeCount } from './select.ts';
import { type Mark, type Marks, runsOn, type Synchronised } from './synchronise.ts';

/** The code of one queue, and for each word the label of the op it is part of. `ops`: where the words of tile ops are, in order (frames.ts). */
export type QueueCode = { readonly queue: Queue; readonly words: Uint8Array; readonly strideSets: readonly StrideSet[]; readonly labels: readonly string[]; readonly ops: readonly number[] };

/** Sizes no instruction has room for, each with the op that has them. */
export class NoRoom extends Error {
  readonly problems: readonly { readonly label: string; readonly what: string }[];

  constructor(problems: NoRoom['problems']) {
    super(problems.map(({ label, what }) => `${label}: ${what}`).join('; '));
    this.name = 'NoRoom';
    this.problems = problems;
  }
}

const inWord = 2;
const inSync = 6;

/**
 * Each queue's part of the program: its ops in program order inside the loops that have any, with the tokens they take and give.
 * Throws NoRoom for ops larger than the instructions can say.
 */
export function emit(module: TileModule, layout: Layout, tokens: Synchronised, machine: Machine): readonly QueueCode[] {
  const streams = queues.flatMap((queue) => {
    const stream = new Stream(queue, new Addressing(module, layout, machine.sram.lineBytes.value));
    stream.counts(countsRead(module, queue), module.bounds);
    const prologue = stream.length;
    emitNodes(module.body, stream, tokens, module.buffers);
    if (queue === 'ctl') {
      stream.tokens(of(tokens.before.waits, 'end', queue), [], 'end');
      stream.push({ op: 'event', fields: { tag: 0 } }, 'end');
    }
    return stream.length === prologue ? [] : [stream];
  });
  const problems = streams.flatMap((stream) => stream.problems());
  if (problems.length > 0) throw new NoRoom(problems);
  return streams.map((stream) => stream.code());
}

function emitNodes(nodes: readonly TileNode[], stream: Stream, tokens: Synchronised, buffers: readonly Buffer[]): void {
  const { queue } = stream;
  for (const node of nodes) {
    if (!runsOn(node, queue, buffers)) continue;
    const label = labelOf(node);
    const waits = of(tokens.before.waits, node, queue);
    const posts = of(tokens.after.posts, node, queue);
    // Tokens given in advance say only that this queue has come here; giving them first keeps others from waiting for us.
    stream.tokens([], of(tokens.before.posts, node, queue), label);
    if (isLoop(node)) {
      stream.tokens(waits, [], label);
      stream.loop(node.level, node.count, label, () => emitNodes(node.body, stream, tokens, buffers));
      stream.tokens([], posts, label);
    } else stream.op(node, waits, posts);
    stream.tokens(of(tokens.after.waits, node, queue), [], label);
  }
}

/** What a node is part of: a loop within a layer of what its first op is. */
const labelOf = (node: TileNode): string => (!isLoop(node) ? node.label : node.level === 0 || node.body[0] === undefined ? node.name : labelOf(node.body[0]));

const of = (marks: Marks, node: TileNode | 'end', queue: Queue): readonly Mark[] => marks.get(node)?.get(queue) ?? [];

/** The counts a queue reads, and those of the step it computes them from. */
function countsRead({ body, buffers }: TileModule, queue: Queue): readonly RowCount[] {
  const ops = [...allTileOps(body)].filter((op) => queueOf(op, buffers) === queue);
  return rowCounts(ops).filter(({ of }) => ops.some(({ rows }) => rows.of === of));
}

type Unsynchronised = { readonly op: Instruction['op']; readonly fields: unknown };

class Stream {
  readonly queue: Queue;
  readonly #addressing: Addressing;
  readonly #instructions: Instruction[] = [];
  readonly #labels: string[] = [];

  constructor(queue: Queue, addressing: Addressing) {
    this.queue = queue;
    this.#addressing = addressing;
  }

  readonly #offLines: { readonly label: string; readonly what: string }[] = [];

  get length(): number {
    return this.#instructions.length;
  }

  push(instruction: Unsynchronised, label: string, waits: readonly Mark[] = [], posts: readonly Mark[] = []): void {
    this.#instructions.push({ ...instruction, waits, posts } as Instruction);
    this.#labels.push(label);
  }

  /** Loads the counts of the step, and computes those of its parts: what there is beyond the first row, but no more than the part's; then a chip's shares. */
  counts(counts: readonly RowCount[], bounds: TileModule['bounds']): void {
    for (const count of counts) {
      const { of, part, shared } = count;
      const reg = this.#addressing.register(count);
      if (of === 'all') continue;
      const beyond = part === undefined ? bounds[of] : Math.max(0, bounds[of] - part.first);
      const most = part === undefined ? beyond : Math.min(part.rows, beyond);
      if (shared !== undefined) {
        this.push({ op: 'salu', fields: { function: 'ceildiv', reg, a: this.#addressing.register(wholeCount(count)), b: 0, value: shared, least: 0, most: shareOf(most, shared) } }, 'prologue');
        continue;
      }
      if (part === undefined) {
        this.push({ op: 'sreg', fields: { reg, count: of } }, 'prologue');
        continue;
      }
      this.push({ op: 'salu', fields: { function: 'subtract', reg, a: this.#addressing.register({ of }), b: 0, value: part.first, least: 0, most: beyond } }, 'prologue');
      this.push({ op: 'salu', fields: { function: 'minimum', reg, a: reg, b: 0, value: part.rows, least: 0, most } }, 'prologue');
    }
  }

  /** Takes and gives tokens on their own, six of each an instruction. */
  tokens(waits: readonly Mark[], posts: readonly Mark[], label: string): void {
    for (let i = 0; i < Math.max(waits.length, posts.length); i += inSync) {
      const [taken, given] = [waits.slice(i, i + inSync), posts.slice(i, i + inSync)];
      const fields: Record<string, number> = {};
      for (let slot = inWord; slot < inSync; slot++) {
        fields[`wait${slot}`] = taken[slot]?.semaphore ?? 0;
        fields[`waitCount${slot}`] = taken[slot]?.count ?? 0;
        fields[`post${slot}`] = given[slot]?.semaphore ?? 0;
        fields[`postCount${slot}`] = given[slot]?.count ?? 0;
      }
      this.push({ op: 'sync', fields }, label, taken.slice(0, inWord), given.slice(0, inWord));
    }
  }

  op(op: TileOp, waits: readonly Mark[], posts: readonly Mark[]): void {
    const [waitsFit, postsFit] = [waits.length <= inWord, posts.length <= inWord];
    if (!waitsFit) this.tokens(waits, [], op.label);
    try {
      this.push(select(op, this.#addressing), op.label, waitsFit ? waits : [], postsFit ? posts : []);
    } catch (error) {
      if (!(error instanceof OffLine)) throw error;
      this.#offLines.push({ label: op.label, what: error.message });
    }
    if (!postsFit) this.tokens([], posts, op.label);
  }

  loop(level: number, count: number, label: string, body: () => void): void {
    const at = this.#instructions.length;
    this.push({ op: 'loop', fields: { level, count, body: 0 } }, label);
    body();
    const length = this.#instructions.length - at - 1;
    this.#instructions[at] = { op: 'loop', waits: [], posts: [], fields: { level, count, body: length } } as Instruction;
  }

  problems(): NoRoom['problems'] {
    return [...this.#offLines, ...this.#inFrames().words.flatMap(({ instruction, label }) => withoutRoom(instruction).map((what) => ({ label, what })))];
  }

  code(): QueueCode {
    const { words: framed, strideSets, ops } = this.#inFrames();
    const words = new Uint8Array(framed.length * wordBytes);
    framed.forEach(({ instruction }, i) => words.set(encode(instruction, this.queue), i * wordBytes));
    return { queue: this.queue, words, strideSets, labels: framed.map(({ label }) => label), ops };
  }

  #inFrames(): Framed {
    return inFrames(this.#instructions.map((instruction, i) => ({ instruction, label: this.#labels[i] as string })), this.#addressing.strideSets);
  }
}
