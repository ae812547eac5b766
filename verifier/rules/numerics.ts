import { type FieldKind, formatBytes } from '../../isa-spec/fields.ts';
import { type Instruction, instructions, type InstructionOf } from '../../isa-spec/instructions.ts';
import type { Certificate } from '../certificate.ts';
import { type ChipView, type Finding, labelOf, nameOf, placeOf } from '../chip.ts';
import { loopsAround } from '../unroll.ts';

type Queries = InstructionOf<'aq'>['fields'];
type Keys = InstructionOf<'attn'>['fields'];
/** A window of queries, and the keys it has been through. */
type Window = { readonly pc: number; readonly aq: Queries; readonly keys: Keys[] };

/**
 * V20. Results are those of the normative arithmetic and do not depend on the bucket. Every instruction's arithmetic is fixed by
 * the specification (block of softmax, order of sums: V15); what a program could still get wrong is that an instruction computes
 * another function than its op, that queries, keys, parts and results of attention do not belong together, and that entries differ.
 */
export const numerics = (chip: ChipView, first: ChipView, certificate: Certificate | undefined): readonly Finding[] => [
  ...attention(chip, partBlocks(first) ?? partBlocks(chip)),
  ...(certificate === undefined ? [] : functions(chip, certificate)),
  ...(chip.entry === first.entry ? [] : likeFirst(chip, first)),
];

/** Every instruction computes what the certificate says of its op, and nothing more by a field that may be absent. */
const functions = (chip: ChipView, { ops }: Certificate): readonly Finding[] =>
  ops.flatMap(({ queue, pc, computes }) => {
    const instruction = chip.queues.find((view) => view.queue === queue)?.code[pc];
    if (instruction === undefined) return [];
    const fields = instruction.fields as Readonly<Record<string, unknown>>;
    const row = instructions[instruction.op];
    const more = Object.entries<FieldKind>({ ...row.flags, ...row.payload }).flatMap(([name, field]) => (field.added === true && (saysWhat.has(field.kind) || name === 'groups') && fields[name] !== undefined ? [[name, undefined] as const] : []));
    return Object.entries({ ...Object.fromEntries(more), ...computes }).flatMap(([name, value]): readonly Finding[] => {
      if (fields[name] === value) return [];
      return [{ rule: 'V20', place: placeOf(chip, queue, pc), message: `${nameOf(chip, queue, pc)} has \`${name}\` ${String(fields[name])}; its op computes ${value === undefined ? 'without' : `with ${String(value)}`}`, notes: [] }];
    });
  });

/** Kinds of fields that say what is computed, not where. */
const saysWhat: ReadonlySet<FieldKind['kind']> = new Set(['enum', 'flag', 'f32']);

/** Blocks of a part: one number in a program, lest results depend on which of its entries a step takes. */
const partBlocks = ({ queues }: ChipView): number | undefined =>
  queues.flatMap(({ code }) => code).map((instruction) => (instruction.op === 'attn' ? instruction.fields.splitBlocks : undefined)).find((blocks) => blocks !== undefined);

function attention(chip: ChipView, blocks: number | undefined): readonly Finding[] {
  const code = chip.queues.find(({ queue }) => queue === 'att')?.code ?? [];
  const around = loopsAround(code).map((loops) => loops.at(-1)?.begin ?? -1);
  const line = chip.program.machine.sram.lineBytes.value;
  let open: Window | undefined;
  return code.flatMap((instruction, pc): readonly Finding[] => {
    const problems = ((): readonly string[] => {
      if (instruction.op === 'aq') {
        const before = open;
        open = { pc, aq: instruction.fields, keys: [] };
        return before === undefined ? [] : [`loads queries while those of ${nameOf(chip, 'att', before.pc)} have not been stored`];
      }
      if (instruction.op !== 'attn' && instruction.op !== 'afin') return [];
      if (open === undefined || around[open.pc] !== around[pc]) return ['has no queries: an aq comes before it, in the same loop'];
      if (instruction.op === 'attn') {
        const before = open.keys.at(-1);
        open.keys.push(instruction.fields);
        const { splitBlocks } = instruction.fields;
        const other = splitBlocks === undefined || splitBlocks === blocks ? [] : [`takes parts of ${splitBlocks} blocks; the program's have ${blocks}`];
        return [...keyProblems(open.aq, instruction.fields, line), ...other, ...(before === undefined ? [] : orderProblems(before, instruction.fields))];
      }
      const { aq, keys } = open;
      open = undefined;
      const { rows, merge } = instruction.fields;
      const same = rows.max === aq.rows.max && rows.reg === aq.rows.reg && rows.level === aq.rows.level;
      return [
        ...(keys.length === 0 && merge === undefined ? ['stores what nothing has attended to'] : []), ...(same ? [] : ['stores other rows than were loaded']),
        ...partialProblems(keys, instruction.fields),
      ];
    })();
    return problems.map((problem) => ({ rule: 'V20', place: placeOf(chip, 'att', pc), message: `${nameOf(chip, 'att', pc)} ${problem}`, notes: [] }));
  });
}

