import { formats } from '../isa-spec/fields.ts';
import { hbmBases, type Queue, queues } from '../isa-spec/instructions.ts';
import { anything, type Check, type Checked, integerFrom, type Json, listOf, mapOf, nameOf, record, text } from '../isa-spec/json.ts';
import type { Program } from '../isa-spec/program.ts';

const size = integerFrom(0, 2 ** 50);
const whole = integerFrom(-(2 ** 50), 2 ** 50);
/** A base and steps of loop levels 0 to 3, without the zeros at the end. */
const affine: Check<readonly number[]> = (value, at, problems) => {
  const list = listOf(whole)(value, at, problems);
  if (Array.isArray(value) && value.length > 5) problems.push(`\`${at}\` has more than a base and four steps`);
  return list;
};

const source: Check<readonly [op: number, level: number]> = (value, at, problems) => {
  const list = listOf(whole)(value, at, problems);
  if (Array.isArray(value) && value.length !== 2) problems.push(`\`${at}\` is not an op and a loop level`);
  return list as unknown as readonly [number, number];
};

const access = record({
  op: size, field: text, does: nameOf(['defines', 'uses', 'updates']),
  slot: affine, row: affine, column: affine, rows: size, columns: size, from: listOf(source),
});
const buffer = record({
  name: text, role: nameOf(['weights', 'kv', 'pipe', 'value', 'stage', 'ring', 'list', 'input', 'output']), format: nameOf(formats), rows: size, columns: size, depth: size,
  space: nameOf(['hbm', 'sram', 'acc']), base: nameOf(hbmBases), at: size, size, pitch: size, slot: size, accesses: listOf(access),
});
const loop = record({ level: integerFrom(0, 3), count: size, first: size, last: size });
const op = record({ queue: nameOf(queues), pc: size, max: size, of: text, computes: mapOf<Json>(anything) });
const certificates = listOf(record({ ops: listOf(op), loops: listOf(loop), buffers: listOf(buffer) }));

export type CertifiedBuffer = Checked<typeof buffer>;
export type CertifiedAccess = Checked<typeof access>;
export type CertifiedLoop = Checked<typeof loop>;

/** Part of a buffer an op touches by the field of its instruction. */
export type Touch = { readonly buffer: number; readonly access: CertifiedAccess };

/**
 * What the compiler claims of an entry's code (the container's `life`): its ops in program order, each the instruction at
 * `pc` of a queue's code (if there are calls: with them written out), in `loops` (ops `first` to `last`), and what it `computes`, as fields of the instruction; and every buffer, where it lies, with the ops that define and use it.
 * A use says `from` which ops its values are: [op, -1] of the same turn of the loops around both, or [op, l] of the turn
 * before of a loop of level l. Claims are for the rules to check; nothing here is believed.
 */
export type Certificate = Checked<typeof certificates>[number] & {
  /** By op: the parts of buffers it touches, and the loops around it, outermost first. */
  readonly touches: readonly (readonly Touch[])[];
  readonly around: readonly (readonly CertifiedLoop[])[];
  /** The number of the op at a pc of a queue. */
  readonly opAt: (queue: Queue, pc: number) => number | undefined;
};

/** A certificate, or why it cannot be read. */
export type Claims = Certificate | { readonly problems: readonly string[] };

/** The certificates of all entries; undefined if the program has none. */
export function readCertificates(program: Program): readonly Claims[] | undefined {
  if (!Array.isArray(program.life) || program.life.length === 0) return undefined;
  const problems: string[] = [];
  const found = certificates(program.life, 'life', problems);
  return program.entries.map((_, entry) => (problems.length > 0 ? { problems } : certificateOf(found[entry], entry)));
}

function certificateOf(found: Checked<typeof certificates>[number] | undefined, entry: number): Claims {
  if (found === undefined) return { problems: [`\`life\` has nothing of entry ${entry}`] };
  const problems: string[] = [];
  const touches: Touch[][] = found.ops.map(() => []);
  found.buffers.forEach(({ name, accesses }, number) => accesses.forEach((one) => {
    if (touches[one.op] === undefined) problems.push(`buffer \`${name}\` is touched by op ${one.op} of ${found.ops.length}`);
    touches[one.op]?.push({ buffer: number, access: one });
    for (const [from] of one.from) if (found.ops[from] === undefined) problems.push(`buffer \`${name}\` is used from op ${from} of ${found.ops.length}`);
  }));
  if (problems.length > 0) return { problems };
  const numbers = new Map<Queue, Map<number, number>>();
  found.ops.forEach(({ queue, pc }, number) => numbers.set(queue, (numbers.get(queue) ?? new Map<number, number>()).set(pc, number)));
  const around = found.ops.map((_, number) => found.loops.filter(({ first, last }) => first <= number && number <= last));
  return { ...found, touches, around, opAt: (queue, pc) => numbers.get(queue)?.get(pc) };
}

/** The value of an affine position in an iteration. */
export const valueAt = (position: readonly number[], I: ArrayLike<number>): number => {
  let value = position[0] ?? 0;
  for (let level = 1; level < position.length; level++) value += position[level]! * I[level - 1]!;
  return value;
};
