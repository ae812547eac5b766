import { type FieldKind, fieldParts } from './fields.ts';
import { hbmBases, type Instruction, instructions, type Queue, queues, type StrideSet, type Token, wordBytes } from './instructions.ts';
import { type BitRange, common, type FieldPosition, layouts, mnemonicOf, strideSetNumbers } from './layout.ts';

/** A word that is no instruction of its queue. `offset`: where in the bytes the word starts. */
export class IllegalInstruction extends Error {
  readonly offset: number;
  constructor(offset: number, reason: string) {
    super(`word at byte ${offset}: ${reason}`);
    this.name = 'IllegalInstruction';
    this.offset = offset;
  }
}

type Parts = readonly number[];
type Value = Instruction['fields'][keyof Instruction['fields']] | number | boolean | string | object;

/** Bits of a word of eight u32, at most 32, as an unsigned number. */
const take = (word: Uint32Array, { at, bits }: BitRange): number => {
  const shift = at & 31;
  const index = at >>> 5;
  const low = word[index]! >>> shift;
  const value = shift + bits > 32 ? low | (word[index + 1]! << (32 - shift)) : low;
  return bits === 32 ? value >>> 0 : value & ((1 << bits) - 1);
};

const put = (word: Uint32Array, range: BitRange, value: number): void => {
  const shift = range.at & 31;
  const index = range.at >>> 5;
  word[index] = word[index]! | (value << shift);
  if (shift + range.bits > 32) word[index + 1] = word[index + 1]! | Math.floor(value / 2 ** (32 - shift));
};

/** Writes eight u32 as the 32 bytes at `offset`, little-endian. */
const putWord = (bytes: Uint8Array, offset: number, word: Uint32Array): void => {
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset, wordBytes);
  word.forEach((part, i) => view.setUint32(4 * i, part, true));
};
const single = new DataView(new ArrayBuffer(4));
const bitsOfF32 = (x: number): number => {
  single.setFloat32(0, x);
  return single.getUint32(0);
};
const f32OfBits = (bits: number): number => {
  single.setUint32(0, bits);
  return single.getFloat32(0);
};

/** The parts of a field's value, or undefined if the value is not one of the field's. */
const partsOf = (field: FieldKind, value: Value): Parts | undefined => {
  switch (field.kind) {
    case 'uint':
      return typeof value === 'number' ? [field.minusOne ? value - 1 : value] : undefined;
    case 'pc':
      return typeof value === 'number' ? [value] : undefined;
    case 'f32':
      return typeof value === 'number' && Number.isFinite(value) && Math.fround(value) === value ? [bitsOfF32(value)] : undefined;
    case 'flag':
      return typeof value === 'boolean' ? [value ? 1 : 0] : undefined;
    case 'enum':
      return [field.names.indexOf(value as string)];
    case 'sram':
    case 'hbm':
    case 'acc':
    case 'rows':
      return fieldParts(field).map((part) => (value as Readonly<Record<string, number>>)[part.name]!);
  }
};

/** The value of a field, or undefined if its bits are none of the field's. */
const valueOf = ({ field, parts }: FieldPosition, word: Uint32Array): Value | undefined => {
  const first = take(word, parts[0]!);
  switch (field.kind) {
    case 'uint':
      return field.minusOne ? first + 1 : first;
    case 'pc':
      return first;
    case 'f32':
      return Number.isFinite(f32OfBits(first)) ? f32OfBits(first) : undefined;
    case 'flag':
      return first === 1;
    case 'enum':
      return field.names[first];
    case 'sram':
    case 'acc':
      return { addr: first, ss: take(word, parts[1]!) };
    case 'hbm':
      return first < hbmBases.length ? { base: first, off: take(word, parts[1]!), ss: take(word, parts[2]!) } : undefined;
    case 'rows':
      return { max: first, reg: take(word, parts[1]!), level: take(word, parts[2]!) };
  }
};

/** Why a field has no value. */
const withoutValue = ({ field, name, parts }: FieldPosition, word: Uint32Array): string => {
  const first = take(word, parts[0]!);
  if (field.kind === 'f32') return `\`${name}\` is not a finite number`;
  if (field.kind === 'hbm') return `\`${name}\` names base register ${first}, the last is ${hbmBases.length - 1}`;
  return `\`${name}\` has no meaning for code ${first}`;
};

const isUnset = ({ parts }: FieldPosition, word: Uint32Array): boolean => {
  for (const part of parts) if (take(word, part) !== 0) return false;
  return true;
};

/** Whether a value of a field has no bit set. */
export const isZero = (field: FieldKind, value: Value): boolean => partsOf(field, value)?.every((part) => part === 0) === true;

const tokenSlots = {
  waits: [[common.wait0, common.waitCount0], [common.wait1, common.waitCount1]],
  posts: [[common.post0, common.postCount0], [common.post1, common.postCount1]],
} as const;

