import type { Instruction, Queue, StrideSet, Token } from '../../isa-spec/instructions.ts';
import { registerMax } from '../../isa-spec/scalars.ts';
import { effects, type Execute } from './execute.ts';
import type { Chip, QueueState } from './state.ts';
import type { Mnemonic } from '../../isa-spec/instructions.ts';

/** An instruction, decoded once: all the tokens it takes and gives, and its effect. */
export type Prepared = {
  readonly instruction: Instruction;
  readonly waits: readonly Token[];
  readonly posts: readonly Token[];
  readonly run: (chip: Chip, queue: QueueState) => void;
};

/** The code of a queue, ready to run. */
export type PreparedQueue = { readonly name: Queue; readonly code: readonly Prepared[]; readonly strideSets: readonly StrideSet[] };

/** A queue at the beginning of a step. */
export const queueState = ({ name, code, strideSets }: PreparedQueue): QueueState => {
  const R = new Float64Array(32);
  R[0] = registerMax;
  return { name, code: code.map(({ instruction }) => instruction), strideSets, I: [0, 0, 0, 0], R, P: new Uint8Array(8), loops: [], calls: [], frame: 0, pc: 0, offer: undefined };
};

/** One token list, a semaphore named twice counted together: tokens are taken all at once. */
const together = (tokens: readonly Token[]): readonly Token[] => {
  const counts = new Map<number, number>();
  for (const { semaphore, count } of tokens) if (semaphore !== 0) counts.set(semaphore, (counts.get(semaphore) ?? 0) + count);
  return [...counts].map(([semaphore, count]) => ({ semaphore, count }));
};

const furtherTokens = (instruction: Instruction): { readonly waits: readonly Token[]; readonly posts: readonly Token[] } => {
  if (instruction.op !== 'sync') return { waits: [], posts: [] };
  const f = instruction.fields;
  const tokens = (...pairs: readonly (readonly [number, number])[]): readonly Token[] => pairs.map(([semaphore, count]) => ({ semaphore, count }));
  return {
    waits: tokens([f.wait2, f.waitCount2], [f.wait3, f.waitCount3], [f.wait4, f.waitCount4], [f.wait5, f.waitCount5]),
    posts: tokens([f.post2, f.postCount2], [f.post3, f.postCount3], [f.post4, f.postCount4], [f.post5, f.postCount5]),
  };
};

/** Binds an instruction to what it does. */
export const prepare = (instruction: Instruction): Prepared => {
  const further = furtherTokens(instruction);
  const effect = effects[instruction.op] as Execute<Mnemonic>;
  const { fields, predicate } = instruction;
  return {
    instruction,
    waits: together([...instruction.waits, ...further.waits]),
    posts: together([...instruction.posts, ...further.posts]),
    run: predicate === undefined
      ? (chip, queue) => effect(chip, queue, fields as never)
      : (chip, queue) => { if (queue.P[predicate] === 1) effect(chip, queue, fields as never); },
  };
};
