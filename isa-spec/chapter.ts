import { costs } from './costs.ts';
import { cyclesOf } from './declared.ts';
import { printInstruction } from './disassembly.ts';
import { type Effect, effects, type Resource, resources, type Verb } from './effects.ts';
import { encode } from './encoding.ts';
import { examples } from './examples.ts';
import { type FieldKind, formats } from './fields.ts';
import type { Names } from './formula.ts';
import { type InstructionOf, instructions, type Mnemonic, queues } from './instructions.ts';
import { type BitRange, type FieldPosition, layouts } from './layout.ts';
import { legal, unconditional } from './legal.ts';
import { sohu8 } from './machines/sohu.ts';
import { meaning } from './meaning.ts';
import type { Where } from './names.ts';
import { operands } from './operands.ts';

/** The part of the manual about one instruction. */

export const list = (names: readonly string[]): string => names.map((name) => `\`${name}\``).join(', ');
export const range = ({ at, bits }: BitRange): string => (bits === 1 ? `${at}` : `${at + bits - 1}:${at}`);
export const opcodeOf = (m: Mnemonic): string => `\`0x${instructions[m].opcode.toString(16).padStart(2, '0')}\``;
export const queuesOf = (m: Mnemonic): string => (instructions[m].queues.length === queues.length ? 'any' : instructions[m].queues.join(', '));

/** Cells of a table. `|` would end one. */
const row = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
/** A table, after an empty line. */
export const table = (head: readonly string[], rows: readonly (readonly string[])[]): readonly string[] => ['', row(head), `|${'---|'.repeat(head.length)}`, ...rows.map(row)];

const values = (field: FieldKind): string => {
  switch (field.kind) {
    case 'uint':
      return field.line === true ? 'a line of SRAM' : field.minusOne ? `1 to ${2 ** field.bits}, stored less one` : `0 to ${2 ** field.bits - 1}`;
    case 'f32':
      return 'FP32, finite';
    case 'flag':
      return '0, 1';
    case 'enum':
      return field.names === formats ? 'a format' : field.names.map((name, code) => `${code} \`${name}\``).join(', ');
    case 'sram':
      return 'SRAM';
    case 'hbm':
      return 'HBM';
    case 'acc':
      return 'accumulators';
    case 'rows':
      return 'rows';
    case 'pc':
      return 'an instruction';
  }
};

const fieldsOf = (m: Mnemonic): readonly string[] => {
  const says = operands[m] as Readonly<Record<string, string>>;
  const bits = ({ parts }: FieldPosition): string => parts.map((part) => `${range(part)}${part.name === '' ? '' : `\u00a0${part.name}`}`).join('<br>');
  return layouts[m].fields.length === 0 ? [] : table(['bits', 'field', 'is', 'values'],
    layouts[m].fields.map((position) => [bits(position), `\`${position.name}\``, says[position.name]!, `${values(position.field)}${position.field.added === true ? '; absent where 0' : ''}`]));
};

const code = (formula: string): string => `\`${formula}\``;

/** Of the names that stand for formulas, those used in these, and in what they stand for. */
const usedIn = (where: Where, formulas: readonly string[]): readonly string[] => {
  const used = new Set<string>();
  const look = (formula: string): void => {
    for (const [name] of formula.matchAll(/[A-Za-z][\w.]*/g)) {
      if (where[name] === undefined || used.has(name)) continue;
      used.add(name);
      look(where[name]);
    }
  };
  formulas.forEach(look);
  return Object.keys(where).filter((name) => used.has(name));
};

const memoryRow = (m: Mnemonic, field: string, { does, of, when = '' }: Effect): readonly string[] => {
  const kinds: Readonly<Record<string, FieldKind>> = { ...instructions[m].flags, ...instructions[m].payload };
  const { kind } = kinds[field]!;
  const condition = when === '' ? '' : code(when);
  if (of === 'list') return [does, code(field), 'SRAM', 'the window\'s elements', '', condition];
  if ('first' in of) return [does, code(field), 'SRAM', `${code(of.count)} elements`, `from ${code(of.first)} on`, condition];
  const unit = kind === 'acc' ? 'accumulator rows' : 'lines';
  const rows = of.rows === '1' ? (of.some ? 'some of one' : '1') : of.rows === 'any' ? 'any, as the data say' : code(of.rows);
  return [does, code(field), kind === 'acc' ? 'accumulators' : kind === 'hbm' ? 'HBM' : 'SRAM', rows, `${code(of.each)} ${unit}${of.rows === '1' ? '' : `, ${code(of.pitch)} apart`}`, condition];
};

const memoryOf = (m: Mnemonic): readonly string[] => {
  const { memory, where = {} } = effects[m];
  const all = Object.entries<Effect | readonly Effect[]>(memory).flatMap(([field, some]) => [some].flat().map((effect: Effect) => ({ field, effect })));
  if (all.length === 0) return ['', '**Memory.** None.'];
  const formulas = all.flatMap(({ effect: { of, when = '' } }) => [when, ...(of === 'list' ? [] : Object.values<unknown>(of).filter((formula) => typeof formula === 'string'))]);
  const names = usedIn(where, formulas).map((name) => `${code(name)} is ${code(where[name]!)}`);
  return ['', `**Memory.**${names.length === 0 ? '' : ` ${names.join(', ')}.`}`, ...table(['', 'by', 'in', 'rows', 'of', 'if'], all.map(({ field, effect }) => memoryRow(m, field, effect)))];
};

