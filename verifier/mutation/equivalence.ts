import { hbmBases, type Instruction, instructions, type StepCount, type Token } from '../../isa-spec/instructions.ts';
import { overlap } from '../boxes.ts';
import { type ChipView, nameOf, type QueueView } from '../chip.ts';
import { conflictsOf, type Effects, effectsOf, type Site } from '../effects.ts';
import { positionOf } from '../operands.ts';
import { fifoEntries } from '../token-game.ts';
import { Cursor, tokensOf } from '../unroll.ts';

/** Whether two versions of a chip's code do the same, and how that is known; or what they may do differently. */
export type Judgement = { readonly same: boolean; readonly why: string };

/**
 * Compares two versions of a chip's code, calls written out, whose tokens the verifier has nothing against (V04 to V07). They do the same in every
 * schedule if their queues do the same to the letter, but for the order of tokens next to each other and for fields without effect; or
 * if other tokens leave every two accesses that clash in the order they had. Shares nothing with the rules but the table of what
 * instructions touch: loops are written out, and nothing is skipped. What this does not show to be the same counts as different.
 */
export function judge(before: ChipView, after: ChipView): Judgement {
  const [was, is] = [effectsOf(before, undefined), effectsOf(after, undefined)];
  if (before.queues.length !== after.queues.length) return { same: false, why: 'a queue more or less has code' };
  const [did, does] = [before.queues.map((view, q) => stream(view, was[q]!)), after.queues.map((view, q) => stream(view, is[q]!))];
  for (const [q, { effects }] of did.entries()) {
    const other = does[q]!.effects;
    const at = effects.findIndex((text, i) => text !== other[i]);
    if (at >= 0 || other.length !== effects.length) return { same: false, why: `where ${before.queues[q]!.queue} did \`${effects[at] ?? 'nothing'}\` it does \`${other[at < 0 ? effects.length : at] ?? 'nothing'}\`` };
  }
  if (did.every(({ events }, q) => events.join('\n') === does[q]!.events.join('\n'))) {
    const sameFields = before.queues.every(({ code }, q) => fieldsText(code) === fieldsText(after.queues[q]!.code));
    return { same: true, why: sameFields ? 'tokens taken (or given) one after the other, registers set, in another order' : 'a field that has no effect there' };
  }
  const other = otherOrder(before, was, after, is);
  return other === undefined ? { same: true, why: 'other tokens give the same order: all accesses that clash are ordered as before' } : { same: false, why: other };
}

/** Instructions of which only the tokens are left when calls have been written out. */
const idle: ReadonlySet<Instruction['op']> = new Set(['sync', 'nop', 'call', 'ret']);

/** The fields of all instructions that touch memory or repeat others. */
const fieldsText = (code: readonly Instruction[]): string => JSON.stringify(code.filter(({ op }) => op !== 'sreg' && !idle.has(op)).map(({ op, fields }) => [op, fields]));

/** A queue's code reduced to what it does: its effects in order, with where loops begin and end; and with them, the tokens taken before and given after each. */
function stream({ code, strideSets }: QueueView, sites: readonly Site[]): { readonly effects: readonly string[]; readonly events: readonly string[] } {
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
  const effect = (text: string): void => {
    flush();
    effects.push(text);
    events.push(text);
  };
  const registers = registersOf(code, sites);
  code.forEach((instruction, pc) => {
    const { loops } = sites[pc]!;
    add('waits', tokensOf(instruction, 'waits'));
    const isPlain = idle.has(instruction.op) || (instruction.op === 'sreg' && registers.has(instruction.fields.reg));
    if (!isPlain) effect(normal(instruction, sites[pc]!, strideSets, (reg) => (reg === 0 ? 'all' : (registers.get(reg)?.(pc) ?? `R${reg}`))));
    add('posts', tokensOf(instruction, 'posts'));
    for (const { level, end } of loops.toReversed()) if (end === pc + 1) effect(`end of loop ${level}`);
  });
  flush();
  return { effects, events };
}

/** Registers a queue sets once and outside of loops: what they hold at a pc. When exactly they are set does not matter. Setting others is an effect. */
function registersOf(code: readonly Instruction[], sites: readonly Site[]): ReadonlyMap<number, (pc: number) => StepCount | undefined> {
  const set = code.flatMap((instruction, pc) => (instruction.op === 'sreg' || instruction.op === 'salu' ? [{ pc, instruction }] : []));
  return new Map(set.flatMap(({ pc, instruction }): readonly [number, (pc: number) => StepCount | undefined][] => {
    if (instruction.op !== 'sreg' || sites[pc]!.loops.length > 0) return [];
    const { reg, count } = instruction.fields;
    return set.every((other) => other.pc === pc || other.instruction.fields.reg !== reg) ? [[reg, (at) => (at > pc ? count : undefined)]] : [];
  }));
}

