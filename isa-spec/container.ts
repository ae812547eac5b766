import { strideSetsMax } from './fields.ts';
import { crc32c } from './crc32c.ts';
import { decodeStrideSet, encodeStrideSet, still, strideSetBytes } from './encoding.ts';
import { anything, canonicalJson, type Check, type Json, object } from './json.ts';
import { type Queue, queues, type StrideSet, wordBytes } from './instructions.ts';
import { parseMachine } from './machine-json.ts';
import { type ChipCode, debugMapCheck, entriesCheck, ioMapCheck, type Program, type QueueCode, regionsCheck, semaphoresCheck } from './program.ts';

/** Bytes that are no program. `offset`: the byte that shows it. */
export class ProgramError extends Error {
  readonly offset: number;
  constructor(offset: number, reason: string) {
    super(`program, byte ${offset}: ${reason}`);
    this.name = 'ProgramError';
    this.offset = offset;
  }
}

/*
 * Little-endian. Header, 64 bytes: magic 'SOHU', u16 format version, u16 ISA version, u32 sections, u32 chips, u32 entries,
 * u32 zero, u64 bytes of the file, zeros, u32 CRC-32C of the header up to here and the section table at byte 60.
 * Section table, 64 bytes each: u32 kind, u32 entry, u16 chip, u16 queue, u32 CRC-32C of the section, u64 offset, u64 size, zeros.
 * Sections: the JSON kinds, then for every entry, chip and queue its code and its stride sets. Each starts on a multiple of
 * 64, gaps are zero; a section equal to an earlier one is that one, an empty one is at 0.
 */
const magic = 0x55484f53; // 'SOHU'
const containerVersion = 1;
const isaVersion = 1;
const headerBytes = 64;
const entryBytes = 64;
const alignment = 64;

/** Sections that are canonical JSON, each a member of Program. */
export const jsonKinds = ['meta', 'machine', 'regions', 'entries', 'weightMap', 'ioMap', 'debugMap', 'life', 'semaphores'] as const;
export type JsonKind = (typeof jsonKinds)[number];
const kinds = [...jsonKinds, 'code', 'strides'] as const;
type Section = { readonly kind: (typeof kinds)[number]; readonly entry: number; readonly chip: number; readonly queue: number; readonly bytes: Uint8Array };

const align = (at: number): number => Math.ceil(at / alignment) * alignment;

const stridesOf = (sets: readonly StrideSet[]): Uint8Array => {
  if (sets.length > strideSetsMax + 1 || sets.length === 1 || (sets.length > 0 && canonicalJson(sets[0] as unknown as Json) !== canonicalJson(still as unknown as Json))) {
    throw new RangeError(`internal: stride sets of a queue are none, or \`still\` and up to ${strideSetsMax} others`);
  }
  const bytes = new Uint8Array(Math.max(0, sets.length - 1) * strideSetBytes);
  sets.slice(1).forEach((set, i) => bytes.set(encodeStrideSet(set), i * strideSetBytes));
  return bytes;
};

const sectionsOf = (program: Program): readonly Section[] => {
  const utf8 = new TextEncoder();
  const json = jsonKinds.map((kind): Section => ({ kind, entry: 0, chip: 0, queue: 0, bytes: utf8.encode(canonicalJson(program[kind] as unknown as Json)) }));
  const code = program.code.flatMap((chips, entry) =>
    chips.flatMap((chip, rank) =>
      queues.flatMap((name, queue): Section[] => [
        { kind: 'code', entry, chip: rank, queue, bytes: chip[name].words },
        { kind: 'strides', entry, chip: rank, queue, bytes: stridesOf(chip[name].strideSets) },
      ]),
    ),
  );
  return [...json, ...code];
};

/** Offsets of sections, their checksums, and the size of the whole: each distinct content once, in order of first use. */
const place = (sections: readonly Section[]): { readonly offsets: readonly number[]; readonly sums: readonly number[]; readonly size: number } => {
  let end = headerBytes + entryBytes * sections.length;
  const known = new Map<string, { readonly bytes: Uint8Array; readonly offset: number }[]>();
  const sums = sections.map(({ bytes }) => crc32c(bytes));
  const offsets = sections.map(({ bytes }, i) => {
    if (bytes.length === 0) return 0;
    const key = `${bytes.length} ${sums[i]}`;
    const alike = known.get(key) ?? [];
    const same = alike.find((other) => other.bytes.every((byte, at) => byte === bytes[at]));
    if (same !== undefined) return same.offset;
    const offset = align(end);
    known.set(key, [...alike, { bytes, offset }]);
    end = offset + bytes.length;
    return offset;
  });
  return { offsets, sums, size: end };
};