/** Semaphores an instruction has room for: the common word's, and those of its own fields. */
const tokens = (m: Mnemonic, side: 'wait' | 'post'): string => {
  const own = layouts[m].fields.filter(({ name }) => new RegExp(`^${side}\\d$`).test(name)).map(({ name }) => name);
  return list([`${side}0`, `${side}1`, ...own]);
};

const stateOf = (m: Mnemonic): readonly string[] => {
  const state: { readonly [V in Verb]?: readonly Resource[] } = effects[m].state ?? {};
  const kinds = layouts[m].fields.map(({ field }) => field.kind);
  const implied = new Set<Resource>([...(unconditional.includes(m) ? [] : ['predicates' as const]), ...(kinds.includes('rows') ? ['registers', 'counters'] as const : []), ...(kinds.some((kind) => kind === 'sram' || kind === 'hbm' || kind === 'acc') ? ['counters'] as const : [])]);
  const reads = [...new Set([...(state.reads ?? []), ...(Object.keys(resources) as Resource[]).filter((resource) => implied.has(resource))])];
  const what = (some: readonly Resource[] = []): readonly string[] => some.map((resource) => resources[resource]);
  const sentence = (verb: string, some: readonly string[]): string => (some.length === 0 ? '' : ` ${verb} ${some.join(', ')}.`);
  return ['', `**Tokens and state.** Takes ${[tokens(m, 'wait'), ...what(state.takes)].join(', ')}. Gives ${[tokens(m, 'post'), ...what(state.gives)].join(', ')}.${sentence('Meets', what(state.meets))}${sentence('Reads', what(reads))}${sentence('Writes', what(state.writes))}${sentence('Updates', what(state.updates))}`];
};

const { heads, headDim, valueDim = 0 } = examples.aq.fields;
const decoded = { keys: 2048, block: 128 };
const blocks = Array.from({ length: decoded.keys / decoded.block }, (): Names => ({ keys: decoded.block, seeing: 1, opens: false }));
/** What examples come with: an `attn` with the queries of the one `aq`, of which it is a row of one sequence. */
const around: Names = { length: Infinity, sequences: [{ blocks, tiles: [...blocks, ...blocks].map((block): Names => ({ ...block, width: headDim })) }], 'aq.heads': heads, 'aq.headDim': headDim, 'aq.valueDim': valueDim };

const costOf = (m: Mnemonic): readonly string[] => {
  const { where = {}, cycles, latency, note } = costs[m];
  const names = { ...effects[m].where, ...where };
  if (/^\d+$/.test(cycles)) return ['', `**Cost.** ${cycles === '0' ? 'No time: it leads on' : `${cycles} cycle`}.`];
  const used = usedIn(names, [cycles, latency]);
  const lines = [...used.map((name) => [name, names[name]!] as const), ['cycles', cycles] as const, ['latency', latency] as const];
  const width = Math.max(...lines.map(([name]) => name.length));
  return ['', '**Cost.**', '', '```text', ...lines.map(([name, formula]) => `${name.padEnd(width)} := ${formula}`), '```', ...(note === undefined ? [] : ['', ...note.map((line) => `- ${line}`)])];
};

const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ');

/** Words in lines of about a hundred characters. */
const broken = (text: string): readonly string[] => text.match(/.{1,100}(?=\s|$)/g)!.map((line, i) => (i === 0 ? line : `   ${line}`));

const exampleOf = (m: Mnemonic): readonly string[] => {
  const example: InstructionOf<Mnemonic> = examples[m];
  const bytes = encode(example, instructions[m].queues[0]!);
  const count = 'rows' in example.fields ? example.fields.rows.max : 1;
  const { cycles, latency } = cyclesOf(example, { machine: sohu8, chips: sohu8.chips, first: 0, count, more: around });
  const whole = m === 'attn' ? `one row, of ${decoded.keys} keys` : 'rows' in example.fields ? `all ${count} rows` : '';
  const took = `${cycles} cycle${cycles === 1 ? '' : 's'}${latency === 0 ? '' : ` and ${latency} of latency`}`;
  return ['', '**Example.**', '', '```text', ...broken(printInstruction(example)), `; ${hex(bytes.subarray(0, 16))}`, `; ${hex(bytes.subarray(16))}`, `; ${took}${whole === '' ? '' : `, ${whole}`}`, '```'];
};

const rulesOf = (m: Mnemonic): readonly string[] => (legal[m].length === 0 ? [] : ['', '**Legal** if it', '', ...legal[m].map((rule) => `- ${rule.says}`)]);

/** The chapter of an instruction. */
export const chapter = (m: Mnemonic): readonly string[] => [
  '', `### ${m}`, '', `${opcodeOf(m)}, ${queuesOf(m) === 'any' ? 'any queue' : `queue ${list(instructions[m].queues)}`}: ${instructions[m].summary}.`,
  '', `![the word of ${m}](isa/${m}.svg)`, ...fieldsOf(m), '', meaning[m], ...memoryOf(m), ...stateOf(m), ...costOf(m), ...rulesOf(m), ...exampleOf(m),
];
