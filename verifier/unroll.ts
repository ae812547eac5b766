import type { Instruction, Token } from '../isa-spec/instructions.ts';

export type Frame = { readonly level: number; readonly begin: number; readonly end: number; readonly count: number };
export type Indices = [number, number, number, number];

/** A queue's way through its code with loops expanded as it goes: nothing is ever written out. */
export class Cursor {
  readonly code: readonly Instruction[];
  readonly I: Indices = [0, 0, 0, 0];
  readonly frames: Frame[] = [];
  pc = 0;

  constructor(code: readonly Instruction[]) {
    this.code = code;
  }

  get done(): boolean {
    return this.pc >= this.code.length;
  }

  /** The instruction to issue next. */
  get instruction(): Instruction {
    return this.code[this.pc]!;
  }

  /** Issues the instruction at hand. True when that began another iteration of the outermost loop, or ended it. */
  advance(): boolean {
    const { instruction } = this;
    const at = this.pc++;
    if (instruction.op === 'loop') {
      const { level, count, body } = instruction.fields;
      this.frames.push({ level, begin: at + 1, end: at + 1 + body, count });
      this.I[level as 0] = 0;
    }
    for (let frame = this.frames.at(-1); frame !== undefined && this.pc === frame.end; frame = this.frames.at(-1)) {
      const level = frame.level as 0;
      if (++this.I[level] < frame.count) {
        this.pc = frame.begin;
        return this.frames.length === 1;
      }
      this.I[level] = 0;
      this.frames.pop();
      if (this.frames.length === 0) return true;
    }
    return false;
  }
}

/** Every loop around each instruction, outermost first. */
export function loopsAround(code: readonly Instruction[]): readonly (readonly Frame[])[] {
  let open: readonly Frame[] = [];
  return code.map((instruction, pc) => {
    open = open.filter(({ end }) => pc < end);
    const here = open;
    if (instruction.op === 'loop') {
      const { level, count, body } = instruction.fields;
      open = [...open, { level, begin: pc + 1, end: pc + 1 + body, count }];
    }
    return here;
  });
}

type Tokens = { readonly waits: readonly Token[]; readonly posts: readonly Token[] };
const known = new WeakMap<Instruction, Tokens>();

/** All tokens an instruction takes, or gives: those of its word and, of a sync, the further ones; one entry a semaphore. */
export function tokensOf(instruction: Instruction, side: 'waits' | 'posts'): readonly Token[] {
  if (instruction.op !== 'sync') return instruction[side].length < 2 ? instruction[side] : summed(instruction[side]);
  let tokens = known.get(instruction);
  if (tokens === undefined) {
    const f = instruction.fields;
    const waits = further(instruction.waits, [f.wait2, f.wait3, f.wait4, f.wait5], [f.waitCount2, f.waitCount3, f.waitCount4, f.waitCount5]);
    const posts = further(instruction.posts, [f.post2, f.post3, f.post4, f.post5], [f.postCount2, f.postCount3, f.postCount4, f.postCount5]);
    tokens = { waits, posts };
    known.set(instruction, tokens);
  }
  return tokens[side];
}

function further(tokens: readonly Token[], semaphores: readonly number[], counts: readonly number[]): readonly Token[] {
  const all = [...tokens];
  semaphores.forEach((semaphore, i) => {
    if (semaphore !== 0) all.push({ semaphore, count: counts[i]! });
  });
  return summed(all);
}

/** One entry a semaphore. */
function summed(tokens: readonly Token[]): readonly Token[] {
  if (tokens.every(({ semaphore }, i) => tokens.findIndex((other) => other.semaphore === semaphore) === i)) return tokens;
  const sums = new Map<number, number>();
  for (const { semaphore, count } of tokens) sums.set(semaphore, (sums.get(semaphore) ?? 0) + count);
  return [...sums].map(([semaphore, count]) => ({ semaphore, count }));
}