/** A program as a container. Equal programs give equal bytes. Throws a RangeError or TypeError for a Program no container can hold: a compiler's fault. */
export const writeContainer = (program: Program): Uint8Array => {
  if (program.code.length !== program.entries.length || program.code.some((chips) => chips.length !== program.chips)) throw new RangeError('internal: code is not that of every entry and chip');
  const stray = program.entries.find(({ chips }, entry) => program.code[entry]!.some((code, chip) => !chips.includes(chip) && queues.some((queue) => code[queue].words.length > 0)));
  if (stray !== undefined) throw new RangeError(`entry \`${stray.name}\` has code of chips that do not run it`);
  const sections = sectionsOf(program);
  const { offsets, sums, size } = place(sections);
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, magic, true);
  view.setUint16(4, containerVersion, true);
  view.setUint16(6, isaVersion, true);
  view.setUint32(8, sections.length, true);
  view.setUint32(12, program.chips, true);
  view.setUint32(16, program.entries.length, true);
  view.setBigUint64(24, BigInt(size), true);
  sections.forEach((section, i) => {
    const at = headerBytes + entryBytes * i;
    view.setUint32(at, kinds.indexOf(section.kind), true);
    view.setUint32(at + 4, section.entry, true);
    view.setUint16(at + 8, section.chip, true);
    view.setUint16(at + 10, section.queue, true);
    view.setUint32(at + 12, sums[i]!, true);
    view.setBigUint64(at + 16, BigInt(offsets[i]!), true);
    view.setBigUint64(at + 24, BigInt(section.bytes.length), true);
    bytes.set(section.bytes, offsets[i]!);
  });
  view.setUint32(60, headerCrc(bytes, sections.length), true);
  return bytes;
};

/** CRC of the header with its CRC field taken as zero, and of the section table. */
const headerCrc = (bytes: Uint8Array, sections: number): number => {
  // A copy whatever the bytes are: `slice` of a Node buffer would be a view of them.
  const head = Uint8Array.from(bytes.subarray(0, headerBytes + entryBytes * sections));
  head.fill(0, 60, 64);
  return crc32c(head);
};

type Header = { readonly sections: number; readonly chips: number; readonly entries: number };

const readHeader = (bytes: Uint8Array, view: DataView): Header => {
  const refuse = (offset: number, reason: string): never => {
    throw new ProgramError(offset, reason);
  };
  if (bytes.length < headerBytes) refuse(bytes.length, `ends within its header of ${headerBytes} bytes`);
  if (view.getUint32(0, true) !== magic) refuse(0, 'does not start with SOHU');
  if (view.getUint16(4, true) !== containerVersion) refuse(4, `has format version ${view.getUint16(4, true)}, this is version ${containerVersion}`);
  if (view.getUint16(6, true) !== isaVersion) refuse(6, `is for ISA version ${view.getUint16(6, true)}, this is version ${isaVersion}`);
  if (view.getBigUint64(24, true) !== BigInt(bytes.length)) refuse(24, `says it has ${view.getBigUint64(24, true)} bytes, has ${bytes.length}`);
  const header = { sections: view.getUint32(8, true), chips: view.getUint32(12, true), entries: view.getUint32(16, true) };
  if (headerBytes + entryBytes * header.sections > bytes.length) refuse(8, `ends within its table of ${header.sections} sections`);
  const expected = jsonKinds.length + header.entries * header.chips * queues.length * 2;
  if (header.sections !== expected) refuse(8, `has ${header.sections} sections; ${header.entries} entries on ${header.chips} chips take ${expected}`);
  if (view.getUint32(60, true) !== headerCrc(bytes, header.sections)) refuse(60, 'the header or section table does not match its checksum');
  return header;
};

const readSection = (bytes: Uint8Array, view: DataView, index: number): Section & { readonly offset: number } => {
  const at = headerBytes + entryBytes * index;
  const kind = kinds[view.getUint32(at, true)];
  const offset = Number(view.getBigUint64(at + 16, true));
  const size = Number(view.getBigUint64(at + 24, true));
  if (kind === undefined) throw new ProgramError(at, `section ${index} has unknown kind ${view.getUint32(at, true)}`);
  if (offset + size > bytes.length) throw new ProgramError(at + 16, `section ${index} (${kind}) ends at byte ${offset + size} of ${bytes.length}`);
  const content = bytes.subarray(offset, offset + size);
  if (crc32c(content) !== view.getUint32(at + 12, true)) throw new ProgramError(offset, `section ${index} (${kind}) does not match its checksum`);
  return { kind, entry: view.getUint32(at + 4, true), chip: view.getUint16(at + 8, true), queue: view.getUint16(at + 10, true), bytes: content, offset };
};

