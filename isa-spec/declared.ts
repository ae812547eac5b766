import { costs } from './costs.ts';
import { type Box, type Effect, effects } from './effects.ts';
import type { FieldKind, RowWindow } from './fields.ts';
import { evaluate, type Names } from './formula.ts';
import type { Instruction } from './instructions.ts';
import { layouts } from './layout.ts';
import type { Machine } from './machine.ts';
import { namesOfMachine, withNames } from './names.ts';

/**
 * Where an instruction runs: on which machine, in a program of how many chips, and what its window is at the time. `more`: what its
 * formulas name besides: `length` of a host table in bytes, fields of the `aq` before it as `aq.heads`, lists of sequences.
 */
export type Circumstances = { readonly machine: Machine; readonly chips: number; readonly first: number; readonly count: number; readonly more: Names };

/** An absent field means that its bits are 0. */
const absent = (field: FieldKind): number | string => (field.kind === 'enum' ? field.names[0]! : 0);

/** What the formulas of an instruction name: its fields, and what they and the machine make. */
const namesOf = ({ op, fields }: Instruction, { machine, chips, first, count, more }: Circumstances): Names => {
  const values = fields as Readonly<Record<string, Names[string] | undefined>>;
  const numbers = layouts[op].fields.map(({ name, field }) => [name, values[name] ?? absent(field)] as const).filter(([, value]) => typeof value !== 'object');
  const window = 'rows' in fields ? { max: (fields.rows as RowWindow).max, first, count } : {};
  return withNames(withNames({ ...namesOfMachine(machine, chips), ...Object.fromEntries(numbers), ...window, ...more }, effects[op].where), costs[op].where);
};

/** A declared access in numbers: of lines, or accumulator rows; or of elements of a row list, the window's where it is not said which. */
export type Access = { readonly field: string; readonly does: Effect['does'] } & ({ readonly rows: number; readonly pitch: number; readonly each: number; readonly some: boolean } | { readonly list: true; readonly first?: number; readonly count?: number });

/** All an instruction touches, as `effects` declares it. */
export const accessesOf = (instruction: Instruction, where: Circumstances): readonly Access[] => {
  const names = namesOf(instruction, where);
  const none = 'rows' in instruction.fields && where.count === 0;
  const boxOf = ({ rows, pitch, each, some }: Box) => ({ rows: evaluate(rows, names), pitch: evaluate(pitch, names), each: evaluate(each, names), some });
  return Object.entries<Effect | readonly Effect[]>(effects[instruction.op].memory).flatMap(([field, list]) =>
    [list].flat().filter(({ when = '1', evenOfNone }: Effect) => evaluate(when, names) !== 0 && (!none || evenOfNone === true))
      .map(({ does, of }: Effect): Access => ({ field, does, ...(of === 'list' ? { list: true } : 'first' in of ? { list: true, first: evaluate(of.first, names), count: evaluate(of.count, names) } : boxOf(of)) })));
};

/** The cycles its unit is occupied, and those from then until its posts leave, as `costs` declares them. */
export const cyclesOf = (instruction: Instruction, where: Circumstances): { readonly cycles: number; readonly latency: number } => {
  const names = namesOf(instruction, where);
  const { cycles, latency } = costs[instruction.op];
  return { cycles: evaluate(cycles, names), latency: evaluate(latency, names) };
};
