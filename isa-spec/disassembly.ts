import { jsonKinds } from './container.ts';
import { decodeAll } from './encoding.ts';
import type { FieldKind, FieldValue } from './fields.ts';
import { hbmBases, type Instruction, instructions, type Queue, queues, type StrideSet, type Token } from './instructions.ts';
import { canonicalJson, type Json } from './json.ts';
import type { ChipCode, Program, QueueCode } from './program.ts';

export const assemblyVersion = 1;

const hex = (n: number): string => `0x${n.toString(16)}`;
const moved = (ss: number): string => (ss === 0 ? '' : `+ss${ss}`);
const tokenText = ({ semaphore, count }: Token): string => (count === 1 ? `s${semaphore}` : `s${semaphore}*${count}`);

/** What an instruction of the queue is called, by its number. */
type NameOf = (pc: number) => string;

const operand: { readonly [K in FieldKind['kind']]: (value: FieldValue<Extract<FieldKind, { kind: K }>>, nameOf: NameOf) => string } = {
  uint: (value) => `${value}`,
  f32: (value) => (Object.is(value, -0) ? '-0' : `${value}`),
  flag: (value) => `${value}`,
  enum: (value) => value,
  sram: ({ addr, ss }) => `@${hex(addr)}${moved(ss)}`,
  hbm: ({ base, off, ss }) => `${hbmBases[base]}@${hex(off)}${moved(ss)}`,
  acc: ({ addr, ss }) => `${addr}${moved(ss)}`,
  rows: ({ max, reg, level }) => (reg === 0 && level === 0 ? `${max}` : `${max}:R${reg}@${level}`),
  pc: (target, nameOf) => nameOf(target),
};

const fieldText = (name: string, field: FieldKind, value: unknown, nameOf: NameOf): string => {
  if (value === undefined) return '';
  if (field.kind === 'flag') return value === true ? ` ${name}` : '';
  if (field.kind === 'uint' && field.optional && value === 0) return '';
  return ` ${name}=${(operand[field.kind] as (value: unknown, nameOf: NameOf) => string)(value, nameOf)}`;
};

/** An instruction as a line of assembly, operands in declared order; a flag is there or not, an optional number is there unless it is 0; `nameOf` names what it calls. */
export const printInstruction = (instruction: Instruction, nameOf: NameOf = String): string => {
  const row = instructions[instruction.op];
  const fields: Readonly<Record<string, FieldKind>> = { ...row.flags, ...row.payload };
  const values = instruction.fields as Readonly<Record<string, unknown>>;
  const operands = Object.entries(fields).map(([name, field]) => fieldText(name, field, values[name], nameOf));
  const under = instruction.predicate === undefined ? '' : ` if P${instruction.predicate}`;
  const waits = instruction.waits.length === 0 ? '' : ` wait(${instruction.waits.map(tokenText).join(', ')})`;
  const posts = instruction.posts.length === 0 ? '' : ` post(${instruction.posts.map(tokenText).join(', ')})`;
  return `${instruction.op}${operands.join('')}${under}${waits}${posts}`;
};

const printStrideSet = ({ strides, ring }: StrideSet, number: number): string => {
  const isRing = ring.stride !== 0 || ring.depth !== 0 || ring.base !== 0 || ring.steps.some((step) => step !== 0);
  return `  .ss ${number} [${strides.join(', ')}]${isRing ? ` ring(${ring.stride}, ${ring.depth}, ${ring.base}) [${ring.steps.join(', ')}]` : ''}`;
};

/** Names of a queue's subprograms by where they begin: `sub`, the words of the label of that instruction, its number. */
const subprogramNames = (code: readonly Instruction[], labelOf: (pc: number) => string | undefined): ReadonlyMap<number, string> => {
  const targets = code.flatMap((instruction) => (instruction.op === 'call' && instruction.fields.target < code.length ? [instruction.fields.target] : []));
  return new Map(targets.map((pc) => [pc, ['sub', ...(labelOf(pc)?.match(/\w+/g) ?? []), pc].join('_')]));
};