function keyProblems({ format, heads, headDim, valueDim = headDim }: Queries, keys: Keys, line: number): readonly string[] {
  const tooWide = (dim: number): readonly string[] => (keys.kvHeads * dim * formatBytes[keys.format] <= keys.kvLines * line ? [] : [`reads ${keys.kvHeads} heads of ${dim} from rows of ${keys.kvLines} lines`]);
  return [
    ...(keys.format === format ? [] : [`reads keys of ${keys.format} for queries of ${format}`]),
    ...(heads % keys.kvHeads === 0 ? [] : [`has ${keys.kvHeads} heads of keys for ${heads} of queries`]),
    ...(keys.latent !== true || valueDim <= headDim ? [] : [`takes values of ${valueDim} elements from keys of ${headDim}`]),
    ...tooWide(keys.latent === true ? headDim : Math.max(headDim, valueDim)),
  ];
}

const firstOf = ({ firstPart = 0 }: Keys): number => firstPart;
const countOf = ({ parts = Infinity }: Keys): number => parts;

/** One window takes the parts of its keys in their order, each once. */
function orderProblems(before: Keys, keys: Keys): readonly string[] {
  const [split, was] = [keys.splitBlocks !== undefined, before.splitBlocks !== undefined];
  if (split !== was) return [split ? 'takes parts of keys after keys that are not split' : 'takes keys that are not split after parts of keys'];
  const next = firstOf(before) + countOf(before);
  return !split || firstOf(keys) === next ? [] : [`goes on with part ${firstOf(keys)}, after ${next === Infinity ? 'the last' : `part ${next - 1}`}`];
}

/** What is merged is added part by part, from the first on: a partial is of one part, or of all up to one; what is added to partials is one part. */
function partialProblems(keys: readonly Keys[], { merge, partial }: InstructionOf<'afin'>['fields']): readonly string[] {
  const [first] = keys;
  if (first === undefined || (merge === undefined && partial !== true)) return [];
  if (keys.some(({ splitBlocks }) => splitBlocks === undefined)) return ['makes a partial of keys that are not split'];
  const single = keys.reduce((sum, one) => sum + countOf(one), 0) === 1;
  if (merge !== undefined) return single ? [] : ['adds the sum of several parts to partials, not one part'];
  return single || firstOf(first) === 0 ? [] : [`makes a partial of the sum of several parts, the first of them ${firstOf(first)}`];
}

/** Numbers that say what is computed too. */
const countsThatSay: ReadonlySet<string> = new Set(['window', 'splitBlocks', 'groups']);

/** What an instruction computes, apart from where and how much at a time. */
function functionOf({ op, fields }: Instruction): string {
  const row = instructions[op];
  const kinds = Object.entries({ ...row.flags, ...row.payload });
  const chosen = kinds.filter(([name, { kind }]) => (saysWhat.has(kind) || countsThatSay.has(name)) && name !== 'accumulate');
  return `${op} ${chosen.map(([name]) => `${name}=${String((fields as Readonly<Record<string, unknown>>)[name])}`).join(' ')}`;
}

/** Entries are buckets of one model: under one label they compute one thing. */
function likeFirst(chip: ChipView, first: ChipView): readonly Finding[] {
  const { program, entry } = chip;
  const known = new Map<number, Set<string>>();
  for (const { queue, code } of first.queues) {
    code.forEach((instruction, pc) => {
      const label = labelOf(first, queue, pc);
      known.set(label, (known.get(label) ?? new Set()).add(functionOf(instruction)));
    });
  }
  return chip.queues.flatMap(({ queue, code }) => code.flatMap((instruction, pc): readonly Finding[] => {
    const functions = known.get(labelOf(chip, queue, pc));
    if (steering.has(instruction.op) || functions === undefined || functions.has(functionOf(instruction))) return [];
    return [{ rule: 'V20', place: placeOf(chip, queue, pc), message: `${nameOf(chip, queue, pc)} computes something else than in entry \`${program.entries[first.entry]!.name}\``, notes: [functionOf(instruction), ...functions, `entry ${entry}`] }];
  }));
}

const steering: ReadonlySet<Instruction['op']> = new Set(['sync', 'loop', 'call', 'ret', 'sreg', 'salu', 'event', 'nop', 'trace']);
