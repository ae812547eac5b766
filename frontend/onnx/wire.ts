import protobuf from 'protobufjs/minimal.js';
import type { Code } from '../../diagnostics/catalogue.ts';
import type { Files } from '../files.ts';
import { inlineBytes, limits } from './limits.ts';
import { type Chunk, type MessageName, type Parsed, messages } from './schema.ts';

/** What is wrong with the file, and where: `offset` is a byte of the model file, if one is to blame. */
export class Malformed extends Error {
  readonly code: Code;
  readonly offset: number | undefined;

  constructor(code: Code, message: string, offset?: number) {
    super(message);
    this.name = 'Malformed';
    this.code = code;
    this.offset = offset;
  }
}

type Field = { readonly name: string; readonly type: string; readonly repeated: boolean };

const fieldsByNumber: ReadonlyMap<string, ReadonlyMap<number, Field>> = new Map(
  Object.entries(messages).map(([message, fields]) => [
    message,
    new Map(
      Object.entries(fields).map(([name, [number, type]]): [number, Field] => [
        number as number,
        { name, type: (type as string).replace('[]', ''), repeated: (type as string).endsWith('[]') },
      ]),
    ),
  ]),
);

const wireTypes: Readonly<Record<string, number>> = { int: 0, uint: 0, float: 5, chunk4: 5, chunk8: 1 };
/** Little, for most of a file may be skipped. */
const windowBytes = 1 << 15;
/** A tag and a length, or a varint, or a double: what is read without looking whether it is there. */
const headBytes = 20;
/** What is no UTF-8 is replaced. */
const utf8 = new TextDecoder('utf-8', { fatal: false });

/** Reads one message of a file through a window of bytes; only what `messages` names is kept. Throws `Malformed`. */
export function readMessage<M extends MessageName>(files: Files, path: string, size: number, message: M): Parsed<M> {
  const decoder = new Decoder(files, path, size);
  try {
    return decoder.message(message, {}, size, 0) as Parsed<M>;
  } catch (error) {
    // protobufjs tells of bytes that are no varint, tag or length by plain errors
    if (error instanceof Error && (error instanceof RangeError || error.message.startsWith('invalid'))) throw new Malformed('E1001', 'the bytes are not a protobuf message', decoder.position);
    throw error;
  }
}

class Decoder {
  readonly #files: Files;
  readonly #path: string;
  readonly #size: number;
  #start = 0;
  #reader: protobuf.Reader;
  #fields = 0;
  #nodes = 0;
  #numbers = 0;

  constructor(files: Files, path: string, size: number) {
    this.#files = files;
    this.#path = path;
    this.#size = size;
    this.#reader = protobuf.Reader.create(files.read(path, 0, Math.min(size, windowBytes)));
  }

  /** The byte of the file to be read next. */
  get position(): number {
    return this.#start + this.#reader.pos;
  }