/** An instruction without its tokens, its place, and whatever of its fields has no effect where it is. */
function normal({ op, predicate, fields }: Instruction, site: Site, strideSets: QueueView['strideSets'], held: (reg: number) => string): string {
  const levels = site.loops.map(({ level }) => level);
  const touched = new Set(site.effects.map(({ field }) => field));
  // The one row of a window that has no more is where its operand points; rows that an index picks are not.
  const single = 'rows' in fields && fields.rows.max === 1 && site.touched.every((access) => 'list' in access || (!access.picked && (access.rows === 'window' || access.rows === 1)));
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
        const counts = reg !== 0 || ofRows.has(op) || site.effects.some(({ windowed }) => windowed === 'elements');
        return `${max} of ${held(reg)}${counts && levels.includes(level) ? ` by ${level}` : ''}`;
      }
      default:
        if ((single && name.toLowerCase().endsWith('pitch')) || (ofOperand.test(name) && !touched.has(name[0]!))) return '';
        if (op === 'loop' && name === 'body') return ''; // where it ends is an effect of its own
        if (op === 'salu' && (name === 'least' || name === 'most')) return ''; // proved to hold
        if (op === 'salu' ? name === 'a' || name === 'b' : name === 'reg' && op !== 'sreg') return `${name}=${held(value as number)}`;
        if (name === 'accumulate') return value === 'first' && !levels.includes(3) ? 'no' : String(value);
        return `${name}=${JSON.stringify(value)}`;
    }
  });
  return `${op} ${predicate ?? ''} ${texts.join(' ')} in ${site.loops.map(({ level, count }) => `${level}:${count}`).join(' ')}`;
}

/** Instructions to which the first row of their window matters even if nothing shortens it, and no list is read from there on. */
const ofRows: ReadonlySet<string> = new Set(['aq', 'afin']);

/** Fields of an operand of a chain, which has no effect if no micro-operation takes it. */
const ofOperand = /^[yz](Format|Pitch|Is)$/;

/** Instances worth writing out, and pairs of them worth holding against each other. */
const instancesMax = 200_000;
const pairsMax = 100_000_000;

/** Instances of the instructions that touch memory or tell the host, by queue, with how many of each other queue's come before them. */
type Played = readonly (readonly { readonly pc: number; readonly I: readonly number[]; readonly clock: readonly number[] }[])[];

/** What comes in another order than before, or in none; undefined if nothing that matters does. */
function otherOrder(before: ChipView, effects: Effects, after: ChipView, effectsAfter: Effects): string | undefined {
  const [was, is] = [played(before, effects), played(after, effectsAfter)];
  if (was === undefined || is === undefined) return 'it does not come to its end, or has too many instructions to follow';
  const told = was.flatMap((instances, q) => instances.flatMap(({ pc, clock }, i) => (isEvent(effects[q]![pc]!) ? [{ clock, later: is[q]![i]!.clock }] : [])));
  if (told.some(({ clock, later }) => clock.some((count, q) => later[q]! < count))) return 'the host is told before what it was told of is done';
  const at = was.map((instances) => {
    const byPc = new Map<number, number[]>();
    instances.forEach(({ pc }, i) => byPc.set(pc, [...(byPc.get(pc) ?? []), i]));
    return byPc;
  });
  let pairs = 0;
  for (const { a, aPc, aEffect, b, bPc, bEffect } of conflictsOf(effects)) {
    const [mine, theirs] = [at[a]!.get(aPc) ?? [], at[b]!.get(bPc) ?? []];
    pairs += mine.length * theirs.length;
    if (pairs > pairsMax) return 'too many accesses clash to hold them against each other';
    const boxes = theirs.map((j) => bEffect.box(was[b]![j]!.I));
    for (const i of mine) {
      const box = aEffect.box(was[a]![i]!.I);
      for (const [n, j] of theirs.entries()) {
        if (!overlap(box, boxes[n]!)) continue;
        const [first, second] = [was[b]![j]!.clock[a]! > i, is[b]![j]!.clock[a]! > i];
        const [last, later] = [was[a]![i]!.clock[b]! > j, is[a]![i]!.clock[b]! > j];
        if (first !== second || last !== later || !(second || later)) return `${nameOf(before, before.queues[a]!.queue, aPc)} and ${nameOf(before, before.queues[b]!.queue, bPc)} clash in another order`;
      }
    }
  }
  return undefined;
}

const isEvent = ({ instruction }: Site): boolean => instruction.op === 'event';

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
        if (effects[q]![pc]!.effects.length > 0 || isEvent(effects[q]![pc]!)) {
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
