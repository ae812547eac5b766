import { hbmBases, type Instruction, instructions, type StepCount, type Token } from '../../isa-spec/instructions.ts';
import { overlap } from '../boxes.ts';
import type { ChipView, QueueView } from '../chip.ts';
import { conflictsOf, type Effects, effectsOf, type Site } from '../effects.ts';
import { positionOf } from '../operands.ts';
import { fifoEntries } from '../token-game.ts';
import { Cursor, tokensOf } from '../unroll.ts';

/**
 * Why two versions of a chip's code, calls written out, do the same in every schedule; undefined if that cannot be shown here. Shares nothing with
 * the rules but the table of what instructions touch: loops are written out, and nothing is skipped.
 */
export function whyEquivalent(before: ChipView, after: ChipView): string | undefined {
  const [was, is] = [effectsOf(before, undefined), effectsOf(after, undefined)];
  if (before.queues.length !== after.queues.length) return undefined;
  const [did, does] = [before.queues.map((view, q) => stream(view, was[q]!)), after.queues.map((view, q) => stream(view, is[q]!))];
  if (did.every((one, q) => one.effects === does[q]!.effects)) {
    if (did.every((one, q) => one.tokens === does[q]!.tokens)) return before.queues.every(({ code }, q) => sameFields(code, after.queues[q]!.code)) ? 'tokens taken (or given) one after the other, registers set, in another order' : 'a field that has no effect there';
    return sameOrder(before, was, after, is) ? 'other tokens give the same order: all accesses that clash are ordered as before' : undefined;
  }
  return undefined;
}

/** Instructions of which only the tokens are left when calls have been written out. */
const idle: ReadonlySet<Instruction['op']> = new Set(['sync', 'nop', 'call', 'ret']);

/** Whether the same instructions touch memory in the same way to the letter. */
const sameFields = (a: readonly Instruction[], b: readonly Instruction[]): boolean => {
  const texts = (code: readonly Instruction[]): string => JSON.stringify(code.filter(({ op }) => op !== 'sreg' && !idle.has(op)).map(({ op, fields }) => [op, fields]));
  return texts(a) === texts(b);
};

/** A queue's code reduced to what it does: its effects in order; and, with them, the tokens taken before and given after each. */
function stream({ code, strideSets }: QueueView, sites: readonly Site[]): { readonly effects: string; readonly tokens: string } {
  const effects: string[] = [];
  const events: string[] = [];
  let tokens: { side: 'waits' | 'posts'; sums: Map<number, number> } | undefined;
  const flush = (): void => {
    if (tokens !== undefined) events.push(`${tokens.side} ${[...tokens.sums].toSorted(([a], [b]) => a - b).map(([semaphore, count]) => `${semaphore}*${count}`).join(' ')}`);
    tokens = undefined;
  };
  const add = (side: 'waits' | 'posts', list: readonly Token[]): void => {
    if (list.length === 0) return;
    if (tokens?.side !== side) flush();
    tokens ??= { side, sums: new Map() };
    for (const { semaphore, count } of list) tokens.sums.set(semaphore, (tokens.sums.get(semaphore) ?? 0) + count);
  };
  const registers = new Map<number, StepCount>();
  // Registers are set before anything uses them: in which order does not matter.
  code.forEach((instruction, pc) => {
    add('waits', tokensOf(instruction, 'waits'));
    if (instruction.op === 'sreg') registers.set(instruction.fields.reg, instruction.fields.count);
    else if (!idle.has(instruction.op)) {
      flush();
      const text = normal(instruction, sites[pc]!, strideSets, registers);
      effects.push(text);
      events.push(text);
    }
    add('posts', tokensOf(instruction, 'posts'));
  });
  flush();
  return { effects: effects.join('\n'), tokens: events.join('\n') };
}

/** An instruction without its tokens, its place, and whatever of its fields has no effect where it is. */
function normal({ op, predicate, fields }: Instruction, site: Site, strideSets: QueueView['strideSets'], registers: ReadonlyMap<number, StepCount>): string {
  const levels = site.loops.map(({ level }) => level);
  const touched = new Set(site.effects.map(({ field }) => field));
  const list = site.effects.some(({ windowed }) => windowed === 'elements');
  const single = 'rows' in fields && fields.rows.max === 1;
  const kinds = Object.entries({ ...instructions[op].flags, ...instructions[op].payload });
  const texts = kinds.map(([name, { kind }]): string => {
    const value = (fields as Readonly<Record<string, unknown>>)[name];
    if (value === undefined) return '';
    switch (kind) {
      case 'sram': case 'acc': case 'hbm': {
        if (!touched.has(name)) return '';
        const operand = value as { readonly addr: number; readonly ss: number } | { readonly base: number; readonly off: number; readonly ss: number };
        return `${name}=${'base' in operand ? hbmBases[operand.base] : ''}${JSON.stringify(positionOf(operand, strideSets, levels))}`;
      }
      case 'rows': {
        const { max, reg, level } = value as { readonly max: number; readonly reg: number; readonly level: number };
        const counted = levels.includes(level) && (reg !== 0 || list);
        return `${max} of ${registers.get(reg) ?? 'all'}${counted ? ` by ${level}` : ''}`;
      }
      default:
        if ((single && name.toLowerCase().endsWith('pitch')) || (ofOperand.test(name) && !touched.has(name[0]!))) return '';
        if (name === 'accumulate') return value === 'first' && !levels.includes(3) ? 'no' : String(value);
        return `${name}=${String(value)}`;
    }
  });
  return `${op} ${predicate ?? ''} ${texts.join(' ')} in ${site.loops.map(({ level, count }) => `${level}:${count}`).join(' ')}`;
}