  /** Merges the fields up to byte `end` into `into`, as protobuf does with a singular message sent in parts. */
  message(name: string, into: Record<string, unknown>, end: number, depth: number): Record<string, unknown> {
    if (depth > limits.depth) throw new Malformed('E1004', `messages are nested more than ${limits.depth} deep`, this.position);
    const fields = fieldsByNumber.get(name) as ReadonlyMap<number, Field>;
    while (this.position < end) {
      this.#fill(headBytes);
      const at = this.position;
      if (++this.#fields > limits.fields) throw new Malformed('E1004', `the file has more than ${limits.fields} fields`, at);
      const tag = this.#reader.tag();
      const field = fields.get(tag >>> 3);
      if (tag >>> 3 === 0) throw new Malformed('E1001', 'a field has number 0', at);
      if (field === undefined) this.#skip(tag & 7, end);
      else this.#field(field, tag & 7, into, { end, depth, at });
      if (this.position > end) throw new Malformed('E1001', 'a field runs past the message it is in', at);
    }
    return into;
  }

  #field(field: Field, wire: number, into: Record<string, unknown>, { end, depth, at }: { readonly end: number; readonly depth: number; readonly at: number }): void {
    const own = wireTypes[field.type] ?? 2;
    const packed = wire === 2 && own !== 2 && field.repeated;
    if (wire !== own && !packed) throw new Malformed('E1001', `field \`${field.name}\` has wire type ${wire}, not ${own}`, at);
    if (packed) this.#packed(field, into, end);
    else if (!field.repeated) into[field.name] = this.#one(field.type, into[field.name], end, depth);
    else list(into, field.name).push(this.#one(field.type, undefined, end, depth));
  }

  #one(type: string, before: unknown, end: number, depth: number): unknown {
    if (type === 'int') return this.#integer(false);
    if (type === 'uint') return this.#integer(true);
    if (type === 'float') return this.#reader.float();
    if (type === 'chunk4' || type === 'chunk8') return this.#chunk(type === 'chunk4' ? 4 : 8);
    const length = this.#length(end);
    if (type === 'string') return this.#string(length);
    if (type === 'chunk') return this.#chunk(length);
    if (type === 'node' && ++this.#nodes > limits.nodes) throw new Malformed('E1004', `the file has more than ${limits.nodes} nodes`, this.position);
    return this.message(type, (before as Record<string, unknown> | undefined) ?? {}, this.position + length, depth + 1);
  }

  #packed(field: Field, into: Record<string, unknown>, end: number): void {
    const length = this.#length(end);
    const stop = this.position + length;
    const values = list(into, field.name);
    if (field.type.startsWith('chunk')) {
      values.push(this.#chunk(length));
      return;
    }
    while (this.position < stop) {
      this.#fill(headBytes);
      values.push(field.type === 'float' ? this.#reader.float() : this.#integer(field.type === 'uint'));
    }
    if (this.position > stop) throw new Malformed('E1001', 'a number runs past the list it is in', stop);
  }

  /** 64 bits as a double: exact below 2^53, which the callers check where it matters. */
  #integer(unsigned: boolean): number {
    if (++this.#numbers > limits.numbers) throw new Malformed('E1004', `the file has more than ${limits.numbers} numbers outside raw data`, this.position);
    const first = this.#reader.buf[this.#reader.pos];
    if (first !== undefined && first < 128) {
      this.#reader.pos++;
      return first;
    }
    const value = unsigned ? this.#reader.uint64() : this.#reader.int64();
    return typeof value === 'number' ? value : (unsigned ? value.high >>> 0 : value.high) * 2 ** 32 + (value.low >>> 0);
  }

  #length(end: number): number {
    const at = this.position;
    const length = this.#reader.size();
    if (length > end - this.position) throw new Malformed('E1001', `a length of ${length} bytes runs past the end`, at);
    return length;
  }

  #string(length: number): string {
    if (length > limits.stringBytes) throw new Malformed('E1004', `a string has ${length} bytes, more than ${limits.stringBytes}`, this.position);
    this.#fill(length);
    const { buf, pos } = this.#reader;
    this.#reader.pos += length;
    return utf8.decode(buf.subarray(pos, pos + length));
  }

  #chunk(length: number): Chunk {
    const offset = this.position;
    if (length > inlineBytes) {
      this.#seek(offset + length);
      return { offset, length, bytes: undefined };
    }
    this.#fill(length);
    const { buf, pos } = this.#reader;
    if (pos + length > buf.length) throw new Malformed('E1001', 'the file ends within a field', offset);
    this.#reader.pos += length;
    return { offset, length, bytes: new Uint8Array(buf.subarray(pos, pos + length)) };
  }

  #skip(wire: number, end: number): void {
    let groups = 0;
    let kind = wire;
    for (;;) {
      if (kind === 0) this.#reader.skip();
      else if (kind === 1) this.#seek(this.position + 8);
      else if (kind === 2) {
        const length = this.#length(end);
        this.#seek(this.position + length);
      } else if (kind === 3) groups++;
      else if (kind === 4) groups--;
      else if (kind === 5) this.#seek(this.position + 4);
      else throw new Malformed('E1001', `wire type ${kind} does not exist`, this.position);
      if (groups < 0) throw new Malformed('E1001', 'a group ends that did not begin', this.position);
      if (groups === 0) return;
      if (this.position >= end) throw new Malformed('E1001', 'a group does not end', this.position);
      this.#fill(headBytes);
      kind = this.#reader.tag() & 7;
    }
  }

  #seek(position: number): void {
    if (position > this.#size) throw new Malformed('E1001', 'the file ends within a field', this.position);
    if (position - this.#start <= this.#reader.len) this.#reader.pos = position - this.#start;
    else this.#load(position, windowBytes);
  }

  /** Makes sure that the next `count` bytes, or all that are left, are in the window. */
  #fill(count: number): void {
    if (this.#reader.len - this.#reader.pos >= count || this.#start + this.#reader.len >= this.#size) return;
    this.#load(this.position, Math.max(count, windowBytes));
  }

  #load(position: number, count: number): void {
    this.#start = position;
    this.#reader = protobuf.Reader.create(this.#files.read(this.#path, position, Math.min(count, this.#size - position)));
  }
}

function list(into: Record<string, unknown>, name: string): unknown[] {
  return (into[name] ??= []) as unknown[];
}
