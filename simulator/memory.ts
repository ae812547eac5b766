import { SimulationFault } from './fault.ts';

/** One buffer, seen as each element type. */
export type Views = { readonly u8: Uint8Array; readonly u16: Uint16Array; readonly u32: Uint32Array; readonly i32: Int32Array; readonly f32: Float32Array };

/** Zeroed memory of at least `bytes` bytes. */
export const viewsOf = (bytes: number): Views => {
  const buffer = new ArrayBuffer(Math.ceil(bytes / 4) * 4);
  return { u8: new Uint8Array(buffer), u16: new Uint16Array(buffer), u32: new Uint32Array(buffer), i32: new Int32Array(buffer), f32: new Float32Array(buffer) };
};

/** Told of every access to a memory before it is made: its first unit and how many; bytes, or accumulator rows. */
export type Witness = (access: 'read' | 'write', first: number, count: number) => void;

/** A memory whose accesses can be watched, and whose contents can be taken out and put back unwatched. */
export type Watched = {
  witness: Witness | undefined;
  readonly copy: (first: number, count: number) => Uint8Array;
  readonly put: (first: number, held: Uint8Array) => void;
};

/** What memory holds before anything is written: every element format reads it as NaN. */
const undefinedByte = 0xff;
const pageBytes = 1 << 16;

/** A chip's SRAM. Its pages are filled on first touch, so that one never used costs nothing. */
export class Sram implements Watched {
  witness: Witness | undefined = undefined;
  readonly views: Views;
  readonly bytes: number;
  readonly lineBytes: number;
  readonly #touched: Uint8Array;

  constructor(bytes: number, lineBytes: number) {
    this.views = viewsOf(bytes);
    this.bytes = bytes;
    this.lineBytes = lineBytes;
    this.#touched = new Uint8Array(Math.ceil(bytes / pageBytes));
  }

  /** The byte offset of line `line`, from which `length` bytes are about to be read. A fault if they are not all in the memory. */
  at(line: number, length: number): number {
    return this.range(line * this.lineBytes, length);
  }

  /** As `at`, from a byte offset. */
  range(offset: number, length: number): number {
    this.#touch(offset, length);
    this.witness?.('read', offset, length);
    return offset;
  }

  /** As `at`, of bytes about to be written. Every write must be announced so: what is awaited and what races is known from it alone. */
  writing(line: number, length: number): number {
    return this.writingRange(line * this.lineBytes, length);
  }

  /** As `writing`, from a byte offset. */
  writingRange(offset: number, length: number): number {
    this.#touch(offset, length);
    this.witness?.('write', offset, length);
    return offset;
  }

  copy(first: number, count: number): Uint8Array {
    this.#touch(first, count);
    return this.views.u8.slice(first, first + count);
  }

  put(first: number, held: Uint8Array): void {
    this.views.u8.set(held, first);
  }

  #touch(offset: number, length: number): void {
    if (!(offset >= 0 && offset + length <= this.bytes)) {
      throw new SimulationFault('bounds', `SRAM bytes ${offset} to ${offset + length} of ${this.bytes}`);
    }
    const last = Math.floor((offset + length - 1) / pageBytes);
    for (let page = Math.floor(offset / pageBytes); page <= last; page++) {
      if (this.#touched[page] === 1) continue;
      this.#touched[page] = 1;
      this.views.u8.fill(undefinedByte, page * pageBytes, (page + 1) * pageBytes);
    }
  }

  /** Forgets the contents. */
  reset(): void {
    this.#touched.fill(0);
  }
}

/** Reads bytes of an image that is not held in memory: a weight file, say. */
export type ByteSource = (offset: number, length: number) => Uint8Array;

/** What an HBM base register points to: `limit` bytes, allocated in pages when written; or a read-only image. */
export class HbmRegion implements Watched {
  witness: Witness | undefined = undefined;
  readonly name: string;
  readonly limit: number;
  readonly #source: ByteSource | undefined;
  readonly #pages = new Map<number, Uint8Array>();

  constructor(name: string, limit: number, source?: ByteSource) {
    this.name = name;
    this.limit = limit;
    this.#source = source;
  }

  #check(offset: number, length: number): void {
    if (!(offset >= 0 && offset + length <= this.limit)) {
      throw new SimulationFault('bounds', `HBM \`${this.name}\` bytes ${offset} to ${offset + length} of ${this.limit}`);
    }
  }

  /** Copies `length` bytes at `offset` to `into[at..]`. Never written bytes are 0xFF. */
  read(offset: number, length: number, into: Uint8Array, at: number): void {
    this.#check(offset, length);
    this.witness?.('read', offset, length);
    this.#read(offset, length, into, at);
  }

  /** Copies `from` to `offset`. */
  write(offset: number, from: Uint8Array): void {
    this.#check(offset, from.length);
    if (this.#source !== undefined) throw new SimulationFault('bounds', `HBM \`${this.name}\` is read-only`);
    this.witness?.('write', offset, from.length);
    this.put(offset, from);
  }

  copy(first: number, count: number): Uint8Array {
    this.#check(first, count);
    const bytes = new Uint8Array(count);
    this.#read(first, count, bytes, 0);
    return bytes;
  }

  #read(offset: number, length: number, into: Uint8Array, at: number): void {
    if (this.#source !== undefined) {
      into.set(this.#source(offset, length), at);
      return;
    }
    for (let done = 0; done < length; ) {
      const within = (offset + done) % pageBytes;
      const run = Math.min(length - done, pageBytes - within);
      const page = this.#pages.get((offset + done - within) / pageBytes);
      if (page === undefined) into.fill(undefinedByte, at + done, at + done + run);
      else into.set(page.subarray(within, within + run), at + done);
      done += run;
    }
  }

  put(offset: number, from: Uint8Array): void {
    for (let done = 0; done < from.length; ) {
      const within = (offset + done) % pageBytes;
      const run = Math.min(from.length - done, pageBytes - within);
      const number = (offset + done - within) / pageBytes;
      let page = this.#pages.get(number);
      if (page === undefined) this.#pages.set(number, (page = new Uint8Array(pageBytes).fill(undefinedByte)));
      page.set(from.subarray(done, done + run), within);
      done += run;
    }
  }
}
