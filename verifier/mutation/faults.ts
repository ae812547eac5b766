import { type FieldKind, formats, type RowWindow, strideSetMax } from '../../isa-spec/fields.ts';
import { type Instruction, instructions, type Queue, type StrideSet, type Token } from '../../isa-spec/instructions.ts';
import { isMoved, writtenOut } from '../calls.ts';
import type { QueueView } from '../chip.ts';
import { loopsAround, tokensOf } from '../unroll.ts';
import { below, pick, type Random } from './random.ts';

/** The code of a queue with one fault in it. `what`: the fault, in words. */
export type Fault = { readonly queue: Queue; readonly pc: number; readonly what: string; readonly code: readonly Instruction[]; readonly strideSets: readonly StrideSet[] };
/** One fault of a class, drawn at random; undefined if the draw found none. */
type Draw = (queues: readonly QueueView[], random: Random) => Fault | undefined;

type Values = Readonly<Record<string, unknown>>;
const valuesOf = (instruction: Instruction): Values => instruction.fields as unknown as Values;
const kindsOf = ({ op }: Instruction): Readonly<Record<string, FieldKind>> => ({ ...instructions[op].flags, ...instructions[op].payload });

const replaced = (view: QueueView, pc: number, instruction: Instruction, what: string): Fault =>
  ({ queue: view.queue, pc, what, code: view.code.map((one, at) => (at === pc ? instruction : one)), strideSets: view.strideSets });
const withField = (instruction: Instruction, name: string, value: unknown): Instruction => ({ ...instruction, fields: { ...valuesOf(instruction), [name]: value } }) as unknown as Instruction;

/** An instruction that holds so many tokens and no more: two in its word, four further ones if it is a sync. */
function withTokens(instruction: Instruction, side: 'waits' | 'posts', tokens: readonly Token[]): Instruction | undefined {
  if (tokens.length > (instruction.op === 'sync' ? 6 : 2)) return undefined;
  if (instruction.op !== 'sync') return { ...instruction, [side]: tokens };
  const fields: Record<string, unknown> = { ...valuesOf(instruction) };
  const name = side === 'waits' ? 'wait' : 'post';
  for (let slot = 2; slot < 6; slot++) {
    fields[`${name}${slot}`] = tokens[slot]?.semaphore ?? 0;
    fields[`${name}Count${slot}`] = tokens[slot]?.count ?? 0;
  }
  return { ...instruction, [side]: tokens.slice(0, 2), fields } as unknown as Instruction;
}

const sideName = { waits: 'wait for', posts: 'post of' } as const;

/** Takes a token of an instruction away: all its counts, or one. */
const dropped = (side: 'waits' | 'posts'): Draw => (queues, random) => {
  const sites = queues.flatMap((view) => view.code.flatMap((instruction, pc) => tokensOf(instruction, side).map((token) => ({ view, pc, token }))));
  const site = pick(random, sites);
  if (site === undefined) return undefined;
  const { view, pc, token } = site;
  const partly = token.count > 1 && random() < 0.5;
  const tokens = tokensOf(view.code[pc]!, side).flatMap((one) => (one.semaphore !== token.semaphore ? [one] : partly ? [{ ...one, count: one.count - 1 }] : []));
  const instruction = withTokens(view.code[pc]!, side, tokens);
  return instruction === undefined ? undefined : replaced(view, pc, instruction, `${partly ? 'one less of the' : 'no'} ${sideName[side]} s${token.semaphore}`);
};

/** Gives an instruction a token more: of a semaphore its queue has to do with anyway, or of any. */
const extra = (side: 'waits' | 'posts'): Draw => (queues, random) => {
  const view = pick(random, queues)!;
  const own = view.code.flatMap((instruction) => tokensOf(instruction, side).map(({ semaphore }) => semaphore));
  const all = queues.flatMap(({ code }) => code.flatMap((instruction) => tokensOf(instruction, side).map(({ semaphore }) => semaphore)));
  const semaphore = pick(random, random() < 0.7 ? own : all);
  const pc = below(random, view.code.length);
  const before = tokensOf(view.code[pc]!, side);
  if (semaphore === undefined) return undefined;
  const known = before.some((token) => token.semaphore === semaphore);
  if (before.some((token) => token.semaphore === semaphore && token.count === 15)) return undefined;
  const tokens = known ? before.map((token) => (token.semaphore === semaphore ? { ...token, count: token.count + 1 } : token)) : [...before, { semaphore, count: 1 }];
  const instruction = withTokens(view.code[pc]!, side, tokens);
  return instruction === undefined ? undefined : replaced(view, pc, instruction, `one more ${sideName[side]} s${semaphore}`);
};