const parseJson = (section: Section & { readonly offset: number }): unknown => {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(section.bytes);
    const value = JSON.parse(text) as Json;
    if (canonicalJson(value) !== text) throw new ProgramError(section.offset, `\`${section.kind}\` is not in canonical form`);
    return value;
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError || error instanceof RangeError) throw new ProgramError(section.offset, `\`${section.kind}\` is not JSON: ${error.message}`);
    throw error;
  }
};

const codeOf = (code: Section & { readonly offset: number }, strides: Section & { readonly offset: number }): QueueCode => {
  if (code.bytes.length % wordBytes !== 0) throw new ProgramError(code.offset, `code of ${code.bytes.length} bytes is not whole words`);
  if (strides.bytes.length % strideSetBytes !== 0 || strides.bytes.length > strideSetsMax * strideSetBytes) throw new ProgramError(strides.offset, `stride sets of ${strides.bytes.length} bytes are not up to ${strideSetsMax} whole ones`);
  const sets = Array.from({ length: strides.bytes.length / strideSetBytes }, (_, i) => decodeStrideSet(strides.bytes, i * strideSetBytes));
  return { words: code.bytes.slice(), strideSets: sets.length === 0 ? [] : [still, ...sets] };
};

const machineCheck: Check<Program['machine']> = (value, at, problems) => {
  const read = parseMachine(value);
  if ('machine' in read) return read.machine;
  problems.push(...read.problems.map((problem) => `${at}: ${problem}`));
  return undefined as never;
};

const checks: { readonly [K in JsonKind]: Check<Program[K]> } = {
  meta: object, machine: machineCheck, regions: regionsCheck, entries: entriesCheck, weightMap: anything, ioMap: ioMapCheck, debugMap: debugMapCheck, life: anything,
  semaphores: semaphoresCheck,
};

/** A JSON section's value as the member of Program it is; what keeps it from being one is added to `problems`. */
export const checkSection = <K extends JsonKind>(kind: K, value: unknown, problems: string[]): Program[K] => checks[kind](value, kind, problems);

/**
 * The program of a container. `writeContainer(readContainer(b)) = b`: bytes that would not come back the same are a
 * ProgramError, as are truncated and corrupted ones. Words are not decoded here (`decode` does, and judges them).
 */
export const readContainer = (bytes: Uint8Array): Program => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const header = readHeader(bytes, view);
  const sections = Array.from({ length: header.sections }, (_, i) => readSection(bytes, view, i));
  const read = <K extends JsonKind>(kind: K): Program[K] => {
    const section = sections[jsonKinds.indexOf(kind)]!;
    const problems: string[] = [];
    const value = checkSection(kind, parseJson(section), problems);
    if (problems.length > 0) throw new ProgramError(section.offset, problems.join('; '));
    return value;
  };
  // Sections are shared, so chips and entries with equal code share it here too: what is done once for it is done for all.
  const known = new Map<string, QueueCode>();
  const queueCode = (entry: number, chip: number, queue: number): QueueCode => {
    const first = jsonKinds.length + 2 * ((entry * header.chips + chip) * queues.length + queue);
    const [code, strides] = [sections[first]!, sections[first + 1]!];
    const key = [code, strides].map(({ offset, bytes: { length } }) => `${offset} ${length}`).join(' ');
    const same = known.get(key) ?? codeOf(code, strides);
    known.set(key, same);
    return same;
  };
  const chipCode = (entry: number, chip: number): ChipCode => Object.fromEntries(queues.map((name, queue) => [name, queueCode(entry, chip, queue)])) as Record<Queue, QueueCode>;
  const program: Program = {
    meta: read('meta'), machine: read('machine'), chips: header.chips, regions: read('regions'), entries: read('entries'),
    code: Array.from({ length: header.entries }, (_, entry) => Array.from({ length: header.chips }, (__, chip) => chipCode(entry, chip))),
    weightMap: read('weightMap'), ioMap: read('ioMap'), debugMap: read('debugMap'), life: read('life'), semaphores: read('semaphores'),
  };
  if (program.entries.length !== header.entries) throw new ProgramError(16, `has code of ${header.entries} entries and names ${program.entries.length}`);
  refuseOtherForms(bytes, program);
  return program;
};

/** One program, one container: whatever differs from how it is written is an error, be it a space in JSON or a bit in a gap. */
const refuseOtherForms = (bytes: Uint8Array, program: Program): void => {
  const written = rewritten(program);
  const length = Math.max(bytes.length, written.length);
  for (let at = 0; at < length; at++) if (bytes[at] !== written[at]) throw new ProgramError(at, 'is not in canonical form');
};

const rewritten = (program: Program): Uint8Array => {
  try {
    return writeContainer(program);
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) throw new ProgramError(headerBytes, error.message);
    throw error;
  }
};
