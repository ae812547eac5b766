import type { Instruction } from '../isa-spec/instructions.ts';
import type { ChipView, CodePlace, QueueView } from './chip.ts';

/** A stretch of code that is run from its beginning to its end: what a queue's code begins with, or a subprogram. */
export type Routine = { readonly begin: number; readonly end: number };

/** The stretches that calls cut a queue's code into, in order, by where they begin. */
export function routinesOf(code: readonly Instruction[]): ReadonlyMap<number, Routine> {
  const begins = new Set([0, ...callsIn(code, { begin: 0, end: code.length }).map(({ target }) => target)]);
  const sorted = [...begins].filter((begin) => begin < code.length).toSorted((a, b) => a - b);
  return new Map(sorted.map((begin, i) => [begin, { begin, end: sorted[i + 1] ?? code.length }]));
}

/** The calls of a stretch of code. */
export const callsIn = (code: readonly Instruction[], { begin, end }: Routine): readonly { readonly pc: number; readonly target: number }[] =>
  code.slice(begin, end).flatMap((instruction, i) => (instruction.op === 'call' ? [{ pc: begin + i, target: instruction.fields.target }] : []));

/** How long a queue's code is with its subprograms written out where they are called. Its calls must end (V03). */
export function writtenLength(code: readonly Instruction[]): number {
  const lengths = new Map<number, number>();
  const routines = routinesOf(code);
  const lengthOf = (routine: Routine): number => {
    const known = lengths.get(routine.begin) ?? callsIn(code, routine).reduce((sum, { target }) => sum + lengthOf(routines.get(target)!), routine.end - routine.begin);
    lengths.set(routine.begin, known);
    return known;
  };
  return code.length === 0 ? 0 : lengthOf(routines.get(0)!);
}

/**
 * The code of a queue with its subprograms written out where they are called, which is what calls mean: what stands in the code is run
 * in order but for loops, and every operand names its stride set by the set's own number. Calls and returns stay, with their tokens.
 */
export function writtenOut(view: QueueView): QueueView {
  const { queue, code: source, strideSets } = view;
  const routines = routinesOf(source);
  if (routines.size < 2) return view;
  const code: Instruction[] = [];
  const places: CodePlace[] = [];
  const framed = inFrames(source);
  const write = ({ begin, end }: Routine, frame: number, calls: readonly number[]): void => {
    for (let pc = begin; pc < end; pc++) {
      const instruction = source[pc]!;
      const at = code.push(framed(pc, frame)) - 1;
      places.push({ pc, calls });
      if (instruction.op === 'call') write(routines.get(instruction.fields.target)!, frame + instruction.fields.frame, [...calls, pc]);
      if (instruction.op !== 'loop') continue;
      const { body } = instruction.fields;
      write({ begin: pc + 1, end: pc + 1 + body }, frame, calls);
      code[at] = { ...instruction, fields: { ...instruction.fields, body: code.length - at - 1 } };
      pc += body;
    }
  };
  write(routines.get(0)!, 0, []);
  return { queue, code, strideSets, from: { code: source, places } };
}

/** The same of all queues of a chip. */
export const allWrittenOut = (chip: ChipView): ChipView => ({ ...chip, queues: chip.queues.map(writtenOut) });

/** An instruction as it is in a frame: the same each time. */
function inFrames(code: readonly Instruction[]): (pc: number, frame: number) => Instruction {
  const known = new Map<number, (Instruction | undefined)[]>();
  return (pc, frame) => {
    if (frame === 0) return code[pc]!;
    const ofFrame = known.get(frame) ?? [];
    known.set(frame, ofFrame);
    return (ofFrame[pc] ??= inFrame(code[pc]!, frame));
  };
}

function inFrame(instruction: Instruction, frame: number): Instruction {
  const fields = Object.entries(instruction.fields).map(([name, value]: [string, unknown]) => [name, isMoved(value) ? { ...value, ss: frame + value.ss } : value]);
  return { ...instruction, fields: Object.fromEntries(fields) as never };
}

/** Whether a field is an operand that a stride set moves. */
export const isMoved = (value: unknown): value is { readonly ss: number } => typeof value === 'object' && value !== null && 'ss' in value && value.ss !== 0;