const swapped: Draw = (queues, random) => {
  const view = pick(random, queues.filter(({ code }) => code.length > 1));
  if (view === undefined) return undefined;
  const pc = below(random, view.code.length - 1);
  const code = view.code.map((one, at) => (at === pc ? view.code[pc + 1]! : at === pc + 1 ? view.code[pc]! : one));
  return { queue: view.queue, pc, what: `${view.code[pc + 1]!.op} before ${view.code[pc]!.op}`, code, strideSets: view.strideSets };
};

/** Turns a ring on for every operand it moves; or for one of them, by a stride set of its own. */
const wrongSlot: Draw = (queues, random) => {
  const rings = queues.flatMap((view) => {
    const users = usersOf(view);
    return view.strideSets.flatMap(({ ring }, number) => (ring.depth > 1 && ring.stride > 0 && users.has(number) ? [{ view, number, users: users.get(number)! }] : []));
  });
  const site = pick(random, rings);
  if (site === undefined) return undefined;
  const { view, number, users } = site;
  const set = view.strideSets[number]!;
  const by = 1 + below(random, set.ring.depth - 1);
  const turned: StrideSet = { ...set, ring: { ...set.ring, base: (set.ring.base + by) % set.ring.depth } };
  const { pc, name } = pick(random, users)!;
  const inFrames = view.code.some(({ op }) => op === 'call');
  if (random() < 0.5 || inFrames || view.strideSets.length > strideSetMax) {
    return { queue: view.queue, pc, what: `ring of ss${number} ${by} slots on`, code: view.code, strideSets: view.strideSets.map((one, at) => (at === number ? turned : one)) };
  }
  const operand = { ...(valuesOf(view.code[pc]!)[name] as object), ss: view.strideSets.length };
  return { ...replaced(view, pc, withField(view.code[pc]!, name, operand), `${name} ${by} slots on`), strideSets: [...view.strideSets, turned] };
};

type User = { readonly pc: number; readonly name: string };

/** The operands each stride set moves, in whatever frame. */
function usersOf(view: QueueView): ReadonlyMap<number, readonly User[]> {
  const { code, from } = writtenOut(view);
  const users = new Map<number, User[]>();
  code.forEach((instruction, at) => Object.entries(valuesOf(instruction)).forEach(([name, value]) => {
    if (isMoved(value)) users.set(value.ss, [...(users.get(value.ss) ?? []), { pc: from?.places[at]!.pc ?? at, name }]);
  }));
  return users;
}

/** Numbers that say where a list is. */
const lists: ReadonlySet<string> = new Set(['index', 'rowScale', 'worklist', 'pages', 'out', 'biases', 'indices', 'weights', 'offsets']);
/** Numbers that are names or values; those not here and not lists count something: what is loaded, multiplied, stored, repeated. */
const names: ReadonlySet<string> = new Set(['level', 'reg', 'a', 'b', 'target', 'value', 'tag', 'least', 'most', 'root', 'peer', 'window']);
/** Instructions whose numbers are tokens or calls: classes of their own change those. */
const apart: ReadonlySet<Instruction['op']> = new Set(['sync', 'call']);
const isSize = (op: Instruction['op'], name: string, { kind }: FieldKind): boolean => kind === 'rows' || (kind === 'uint' && !apart.has(op) && !lists.has(name) && !names.has(name));

const sizeOffByOne: Draw = (queues, random) => {
  const site = pick(random, fieldsOf(queues, ({ op }, name, field) => isSize(op, name, field)));
  if (site === undefined) return undefined;
  const { view, pc, name } = site;
  const by = random() < 0.5 ? 1 : -1;
  const value = valuesOf(view.code[pc]!)[name] as number | RowWindow;
  const part = pick(random, ['max', 'max', 'reg', 'level'] as const)!;
  const changed = typeof value === 'number' ? value + by : { ...value, [part]: value[part] + by };
  return replaced(view, pc, withField(view.code[pc]!, name, changed), `${name}${typeof value === 'number' ? '' : `.${part}`} ${by > 0 ? 'one more' : 'one less'}`);
};

/** Kinds of fields that choose what is computed. */
const chosen: ReadonlySet<FieldKind['kind']> = new Set(['enum', 'flag', 'f32']);

/** Every field of every instruction for which `holds`: those it has, and choices it could make. */
const fieldsOf = (queues: readonly QueueView[], holds: (instruction: Instruction, name: string, field: FieldKind) => boolean): readonly { readonly view: QueueView; readonly pc: number; readonly name: string; readonly field: FieldKind }[] =>
  queues.flatMap((view) => view.code.flatMap((instruction, pc) => Object.entries(kindsOf(instruction)).flatMap(([name, field]) => ((valuesOf(instruction)[name] !== undefined || chosen.has(field.kind)) && holds(instruction, name, field) ? [{ view, pc, name, field }] : []))));

