import { still } from '../isa-spec/encoding.ts';
import { type AccOperand, formatBytes, type HbmOperand, type SramOperand } from '../isa-spec/fields.ts';
import { hbmBases, type StrideSet } from '../isa-spec/instructions.ts';
import type { Access, ListAccess } from './accesses.ts';
import type { CertifiedAccess, CertifiedBuffer, Touch } from './certificate.ts';
import type { Site } from './effects.ts';
import { type Shape, shapesOf } from './shapes.ts';

/** Where an operand points, as a function of the loops around its instruction: what other loops would do does not count. */
type Position = { readonly start: number; readonly strides: readonly number[]; readonly ring: { readonly stride: number; readonly depth: number; readonly base: number; readonly steps: readonly number[] } | undefined };

/** How the operands of an instruction differ from what the certificate says of them; empty if they do not. */
export function differences(site: Site, touches: readonly Touch[], buffers: readonly CertifiedBuffer[], strideSets: readonly StrideSet[]): readonly string[] {
  const { touched } = site;
  const shapes = shapesOf(site.instruction, site.sizes);
  return touches.flatMap(({ access, buffer: number }) => {
    const buffer = buffers[number]!;
    const operand = touched.find(({ name }) => name === access.field);
    if (operand === undefined) return [`does not touch \`${buffer.name}\` by \`${access.field}\``];
    const does = verbs[operand.does];
    return [
      ...(does === access.does ? [] : [`${does} \`${buffer.name}\`, not ${access.does}`]),
      ...placeDifferences(operand, site, access, buffer, strideSets),
      ...('list' in operand ? [] : [...pitchDifferences(operand, access, buffer), ...sizeDifferences(shapes[access.field] ?? {}, access, buffer, site.sizes.lineBytes)]),
    ];
  });
}

const verbs = { reads: 'uses', writes: 'defines', updates: 'updates' } as const;

function placeDifferences(touched: Access | ListAccess, site: Site, access: CertifiedAccess, buffer: CertifiedBuffer, strideSets: readonly StrideSet[]): readonly string[] {
  if ('list' in touched) {
    const at = buffer.at + ((access.column[0] ?? 0) * formatBytes[buffer.format]) / site.sizes.lineBytes;
    return touched.list === at ? [] : [`\`${touched.name}\` is the list at line ${touched.list}, its part of \`${buffer.name}\` is at ${at}`];
  }
  const { operand, name } = touched;
  const base = 'base' in operand ? hbmBases[operand.base] : 'none';
  if (touched.space !== buffer.space || base !== buffer.base) return [`\`${name}\` is in ${base === 'none' ? touched.space : base}, \`${buffer.name}\` in ${buffer.base === 'none' ? buffer.space : buffer.base}`];
  const levels = site.loops.map(({ level }) => level);
  const [is, should] = [positionOf(operand, strideSets, levels), certified(site, access, buffer, levels)];
  if (is.start === should.start && samePart(is.strides, should.strides) && sameRing(is.ring, should.ring)) return [];
  return [`\`${name}\` is at ${positionText(is)}, its part of \`${buffer.name}\` at ${positionText(should)}`];
}

const startOf = (operand: SramOperand | AccOperand | HbmOperand): number => ('off' in operand ? operand.off : operand.addr);

export function positionOf(operand: SramOperand | AccOperand | HbmOperand, strideSets: readonly StrideSet[], levels: readonly number[]): Position {
  const { strides, ring } = strideSets[operand.ss] ?? still;
  return positionIn(startOf(operand), strides, ring, levels);
}

/** A ring no loop turns is a place like any other. */
function positionIn(start: number, strides: readonly number[], { stride, depth, base, steps }: StrideSet['ring'], levels: readonly number[]): Position {
  const here = (level: number): boolean => levels.includes(level);
  const moving = strides.map((by, level) => (here(level) ? by : 0));
  const turning = steps.map((by, level) => (here(level) && depth > 0 ? by % depth : 0));
  if (depth === 0 || stride === 0 || turning.every((by) => by === 0)) return { start: start + (depth === 0 ? 0 : stride * (base % depth)), strides: moving, ring: undefined };
  return { start, strides: moving, ring: { stride, depth, base: base % depth, steps: turning } };
}

/** The place the certificate gives: rows `pitch` apart, elements of a row packed, slots `slot` apart. */
function certified(site: Site, { row, column, slot }: CertifiedAccess, buffer: CertifiedBuffer, levels: readonly number[]): Position {
  const perColumn = formatBytes[buffer.format] / site.sizes.lineBytes;
  const at = (l: number): number => (buffer.space === 'acc' ? 0 : (row[l] ?? 0) * buffer.pitch + (column[l] ?? 0) * perColumn);
  const modulo = (value: number): number => (buffer.depth === 0 ? 0 : ((value % buffer.depth) + buffer.depth) % buffer.depth);
  const ring = { stride: buffer.slot, depth: buffer.depth > 1 ? buffer.depth : 0, base: modulo(slot[0] ?? 0), steps: [1, 2, 3, 4].map((l) => modulo(slot[l] ?? 0)) as unknown as StrideSet['strides'] };
  return positionIn(buffer.at + at(0), [at(1), at(2), at(3), at(4)], ring, levels);
}

const samePart = (a: readonly number[], b: readonly number[]): boolean => a.every((value, i) => value === b[i]);
const sameRing = (a: Position['ring'], b: Position['ring']): boolean =>
  a === undefined || b === undefined ? a === b : a.stride === b.stride && a.depth === b.depth && a.base === b.base && samePart(a.steps, b.steps);

const positionText = ({ start, strides, ring }: Position): string => {
  const moves = strides.flatMap((by, level) => (by === 0 ? [] : [` + ${by}*I${level}`])).join('');
  if (ring === undefined) return `${start}${moves}`;
  const turn = [...(ring.base === 0 ? [] : [`${ring.base}`]), ...ring.steps.flatMap((by, level) => (by === 0 ? [] : [`${by}*I${level}`]))].join(' + ');
  return `${start}${moves} + ${ring.stride}*((${turn}) mod ${ring.depth})`;
};

function pitchDifferences(touched: Access, access: CertifiedAccess, { pitch, name, space }: CertifiedBuffer): readonly string[] {
  if (space === 'acc' || (touched.rows === 'window' ? access.rows : touched.rows) <= 1 || touched.pitch === pitch) return [];
  return [`\`${touched.name}\` has rows ${touched.pitch} lines apart, \`${name}\` has them ${pitch} apart`];
}

function sizeDifferences(shape: Shape, access: CertifiedAccess, buffer: CertifiedBuffer, lineBytes: number): readonly string[] {
  const bytes = access.columns * formatBytes[buffer.format];
  const wrong = (what: string, is: number | undefined, should: number): readonly string[] => (is === undefined || is === should ? [] : [`takes ${is} ${what} of \`${buffer.name}\`, not ${should}`]);
  return [
    ...wrong('elements a row', shape.columns, access.columns),
    ...wrong('elements', shape.elements, access.rows * access.columns),
    ...wrong('bytes a row', shape.bytes, bytes),
    ...wrong('lines a row', shape.lines, Math.ceil(bytes / lineBytes)),
    ...wrong('rows', shape.rows, access.rows),
    ...(shape.apart === undefined || shape.apart === buffer.pitch ? [] : [`picks rows ${shape.apart} lines apart of \`${buffer.name}\`, they are ${buffer.pitch} apart`]),
  ];
}
