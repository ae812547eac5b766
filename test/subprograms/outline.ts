import { decodeAll, encodeAll, still } from '../../isa-spec/encoding.ts';
import { callsMax, type Instruction, type Queue, queues, type StrideSet } from '../../isa-spec/instructions.ts';
import type { Json } from '../../isa-spec/json.ts';
import type { Program, QueueCode } from '../../isa-spec/program.ts';
import { below, pick, type Random, randomFrom } from '../../verifier/mutation/random.ts';

/** Code as a tree. `from`: where an instruction was; a call's routine is by number. */
type Word = { readonly kind: 'word'; readonly instruction: Instruction; readonly from: number };
type Loop = { readonly kind: 'loop'; readonly instruction: Instruction; readonly from: number; readonly body: Node[] };
type Call = { readonly kind: 'call'; readonly routine: number; readonly from: number };
type Node = Word | Loop | Call;

function treeOf(code: readonly Instruction[], begin: number, end: number): Node[] {
  const nodes: Node[] = [];
  for (let pc = begin; pc < end; pc++) {
    const instruction = code[pc]!;
    if (instruction.op !== 'loop') nodes.push({ kind: 'word', instruction, from: pc });
    else {
      nodes.push({ kind: 'loop', instruction, from: pc, body: treeOf(code, pc + 1, pc + 1 + instruction.fields.body) });
      pc += instruction.fields.body;
    }
  }
  return nodes;
}

const listsIn = (nodes: Node[]): readonly Node[][] => [nodes, ...nodes.flatMap((node) => (node.kind === 'loop' ? listsIn(node.body) : []))];
const callsOf = (nodes: readonly Node[]): readonly number[] => nodes.flatMap((node) => (node.kind === 'call' ? [node.routine] : node.kind === 'loop' ? callsOf(node.body) : []));
const depthOf = (routines: readonly Node[][], nodes: readonly Node[]): number => callsOf(nodes).reduce((most, routine) => Math.max(most, 1 + depthOf(routines, routines[routine]!)), 0);

type Outlined = { readonly code: QueueCode; /** By word: where it was, and of calls and returns where what they replace was. */ readonly froms: readonly number[]; /** By where an instruction was: where it is with calls written out. */ readonly written: readonly number[] };