/** Fields of an operand of a chain, which has no effect if no micro-operation takes it. */
const ofOperand = /^[yz](Format|Pitch|Is)$/;

/** Instances worth writing out, and pairs of them worth holding against each other. */
const instancesMax = 200_000;
const pairsMax = 20_000_000;

/** Instances of the instructions that touch memory, by queue, with how many of each other queue's come before them. */
type Played = readonly (readonly { readonly pc: number; readonly I: readonly number[]; readonly clock: readonly number[] }[])[];

function sameOrder(before: ChipView, effects: Effects, after: ChipView, effectsAfter: Effects): boolean {
  const [was, is] = [played(before, effects), played(after, effectsAfter)];
  if (was === undefined || is === undefined || was.some((instances, q) => instances.length !== is[q]!.length)) return false;
  const at = was.map((instances) => {
    const byPc = new Map<number, number[]>();
    instances.forEach(({ pc }, i) => byPc.set(pc, [...(byPc.get(pc) ?? []), i]));
    return byPc;
  });
  let pairs = 0;
  for (const { a, aPc, aEffect, b, bPc, bEffect } of conflictsOf(effects)) {
    const [mine, theirs] = [at[a]!.get(aPc) ?? [], at[b]!.get(bPc) ?? []];
    pairs += mine.length * theirs.length;
    if (pairs > pairsMax) return false;
    const boxes = theirs.map((j) => bEffect.box(was[b]![j]!.I));
    for (const i of mine) {
      const box = aEffect.box(was[a]![i]!.I);
      for (const [n, j] of theirs.entries()) {
        if (!overlap(box, boxes[n]!)) continue;
        const [first, second] = [was[b]![j]!.clock[a]! > i, is[b]![j]!.clock[a]! > i];
        const [last, later] = [was[a]![i]!.clock[b]! > j, is[a]![i]!.clock[b]! > j];
        if (first !== second || last !== later || !(second || later)) return false;
      }
    }
  }
  return true;
}

/** Plays all instructions one by one. Undefined if the queues do not come to their end. */
function played({ queues }: ChipView, effects: Effects): Played | undefined {
  const cursors = queues.map(({ code }) => new Cursor(code));
  const clocks = queues.map(() => queues.map(() => 0));
  const tokens = new Map<number, (readonly number[])[]>();
  const fifo: (readonly number[])[] = [];
  const out = queues.map((): { pc: number; I: number[]; clock: number[] }[] => []);
  let total = 0;
  for (let moved = true; moved; ) {
    moved = false;
    for (const [q, cursor] of cursors.entries()) {
      while (!cursor.done) {
        const { instruction, pc } = cursor;
        const waits = tokensOf(instruction, 'waits');
        if (waits.some(({ semaphore, count }) => (tokens.get(semaphore)?.length ?? 0) < count)) break;
        if ((instruction.op === 'wld' && fifo.length >= fifoEntries) || (instruction.op === 'mm' && fifo.length === 0)) break;
        if (++total > instancesMax) return undefined;
        const clock = clocks[q]!;
        const learn = (other: readonly number[]): void => other.forEach((count, i) => { clock[i] = Math.max(clock[i]!, count); });
        for (const { semaphore, count } of waits) tokens.get(semaphore)!.splice(0, count).forEach(learn);
        if (instruction.op === 'mm') learn(fifo.shift()!);
        if (effects[q]![pc]!.effects.length > 0) {
          out[q]!.push({ pc, I: [...cursor.I], clock: [...clock] });
          clock[q] = out[q]!.length;
        }
        if (instruction.op === 'wld') fifo.push([...clock]);
        for (const { semaphore, count } of tokensOf(instruction, 'posts')) {
          const held = tokens.get(semaphore) ?? [];
          tokens.set(semaphore, held);
          for (let i = 0; i < count; i++) held.push([...clock]);
        }
        cursor.advance();
        moved = true;
      }
    }
  }
  return cursors.every(({ done }) => done) ? out : undefined;
}
