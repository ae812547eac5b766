import { callsMax, type Instruction } from '../../isa-spec/instructions.ts';
import { allWrittenOut, callsIn, isMoved, type Routine, routinesOf, writtenLength } from '../calls.ts';
import { type ChipView, type Finding, nameOf, placeOf, type QueueView } from '../chip.ts';
import { registersOf } from '../registers.ts';
import { loopsAround } from '../unroll.ts';

type Report = (pc: number, message: string, notes?: readonly string[]) => void;

/** Longest code worth writing out: no compiled program comes near. */
const writtenMax = 1_000_000;

/**
 * V03. Loops end within the code and within the loop around them, and each counts an index of its own. Subprograms begin where they are
 * called, end in their one return, and call each other at most four deep and in no circle; no loop crosses their ends. So code unrolls to a
 * finite sequence. A register is set before it is used, by the same queue, to what it declares and to the same in every turn of the loops around; a
 * stride set is defined in the frame it is used in. Without findings, the code with its calls written out: the view other rules work on.
 */
export function control(chip: ChipView): readonly Finding[] | ChipView {
  const shape = eachQueue(chip, structure);
  if (shape.length > 0) return shape;
  const written = allWrittenOut(chip);
  const bounds = chip.program.entries[chip.entry]?.bounds ?? {};
  const found = eachQueue(written, (view, report) => {
    for (const { at, says } of registersOf(view.code, bounds).problems) report(at, says);
    frames(view, report);
  });
  return found.length > 0 ? found : written;
}

/** What is reported of each queue, of an instruction once: by the first of the calls that lead to it. */
function eachQueue(chip: ChipView, examine: (view: QueueView, report: Report, name: (pc: number) => string) => void): readonly Finding[] {
  return chip.queues.flatMap((view) => {
    const { queue } = view;
    const found = new Map<string, Finding>();
    const name = (pc: number): string => nameOf(chip, queue, pc);
    const report: Report = (pc, message, notes = []) => {
      const place = placeOf(chip, queue, pc);
      const key = `${place.pc} ${message}`;
      if (!found.has(key)) found.set(key, { rule: 'V03', place, message: `${name(pc)}: ${message}`, notes });
    };
    examine(view, report, name);
    return [...found.values()];
  });
}

function structure({ queue, code }: QueueView, report: Report, name: (pc: number) => string): void {
  const routines = routinesOf(code);
  const inOrder = [...routines.values()];
  const wild = callsIn(code, { begin: 0, end: code.length }).filter(({ target }) => target >= code.length);
  for (const { pc, target } of wild) report(pc, `calls instruction ${target}; ${queue} has ${code.length}`);
  inOrder.forEach((routine, i) => {
    ending(code, routine, inOrder[i + 1], report, name);
    nesting(code, routine, queue, report);
  });
  if (wild.length > 0) return;
  if (!callsEnd(code, routines, report, name)) return;
  levels(code, routines, report, name);
  const length = writtenLength(code);
  if (length > writtenMax) report(0, `not proved: with subprograms written out where they are called, ${queue} has ${length} instructions`);
}

const targetOf = (code: readonly Instruction[], pc: number): number => {
  const at = code[pc]!;
  return at.op === 'call' ? at.fields.target : pc;
};

const isReturn = (instruction: Instruction | undefined): boolean => instruction?.op === 'ret';
/** What a stretch of code is called: the code before all subprograms, or one of them. */
const routineText = ({ begin }: Routine): string => (begin === 0 ? 'the code before the first subprogram' : `the subprogram at ${begin}`);

function ending(code: readonly Instruction[], routine: Routine, next: Routine | undefined, report: Report, name: (pc: number) => string): void {
  const { begin, end } = routine;
  const last = end - 1;
  for (let pc = begin; pc < last; pc++) if (isReturn(code[pc])) report(pc, `returns, and nothing calls ${name(pc + 1)} after it`);
  if (isReturn(code[last]) || (begin === 0 && next === undefined)) return;
  report(last, `${routineText(routine)} does not end in a ret, and ${next === undefined ? 'the code ends with it' : `falls into ${routineText(next)}`}`);
}