const putChecked = (word: Uint32Array, range: BitRange, value: number, what: () => string): void => {
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** range.bits) throw new RangeError(`internal: ${what()} is ${value}, which is not one of its ${2 ** range.bits} values`);
  put(word, range, value);
};

const putTokens = (word: Uint32Array, instruction: Instruction, side: 'waits' | 'posts'): void => {
  const tokens = instruction[side];
  if (tokens.length > 2) throw new RangeError(`internal: ${instruction.op} has ${tokens.length} ${side}, a word holds two`);
  tokens.forEach((token, i) => {
    if (token.semaphore === 0 || token.count === 0) throw new RangeError(`internal: ${side} of ${instruction.op} have semaphore ${token.semaphore} with count ${token.count}`);
    putChecked(word, tokenSlots[side][i]![0], token.semaphore, () => `a semaphore of ${instruction.op}`);
    putChecked(word, tokenSlots[side][i]![1], token.count, () => `a token count of ${instruction.op}`);
  });
};

/** What an instruction's word has no room for: its fields with larger values than their bits can say. */
export const withoutRoom = (instruction: Instruction): readonly string[] => {
  const values = instruction.fields as Readonly<Record<string, Value>>;
  return layouts[instruction.op].fields.flatMap(({ name, field, parts: ranges }) => {
    const value = values[name];
    const parts = value === undefined ? undefined : partsOf(field, value);
    return ranges.flatMap(({ bits }, i) => ((parts?.[i] ?? 0) < 2 ** bits ? [] : [`\`${name}\` of \`${instruction.op}\` would be ${parts?.[i]}, in ${bits} bits`]));
  });
};

/** Writes an instruction as 32 bytes at `offset`. Throws a RangeError if it does not fit the word or is not one of the queue's: a compiler's fault. */
const encodeInto = (bytes: Uint8Array, offset: number, instruction: Instruction, queue: Queue): void => {
  const row = instructions[instruction.op];
  if (!row.queues.includes(queue)) throw new RangeError(`internal: ${instruction.op} cannot be in queue ${queue}`);
  const word = new Uint32Array(8);
  put(word, common.op, row.opcode);
  put(word, common.queue, queues.indexOf(queue));
  putChecked(word, common.predicate, instruction.predicate ?? 0, () => `the predicate of ${instruction.op}`);
  putTokens(word, instruction, 'waits');
  putTokens(word, instruction, 'posts');
  const values = instruction.fields as Readonly<Record<string, Value>>;
  for (const position of layouts[instruction.op].fields) {
    const value = values[position.name];
    const parts = value !== undefined ? partsOf(position.field, value) : position.field.added === true ? position.parts.map(() => 0) : undefined;
    if (parts === undefined) throw new RangeError(`internal: ${position.name} of ${instruction.op} cannot be ${String(value)}`);
    position.parts.forEach((part, i) => putChecked(word, part, parts[i]!, () => `${position.name} of ${instruction.op}`));
  }
  putWord(bytes, offset, word);
};

/** An instruction as its 32 bytes. `decode(encode(i)) = i`. Throws as `encodeInto` does. */
export const encode = (instruction: Instruction, queue: Queue): Uint8Array => {
  const bytes = new Uint8Array(wordBytes);
  encodeInto(bytes, 0, instruction, queue);
  return bytes;
};

/** A whole queue's instructions, 32 bytes each. */
export const encodeAll = (code: readonly Instruction[], queue: Queue): Uint8Array => {
  const bytes = new Uint8Array(code.length * wordBytes);
  code.forEach((instruction, pc) => encodeInto(bytes, pc * wordBytes, instruction, queue));
  return bytes;
};

const noTokens: readonly Token[] = [];

const takeTokens = (word: Uint32Array, offset: number, side: 'waits' | 'posts'): readonly Token[] => {
  const tokens: Token[] = [];
  for (const [id, counted] of tokenSlots[side]) {
    const semaphore = take(word, id);
    const count = take(word, counted);
    if ((semaphore === 0) !== (count === 0)) throw new IllegalInstruction(offset, `${side} semaphore ${semaphore} with count ${count}`);
    tokens.push({ semaphore, count });
  }
  const [first, second] = tokens as [Token, Token];
  if (first.semaphore === 0 && second.semaphore !== 0) throw new IllegalInstruction(offset, `the second of its ${side} is used, the first is not`);
  return first.semaphore === 0 ? noTokens : second.semaphore === 0 ? [first] : tokens;
};

const wordAt = (bytes: Uint8Array, offset: number): Uint32Array => {
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset, wordBytes);
  const word = new Uint32Array(wordBytes / 4);
  for (let i = 0; i < word.length; i++) word[i] = view.getUint32(4 * i, true);
  return word;
};