/** A queue's code with stretches of it made subprograms, some in frames of their own. */
function outlined({ words, strideSets }: QueueCode, queue: Queue, cuts: number, random: Random): Outlined {
  const source = decodeAll(words, queue);
  const routines: Node[][] = [treeOf(source, 0, source.length)];
  for (let cut = 0; cut < cuts; cut++) {
    const list = pick(random, routines.flatMap(listsIn).filter(({ length }) => length > 0));
    if (list === undefined) break;
    const at = below(random, list.length);
    const length = 1 + below(random, list.length - at);
    const body = list.splice(at, length, { kind: 'call', routine: routines.length, from: list[at]!.from });
    routines.push(body);
    if (depthOf(routines, routines[0]!) <= callsMax) continue;
    routines.pop();
    list.splice(at, 1, ...body);
  }
  const framed = routines.map((_, number) => number > 0 && random() < 0.6);

  const sets: StrideSet[] = strideSets.length === 0 ? [still] : [...strideSets];
  const code: Instruction[] = [];
  const froms: number[] = [];
  const written: number[] = [];
  const begins = new Map<number, number>();
  const calls: { readonly at: number; readonly routine: number }[] = [];
  let place = 0;
  /** Where the instructions of a routine come in the order they are run. */
  const run = (nodes: readonly Node[]): void => nodes.forEach((node) => {
    if (node.kind !== 'call') written[node.from] = place;
    place++;
    if (node.kind === 'loop') run(node.body);
    if (node.kind === 'call') run(routines[node.routine]!);
    if (node.kind === 'call') place++;
  });
  run(routines[0]!);

  /** The sets of a frame: `base`, and by number in the first frame the number in this one. */
  type Frame = { readonly base: number; readonly numbers: ReadonlyMap<number, number> | undefined };
  const setsUsed = (nodes: readonly Node[]): readonly number[] => nodes.flatMap((node) => (node.kind === 'call' ? (framed[node.routine] ? [] : setsUsed(routines[node.routine]!)) : [
    ...Object.values(node.instruction.fields).flatMap((value: unknown) => (typeof value === 'object' && value !== null && 'ss' in value && value.ss !== 0 ? [value.ss as number] : [])),
    ...(node.kind === 'loop' ? setsUsed(node.body) : []),
  ]));
  const inFrame = (instruction: Instruction, { numbers }: Frame): Instruction => {
    if (numbers === undefined) return instruction;
    const fields = Object.entries(instruction.fields).map(([name, value]: [string, unknown]) => [name, typeof value === 'object' && value !== null && 'ss' in value && value.ss !== 0 ? { ...value, ss: numbers.get(value.ss as number)! } : value]);
    return { ...instruction, fields: Object.fromEntries(fields) as never };
  };
  const pending: { readonly routine: number; readonly frame: Frame }[] = [];
  const emit = (nodes: readonly Node[], frame: Frame): void => nodes.forEach((node) => {
    froms.push(node.from);
    if (node.kind === 'call') {
      const used = framed[node.routine] ? [...new Set(setsUsed(routines[node.routine]!))] : [];
      const own: Frame = framed[node.routine] ? { base: sets.length - 1, numbers: new Map(used.map((number, i) => [number, i + 1])) } : frame;
      sets.push(...used.map((number) => strideSets[number]!));
      calls.push({ at: code.length, routine: node.routine });
      code.push({ op: 'call', waits: [], posts: [], fields: { target: 0, frame: own.base - frame.base } });
      pending.push({ routine: node.routine, frame: own });
      return;
    }
    const at = code.push(inFrame(node.instruction, frame)) - 1;
    if (node.kind !== 'loop') return;
    emit(node.body, frame);
    code[at] = { ...node.instruction, fields: { ...node.instruction.fields, body: code.length - at - 1 } as never };
  });
  const ends = (from: number): void => {
    froms.push(from);
    code.push({ op: 'ret', waits: [], posts: [], fields: {} });
  };
  emit(routines[0]!, { base: 0, numbers: undefined });
  if (pending.length > 0) ends(source.length - 1);
  for (let next = pending.shift(); next !== undefined; next = pending.shift()) {
    begins.set(next.routine, code.length);
    emit(routines[next.routine]!, next.frame);
    ends(froms.at(-1)!);
  }
  for (const { at, routine } of calls) code[at] = { ...code[at]!, fields: { ...code[at]!.fields, target: begins.get(routine)! } as never };
  return { code: { words: encodeAll(code, queue), strideSets: sets.length === 1 ? [] : sets }, froms, written };
}

/** The same program with stretches of its queues' code made subprograms, drawn by the seed: labels and certificate go along. */
export function outline(program: Program, cuts: number, seed: number): Program {
  const random = randomFrom(seed);
  const made = program.code.map((chips) => {
    const [first] = chips;
    const byQueue = Object.fromEntries(queues.map((queue) => [queue, outlined(first![queue], queue, cuts, random)])) as Record<Queue, Outlined>;
    if (chips.some((chip) => queues.some((queue) => Buffer.compare(chip[queue].words, first![queue].words) !== 0))) throw new Error('chips differ');
    return byQueue;
  });
  const life = (program.life as { readonly ops: readonly { readonly queue: Queue; readonly pc: number }[] }[]).map((ofEntry, entry) => ({ ...ofEntry, ops: ofEntry.ops.map((op) => ({ ...op, pc: made[entry]![op.queue].written[op.pc]! })) }));
  return {
    ...program,
    code: program.code.map((chips, entry) => chips.map(() => Object.fromEntries(queues.map((queue) => [queue, made[entry]![queue].code])) as Program['code'][number][number])),
    debugMap: {
      ...program.debugMap,
      entries: program.debugMap.entries.map((ofEntry, entry) => Object.fromEntries(queues.map((queue) => [queue, made[entry]![queue].froms.map((from) => ofEntry[queue][from]!)])) as unknown as Program['debugMap']['entries'][number]),
    },
    life: life as unknown as Json,
  };
}