function nesting(code: readonly Instruction[], routine: Routine, queue: string, report: Report): void {
  const last = isReturn(code[routine.end - 1]) ? routine.end - 1 : routine.end;
  const outermost = last === code.length ? `the code of ${queue}` : routineText(routine);
  let open: { level: number; end: number; pc: number }[] = [];
  for (let pc = routine.begin; pc < routine.end; pc++) {
    const instruction = code[pc]!;
    open = open.filter(({ end }) => pc < end);
    if (instruction.op !== 'loop') continue;
    const { level, body } = instruction.fields;
    const end = pc + 1 + body;
    const around = open.at(-1);
    if (end > (around?.end ?? last)) report(pc, `the loop's ${body} instructions end at ${end}, ${around === undefined ? outermost : `the loop at ${around.pc}`} at ${around?.end ?? last}`);
    const same = open.find((outer) => outer.level === level);
    if (same !== undefined) report(pc, `the loop counts I${level}, and so does the loop at ${same.pc} around it`);
    open.push({ level, end, pc });
  }
}

/** Whether no routine calls itself, and no more calls are in force than may be. */
function callsEnd(code: readonly Instruction[], routines: ReadonlyMap<number, Routine>, report: Report, name: (pc: number) => string): boolean {
  /** Of a routine seen to its end, the longest chain of calls from it, by their pcs. */
  const chains = new Map<number, readonly number[]>();
  const open: { readonly begin: number; call: number }[] = [];
  let ends = true;
  const broken = (pc: number, message: string, calls: readonly number[]): void => {
    ends = false;
    report(pc, message, calls.map((call) => `${name(call)} calls ${name(targetOf(code, call))}`));
  };
  const visit = (begin: number): readonly number[] => {
    const here = { begin, call: 0 };
    open.push(here);
    let longest: readonly number[] = [];
    for (const { pc, target } of callsIn(code, routines.get(begin)!)) {
      here.call = pc;
      const from = open.findIndex((one) => one.begin === target);
      const made = open.map(({ call }) => call);
      if (from >= 0) broken(pc, open.length - from === 1 ? `the subprogram at ${target} calls itself` : `the subprogram at ${target} calls itself through ${open.length - from - 1} ${open.length - from === 2 ? 'other' : 'others'}`, made.slice(from));
      const chain = from >= 0 || open.length > callsMax ? [] : (chains.get(target) ?? visit(target));
      const all = [...made, ...chain];
      if (from < 0 && all.length > callsMax) broken(all[callsMax]!, `is one call more in force than the ${callsMax} there may be`, all.slice(0, callsMax + 1));
      if (chain.length + 1 > longest.length) longest = [pc, ...chain];
    }
    open.pop();
    chains.set(begin, longest);
    return longest;
  };
  for (const begin of routines.keys()) if (ends && !chains.has(begin)) visit(begin);
  return ends;
}

/** Loops that a call is in count other indices than the loops of what it calls, and of what that calls. */
function levels(code: readonly Instruction[], routines: ReadonlyMap<number, Routine>, report: Report, name: (pc: number) => string): void {
  const counted = new Map<number, ReadonlyMap<number, number>>();
  /** Levels a routine counts, each with a loop that does. */
  const countedBy = (begin: number): ReadonlyMap<number, number> => {
    const known = counted.get(begin);
    if (known !== undefined) return known;
    const routine = routines.get(begin)!;
    const mine = new Map<number, number>();
    for (let pc = routine.begin; pc < routine.end; pc++) {
      const instruction = code[pc]!;
      if (instruction.op === 'loop') mine.set(instruction.fields.level, pc);
    }
    for (const { target } of callsIn(code, routine)) for (const [level, pc] of countedBy(target)) mine.set(level, pc);
    counted.set(begin, mine);
    return mine;
  };
  const around = loopsAround(code);
  for (const { pc, target } of callsIn(code, { begin: 0, end: code.length })) {
    for (const [level, loop] of countedBy(target)) {
      const outer = around[pc]!.find((one) => one.level === level);
      if (outer !== undefined) report(pc, `the loop at ${loop} of what it calls counts I${level}, and so does the loop at ${outer.begin - 1} around the call`, [`${name(pc)} calls ${name(target)}`]);
    }
  }
}

/** V01 has seen to sets that no frame has; here it is those of the frames calls make. */
function frames({ code, strideSets, from }: QueueView, report: Report): void {
  if (from === undefined) return;
  code.forEach(({ fields }, at) => {
    for (const [name, value] of Object.entries(fields) as [string, unknown][]) {
      if (!isMoved(value) || value.ss < strideSets.length) continue;
      const own = (from.code[from.places[at]!.pc]!.fields as Readonly<Record<string, unknown>>)[name] as { readonly ss: number };
      report(at, `\`${name}\` is moved by stride set ${own.ss} of frame ${value.ss - own.ss}, which is not defined`);
    }
  });
}