/** Instructions, the body of a loop indented under it, each with the label it belongs to; subprograms under their names. */
const printCode = (code: readonly Instruction[], labelOf: (pc: number) => string | undefined): readonly string[] => {
  const names = subprogramNames(code, labelOf);
  const ends: number[] = [];
  return code.flatMap((instruction, pc) => {
    while (ends.length > 0 && pc >= ends.at(-1)!) ends.pop();
    const line = `  ${'  '.repeat(ends.length)}${printInstruction(instruction, (target) => names.get(target) ?? String(target))}`;
    if (instruction.op === 'loop') ends.push(pc + 1 + instruction.fields.body);
    const [name, label] = [names.get(pc), labelOf(pc)];
    return [...(name === undefined ? [] : [`${name}:`]), label === undefined ? line : `${line}  ; ${label}`];
  });
};

const width = 120;

/** JSON in lines of about 120 characters. */
const printJson = (value: Json, indent: string): string => {
  const flat = canonicalJson(value);
  if (flat.length + indent.length <= width || typeof value !== 'object' || value === null) return flat;
  const deeper = `${indent}  `;
  if (!Array.isArray(value)) {
    const keys = Object.keys(value).toSorted((a, b) => (a < b ? -1 : 1));
    const members = keys.map((key) => `${deeper}${JSON.stringify(key)}: ${printJson((value as Readonly<Record<string, Json>>)[key]!, deeper)}`);
    return `{\n${members.join(',\n')}\n${indent}}`;
  }
  const items = value.map((item: Json) => printJson(item, deeper));
  if (value.some((item: Json) => typeof item === 'object' && item !== null)) return `[\n${items.map((item) => deeper + item).join(',\n')}\n${indent}]`;
  return `[\n${filled(items, deeper).join(',\n')}\n${indent}]`;
};

const filled = (items: readonly string[], indent: string): readonly string[] => {
  const lines: string[] = [];
  let line = '';
  for (const item of items) {
    if (line !== '' && indent.length + line.length + item.length > width) {
      lines.push(indent + line);
      line = '';
    }
    line += line === '' ? item : `, ${item}`;
  }
  return [...lines, indent + line];
};

const isEmpty = ({ words, strideSets }: QueueCode): boolean => words.length === 0 && strideSets.length === 0;

const printChip = (chip: ChipCode, labelOf: (queue: Queue, pc: number) => string | undefined): readonly string[] =>
  queues.flatMap((queue) => {
    if (isEmpty(chip[queue])) return [];
    const { words, strideSets } = chip[queue];
    const sets = strideSets.slice(1).map((set, i) => printStrideSet(set, i + 1));
    return [`.queue ${queue}`, ...sets, ...printCode(decodeAll(words, queue), (pc) => labelOf(queue, pc))];
  });

/** Equal as text, which is all that text can say. */
const sameCode = (a: ChipCode, b: ChipCode): boolean =>
  queues.every(
    (queue) =>
      a[queue].words.length === b[queue].words.length &&
      a[queue].words.every((byte, i) => byte === b[queue].words[i]) &&
      canonicalJson(a[queue].strideSets as unknown as Json) === canonicalJson(b[queue].strideSets as unknown as Json),
  );

const printEntry = (program: Program, entry: number): readonly string[] => {
  const { labels, entries } = program.debugMap;
  const labelOf = (queue: Queue, pc: number): string | undefined => {
    const label = labels[entries[entry]?.[queue][pc] ?? -1]?.label;
    return label === undefined ? undefined : label.replaceAll(/[\n\r\u2028\u2029]/g, ' ');
  };
  const chips = program.code[entry]!;
  const lines = chips.flatMap((chip, rank) => {
    const same = chips.slice(0, rank).findIndex((other) => sameCode(other, chip));
    return same === -1 ? [`.chip ${rank}`, ...printChip(chip, labelOf)] : [`.chip ${rank} = ${same}`];
  });
  return ['', `.entry ${entry}  ; ${JSON.stringify(program.entries[entry]!.name)}`, ...lines];
};

/** A program as assembly text: `assemble(disassemble(p))` writes the same container, byte for byte. Throws IllegalInstruction for words that are none. */
export const disassemble = (program: Program): string => {
  const sections = jsonKinds.map((kind) => `.${kind} ${printJson(program[kind] as unknown as Json, '')}`);
  const entries = program.entries.flatMap((_, entry) => printEntry(program, entry));
  return `${[`.sasm ${assemblyVersion}`, `.chips ${program.chips}`, ...sections, ...entries].join('\n')}\n`;
};
