import type { Instruction } from '../../isa-spec/instructions.ts';
import type { Certificate } from '../certificate.ts';
import { type ChipView, type Finding, nameOf } from '../chip.ts';
import type { Effects, Site } from '../effects.ts';
import { copies, shapesOf } from '../shapes.ts';
import type { Values } from '../values.ts';
import { placeOfOp } from './def-use.ts';

/**
 * V14. Every instruction reads and writes a buffer in the buffer's format, so its producers and consumers agree; what is copied
 * keeps its format. A product of quantised rows is scaled by the scales of that very quantisation, found or given, others not at all; blocks likewise, in the product,
 * whose rows are then scaled by nothing but ones.
 */
export function formats(chip: ChipView, effects: Effects, certificate: Certificate, values: Values): readonly Finding[] {
  const siteOf = (op: number): Site => effects[chip.queues.findIndex(({ queue }) => queue === certificate.ops[op]!.queue)]![certificate.ops[op]!.pc]!;
  const name = (op: number): string => nameOf(chip, certificate.ops[op]!.queue, certificate.ops[op]!.pc);
  const finding = (op: number, problem: string, notes: readonly string[]): Finding => ({ rule: 'V14', place: placeOfOp(chip, certificate, op), message: `${name(op)} ${problem}`, notes });

  const named = certificate.ops.flatMap((_, op): readonly Finding[] => {
    const { instruction, sizes } = siteOf(op);
    const shapes = shapesOf(instruction, sizes);
    const touched = certificate.touches[op]!.map(({ buffer, access }) => ({ buffer: certificate.buffers[buffer]!, field: access.field, others: certificate.buffers[buffer]!.accesses }));
    const wrong = touched.flatMap(({ buffer, field, others }): readonly Finding[] => {
      const format = shapes[field]?.format;
      if (format === undefined || format === buffer.format) return [];
      const makers = others.filter((other) => other.does !== 'uses' && other.op !== op).map((other) => name(other.op));
      return [finding(op, `takes \`${buffer.name}\` for ${format}, it is ${buffer.format}`, makers.length === 0 ? [] : [`written by ${makers.join(', ')}`])];
    });
    const from = touched.find(({ field }) => field === copies[instruction.op]);
    if (from === undefined) return wrong;
    const changed = touched.filter(({ field, buffer }) => (field === 'dst' || field === 'out') && buffer.format !== from.buffer.format);
    return [...wrong, ...changed.map(({ buffer }) => finding(op, `copies \`${from.buffer.name}\`, ${from.buffer.format}, to \`${buffer.name}\`, ${buffer.format}`, []))];
  });

  const scaled = [...values.drains.values()].flatMap(({ op, operand, scales }): readonly Finding[] => {
    const quantised = siteOf(operand).instruction.op === 'vqnt';
    if (scales !== undefined && siteOf(operand).instruction.op === 'vqblk') {
      return isOnes(siteOf(scales).instruction) ? [] : [finding(op, `scales by what ${name(scales)} found`, [`blocks of the rows of the product were quantised by ${name(operand)}, and are scaled there: what is left are ones`])];
    }
    if (scales === undefined) return quantised ? [finding(op, 'leaves out the scales of its product', [`the rows were quantised by ${name(operand)}`])] : [];
    if (scales === (values.given.get(operand) ?? operand)) return [];
    return [finding(op, `scales by what ${name(scales)} found`, [quantised ? `the rows of the product were quantised by ${name(operand)}` : `the rows of the product are not quantised: ${name(operand)} made them`])];
  });
  const blocks = [...values.products.values()].flatMap(({ op, operand, scales }): readonly Finding[] => {
    const quantised = siteOf(operand).instruction.op === 'vqblk';
    if (scales === undefined) return quantised ? [finding(op, 'leaves out the scales of its operand\'s blocks', [`they were quantised by ${name(operand)}`])] : [];
    return quantised && isBeside(certificate, operand, scales) ? [] : [finding(op, `scales blocks by what ${name(scales)} found`, [`its operand is what ${name(operand)} made`])];
  });
  return [...named, ...scaled, ...blocks];
}

/** Whether two ops that quantise do so into the same buffers: a row's pieces, one beside the other. */
function isBeside({ touches }: Certificate, a: number, b: number): boolean {
  const into = (op: number): string => touches[op]!.filter(({ access: { field } }) => field === 'out' || field === 'scales').map(({ buffer, access: { field } }) => `${field} ${buffer}`).join();
  return a === b || into(a) === into(b);
}

/** 1 as FP32. */
const oneBits = 0x3f800000;
const isOnes = ({ op, fields }: Instruction): boolean => op === 'dcp' && fields.fill && fields.value === oneBits;