/** An operand a line on or back, or a stride by which it moves one more or less. */
const addressOffByOne: Draw = (queues, random) => {
  const sites = fieldsOf(queues, (_, name, { kind }) => kind === 'sram' || kind === 'hbm' || kind === 'acc' || (kind === 'uint' && lists.has(name)));
  const site = pick(random, sites);
  if (site === undefined) return undefined;
  const { view, pc, name } = site;
  const by = random() < 0.5 ? 1 : -1;
  const value = valuesOf(view.code[pc]!)[name] as number | { readonly addr?: number; readonly off?: number; readonly ss: number };
  if (typeof value === 'number') return replaced(view, pc, withField(view.code[pc]!, name, value + by), `${name} a line ${by > 0 ? 'on' : 'back'}`);
  const levels = loopsAround(view.code)[pc]!.map(({ level }) => level);
  if (value.ss !== 0 && levels.length > 0 && random() < 0.3) {
    const level = pick(random, levels)!;
    const strideSets = view.strideSets.map((set, at) => (at === value.ss ? { ...set, strides: set.strides.map((stride, l) => (l === level ? stride + by : stride)) as unknown as StrideSet['strides'] } : set));
    return { queue: view.queue, pc, what: `stride ${level} of ss${value.ss} ${by > 0 ? 'one more' : 'one less'}`, code: view.code, strideSets };
  }
  const moved = value.off === undefined ? { ...value, addr: value.addr! + by } : { ...value, off: value.off + by };
  return replaced(view, pc, withField(view.code[pc]!, name, moved), `${name} a line ${by > 0 ? 'on' : 'back'}`);
};

const isFormat = (field: FieldKind): boolean => field.kind === 'enum' && field.names === formats;

const wrongFormat: Draw = (queues, random) => {
  const site = pick(random, fieldsOf(queues, (_, __, field) => isFormat(field)));
  if (site === undefined) return undefined;
  const { view, pc, name } = site;
  const format = pick(random, formats.filter((one) => one !== valuesOf(view.code[pc]!)[name]))!;
  return replaced(view, pc, withField(view.code[pc]!, name, format), `${name} ${format}`);
};

/** Another activation, mask, table, flag, constant or name: what is computed, not where. */
const wrongFunction: Draw = (queues, random) => {
  const site = pick(random, fieldsOf(queues, ({ op }, name, field) => (chosen.has(field.kind) && !isFormat(field)) || (names.has(name) && !apart.has(op))));
  if (site === undefined) return undefined;
  const { view, pc, name, field } = site;
  const value = valuesOf(view.code[pc]!)[name];
  const changed = field.kind === 'flag' ? value !== true : field.kind === 'f32' ? Math.fround(((value as number | undefined) ?? 2) * 1.5) : field.kind === 'enum' ? pick(random, field.names.filter((one) => one !== value)) : (value as number) + 1;
  return changed === undefined ? undefined : replaced(view, pc, withField(view.code[pc]!, name, changed), `${name} ${String(changed)}`);
};

/** A call of another subprogram, in another frame, or of none. */
const wrongCall: Draw = (queues, random) => {
  const sites = queues.flatMap((view) => view.code.flatMap((instruction, pc) => (instruction.op === 'call' ? [{ view, pc, instruction }] : [])));
  const site = pick(random, sites);
  if (site === undefined) return undefined;
  const { view, pc, instruction } = site;
  const { target, frame } = instruction.fields;
  const others = (values: readonly number[], own: number): readonly number[] => values.filter((value) => value !== own);
  const calls = sites.filter((one) => one.view === view).map((one) => one.instruction.fields);
  const made: readonly (readonly [string, Instruction])[] = [
    ['not called', { ...instruction, op: 'nop', fields: {} }],
    ...others(calls.map((call) => call.target), target).map((other) => [`calls ${other}`, withField(instruction, 'target', other)] as const),
    ...others([...calls.map((call) => call.frame), frame + 1, frame - 1], frame).map((other) => [`in frame ${other}`, withField(instruction, 'frame', other)] as const),
  ];
  const [what, other] = pick(random, made)!;
  return replaced(view, pc, other, what);
};

/** The classes of faults. */
export const faultClasses: readonly { readonly name: string; readonly draw: Draw }[] = [
  { name: 'dropped post', draw: dropped('posts') },
  { name: 'extra post', draw: extra('posts') },
  { name: 'dropped wait', draw: dropped('waits') },
  { name: 'extra wait', draw: extra('waits') },
  { name: 'neighbours swapped', draw: swapped },
  { name: 'wrong buffer slot', draw: wrongSlot },
  { name: 'size off by one', draw: sizeOffByOne },
  { name: 'address off by one', draw: addressOffByOne },
  { name: 'wrong format', draw: wrongFormat },
  { name: 'wrong function', draw: wrongFunction },
  { name: 'wrong call', draw: wrongCall },
];