/**
 * The instruction of the word at `offset` of a queue's code. `encode(decode(b)) = b`: whatever would not come back the same
 * (unknown opcode or code of an enumeration, a bit set that means nothing, a word of another queue) is an IllegalInstruction.
 */
export const decode = (bytes: Uint8Array, offset: number, queue: Queue): Instruction => {
  if (offset < 0 || offset + wordBytes > bytes.length) throw new IllegalInstruction(offset, `the code ends at byte ${bytes.length}`);
  const word = wordAt(bytes, offset);
  const opcode = take(word, common.op);
  const op = mnemonicOf(opcode);
  if (op === undefined) throw new IllegalInstruction(offset, `no instruction has opcode 0x${opcode.toString(16)}`);
  const engine = take(word, common.queue);
  if (queues[engine] !== queue) throw new IllegalInstruction(offset, `${op} is for queue ${queues[engine] ?? engine}, found in ${queue}`);
  if (!instructions[op].queues.includes(queue)) throw new IllegalInstruction(offset, `${op} cannot be in queue ${queue}`);

  const layout = layouts[op];
  for (let i = 0; i < word.length; i++) {
    const set = word[i]! & layout.reservedMask[i]!;
    if (set !== 0) throw new IllegalInstruction(offset, `${op} does not use bit ${32 * i + 31 - Math.clz32(set)}, which is set`);
  }
  const fields: Record<string, Value> = {};
  for (const position of layout.fields) {
    if (position.field.added === true && isUnset(position, word)) continue;
    const value = valueOf(position, word);
    if (value === undefined) throw new IllegalInstruction(offset, `${op}: ${withoutValue(position, word)}`);
    fields[position.name] = value;
  }
  const waits = takeTokens(word, offset, 'waits');
  const posts = takeTokens(word, offset, 'posts');
  const predicate = take(word, common.predicate);
  return (predicate === 0 ? { op, waits, posts, fields } : { op, predicate, waits, posts, fields }) as Instruction;
};

/** Every instruction of a queue's code. Throws IllegalInstruction as `decode` does, and if the code ends inside a word. */
export const decodeAll = (bytes: Uint8Array, queue: Queue): readonly Instruction[] => {
  const code: Instruction[] = [];
  for (let offset = 0; offset < bytes.length; offset += wordBytes) code.push(decode(bytes, offset, queue));
  return code;
};

/** Stride set 0 of every queue. A ring of depth 0 is no ring. */
export const still: StrideSet = { strides: [0, 0, 0, 0], ring: { stride: 0, depth: 0, base: 0, steps: [0, 0, 0, 0] } };
export const strideSetBytes = 32;

/** A stride set as 32 bytes, its numbers where `strideSetNumbers` says. Throws a RangeError if one does not fit. */
export const encodeStrideSet = ({ strides, ring }: StrideSet): Uint8Array => {
  const word = new Uint32Array(strideSetBytes / 4);
  const numbers = [...strides, ring.stride, ring.depth, ring.base, ...ring.steps];
  strideSetNumbers.forEach((number, i) => {
    const value = numbers[i]!;
    const low = number.signed ? -(2 ** (number.bits - 1)) : 0;
    if (!Number.isInteger(value) || value < low || value >= low + 2 ** number.bits) throw new RangeError(`internal: ${number.name} of a stride set is ${value}, in ${number.bits} bits`);
    put(word, number, value >>> 0);
  });
  const bytes = new Uint8Array(strideSetBytes);
  putWord(bytes, 0, word);
  return bytes;
};

/** The stride set of the 32 bytes at `offset`; every 32 bytes are one. */
export const decodeStrideSet = (bytes: Uint8Array, offset: number): StrideSet => {
  const word = wordAt(bytes, offset);
  const at = (i: number): number => (strideSetNumbers[i]!.signed ? take(word, strideSetNumbers[i]!) | 0 : take(word, strideSetNumbers[i]!));
  return { strides: [at(0), at(1), at(2), at(3)], ring: { stride: at(4), depth: at(5), base: at(6), steps: [at(7), at(8), at(9), at(10)] } };
};

/** How far a stride set moves an operand in iteration `I` (I[0] to I[3]), in the operand's own units. */
export const move = (set: StrideSet, I: ArrayLike<number>): number => {
  const { strides, ring } = set;
  const linear = I[0]! * strides[0] + I[1]! * strides[1] + I[2]! * strides[2] + I[3]! * strides[3];
  if (ring.depth === 0) return linear;
  const turns = ring.base + I[0]! * ring.steps[0] + I[1]! * ring.steps[1] + I[2]! * ring.steps[2] + I[3]! * ring.steps[3];
  return linear + ring.stride * (turns % ring.depth);
};
