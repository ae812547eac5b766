import type { Instruction } from '../isa-spec/instructions.ts';
import { falls, registerMax, scalars } from '../isa-spec/scalars.ts';
import { type Frame, loopsAround } from './unroll.ts';

/** What a register holds where it is read: `text` says which function of the step's counts; and the least and the most it is in steps within the entry's bounds. */
export type Held = { readonly text: string; readonly least: number; readonly most: number };
/** What registers hold before an instruction; those not in it have not been set. */
export type Registers = ReadonlyMap<number, Held>;
export type RegisterProblem = { readonly at: number; readonly says: string };

/** R0 of every queue: as many as there are. */
export const all: Held = { text: 'all', least: registerMax, most: registerMax };

/**
 * What the registers of a queue hold, by place in its code (calls written out), and what is wrong with how they are set. Registers are
 * computed from the step's counts alone. So as long as none is set after it is read within a loop, each read sees the same in every turn, and
 * the write before it in the code is the one it sees.
 */
export function registersOf(code: readonly Instruction[], bounds: Readonly<Record<string, number>>): { readonly before: readonly Registers[]; readonly problems: readonly RegisterProblem[] } {
  const problems: RegisterProblem[] = [];
  const writes = writesIn(code);
  /** By register, how many of its writes have come. */
  const passed = new Map<number, number>();
  const around = loopsAround(code);
  let held: Registers = new Map([[0, all]]);
  const before = code.map((instruction, at): Registers => {
    const here = held;
    for (const { register, as } of readsOf(instruction)) {
      const [all, count] = [writes.get(register) ?? [], passed.get(register) ?? 0];
      const problem = here.has(register) ? changed(around[at]!, all[count - 1], all[count]) : 'nothing has set';
      if (problem !== undefined) problems.push({ at, says: `${as} R${register}, which ${problem}` });
    }
    if (instruction.op === 'sreg') {
      const { reg, count } = instruction.fields;
      held = new Map(here).set(reg, { text: count, least: 0, most: bounds[count] ?? registerMax });
      passed.set(reg, (passed.get(reg) ?? 0) + 1);
    } else if (instruction.op === 'salu') {
      const { reg, least, most } = instruction.fields;
      const result = computed(instruction.fields, here);
      const says = outside(result, least, most);
      if (says !== undefined) problems.push({ at, says });
      held = new Map(here).set(reg, result);
      passed.set(reg, (passed.get(reg) ?? 0) + 1);
    }
    return here;
  });
  return { before, problems };
}

type Salu = Extract<Instruction, { op: 'salu' }>['fields'];

/** The registers whose setting matters to an instruction, and what it does with them. */
function readsOf(instruction: Instruction): readonly { readonly register: number; readonly as: string }[] {
  if ('rows' in instruction.fields) return [{ register: instruction.fields.rows.reg, as: '`rows` is shortened by' }];
  if (instruction.op === 'setp') return [{ register: instruction.fields.reg, as: 'compares' }];
  if (instruction.op !== 'salu') return [];
  const { a, b } = instruction.fields;
  return [a, b].filter((register) => register !== 0).map((register) => ({ register, as: 'computes with' }));
}

/** By register, where it is set, in order. */
function writesIn(code: readonly Instruction[]): ReadonlyMap<number, readonly number[]> {
  const writes = new Map<number, number[]>();
  code.forEach((instruction, at) => {
    if (instruction.op !== 'sreg' && instruction.op !== 'salu') return;
    const { reg } = instruction.fields;
    const known = writes.get(reg);
    if (known === undefined) writes.set(reg, [at]);
    else known.push(at);
  });
  return writes;
}

/** Says that a register read between two writes, the last so far and the next, has another value in the next turn of a loop around; undefined if it has not. */
function changed(around: readonly Frame[], last = -1, next = Infinity): string | undefined {
  const loop = around.find(({ begin, end }) => begin > last && next < end);
  return loop === undefined ? undefined : `is set later in the loop that counts I${loop.level}: it differs from turn to turn`;
}

/** Longest term worth comparing. */
const textMax = 1000;
const noText: Held = { text: '', least: 0, most: 0 };

function computed({ function: name, a, b, value }: Salu, held: Registers): Held {
  const first = held.get(a) ?? noText;
  const second = b === 0 ? { text: `${value}`, least: value, most: value } : (held.get(b) ?? noText);
  const [low, high] = falls.has(name) ? [second.most, second.least] : [second.least, second.most];
  const text = name === 'copy' ? second.text : `${name}(${first.text}, ${second.text})`;
  return { text: text.length > textMax ? `${text.slice(0, textMax)}...` : text, least: scalars[name](first.least, low), most: scalars[name](first.most, high) };
}

/** Says that a result is not sure to be within the range declared of it; undefined if it is. */
function outside({ text, least, most }: Held, low: number, high: number): string | undefined {
  if (text.length > textMax) return `not proved: what it computes is too long a term of the step's counts: ${text.slice(0, 60)}...`;
  if (least >= low && most <= high) return undefined;
  const range = Number.isFinite(most) ? `may be ${least === most ? least : `${least} to ${most}`}` : 'may divide by 0, or be too large a number';
  return `\`${text}\` ${range}; it is declared to be ${low} to ${high}`;
}
