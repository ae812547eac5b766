import fc from 'fast-check';
import { firstOf, membersOf } from '../../../isa-spec/groups.ts';
import { type HostTable, hostTables, type Instruction, type InstructionOf, type Mnemonic, type StrideSet } from '../../../isa-spec/instructions.ts';
import { tiny2 } from '../../../isa-spec/machines/tiny.ts';
import { offerOf } from '../../../simulator/functional/collective.ts';
import { effects, type Execute } from '../../../simulator/functional/execute.ts';
import { type Chip, type Offer, type QueueState, windowOf } from '../../../simulator/functional/state.ts';
import { programOf, stateOf } from './harness.ts';

/* One instruction on two tiny chips, wherever its queue may be, with all it has to find. */

/** Every stride set of the queue. */
export const strideSet: StrideSet = { strides: [3, 0, 5, 1], ring: { stride: 2, depth: 3, base: 1, steps: [1, 2, 0, 0] } };
const lineBytes = tiny2.sram.lineBytes.value;
/** Of every table of the step. */
export const tableBytes = 40;
const nop: Instruction = { op: 'nop', waits: [], posts: [], fields: {} };

export const loopCounters = fc.tuple(fc.nat({ max: 2 }), fc.nat({ max: 2 }), fc.nat({ max: 2 }), fc.nat({ max: 2 }));

/** Chips whose SRAM is all zero, and a queue in the middle of loops. */
export const setting = (I: readonly number[], tokens: number): { readonly chips: readonly Chip[]; readonly queue: QueueState } => {
  const { chips } = stateOf(programOf([{}, {}], { machine: tiny2, regions: [{ base: 'kv', bytes: 2 ** 17 }, { base: 'io', bytes: 2 ** 17 }] }));
  for (const chip of chips) {
    chip.sram.views.u8.fill(0, chip.sram.at(0, chip.sram.bytes));
    chip.step = { entry: 0, counts: { tokens: 3, sequences: 1, samples: 2, memory: 0 }, tables: Object.fromEntries(hostTables.map((table) => [table, new Uint8Array(tableBytes)])) as Record<HostTable, Uint8Array> };
  }
  const R = new Float64Array(32).fill(tokens);
  R[0] = 2 ** 32 - 1;
  return { chips, queue: { name: 'vec', code: Array.from({ length: 64 }, () => nop), strideSets: [strideSet, strideSet], I: [...I] as [number, number, number, number], R, P: new Uint8Array(8), loops: [], calls: [], frame: 0, pc: 0, offer: undefined } };
};

export const run = (instruction: Instruction, chip: Chip, queue: QueueState): void => (effects[instruction.op] as Execute<Mnemonic>)(chip, queue, instruction.fields as never);

/** What all that a chip meets in a collective bring to it. */
export const offersTo = ({ rank }: Chip, chips: readonly Chip[], queue: QueueState, fields: InstructionOf<'coll'>['fields']): readonly Offer[] => {
  const members = membersOf(fields, chips.length);
  return chips.filter((other) => firstOf(other.rank, members) === firstOf(rank, members)).map((each) => offerOf(each, queue, fields, chips.length));
};

const words = (chip: Chip, line: number, values: readonly number[]): void => chip.sram.put(line * lineBytes, new Uint8Array(Int32Array.from(values).buffer));

const query = (fields: object): Instruction => ({ op: 'aq', waits: [], posts: [], fields: { format: 'bf16', q: { addr: 0, ss: 0 }, pitch: 0, worklist: 1000, heads: 2, headDim: 4, scale: 1, rows: { max: 1, reg: 0, level: 0 }, ...fields } }) as Instruction;
const workList = [0, 64, 64, 0, 0];

/** What an instruction has to find: lists of numbers that are rows, weights, queries. */
export const prepare = ({ op, fields }: Instruction, chip: Chip, queue: QueueState): void => {
  switch (op) {
    case 'aq':
      return words(chip, fields.worklist, workList);
    case 'attn':
      words(chip, 1000, workList);
      run(query({ format: fields.format, rows: { max: 5, reg: 0, level: 0 } }), chip, queue);
      return words(chip, fields.pages, Array.from({ length: 64 }, (_, i) => i % 3));
    case 'afin':
      words(chip, 1000, workList);
      return run(query({ rows: fields.rows, valueDim: 6 }), chip, queue);
    case 'mm': {
      const { format, weightFormat = format, scaling, kTiles, nTiles, split, kSplit = 0 } = fields;
      return run({ op: 'wld', waits: [], posts: [], fields: { format: weightFormat, src: { addr: 0, ss: 0 }, kTiles, nTiles, split, kSplit, ...(scaling === undefined ? {} : { scaling }) } }, chip, queue);
    }
    case 'ret':
      queue.calls.push({ at: 2, frame: 0, loops: 0 });
      queue.frame = 3;
      return;
    case 'dgat':
    case 'dsct':
      return words(chip, fields.index, Array.from({ length: 40 }, (_, i) => ((i * 3) % 7) - (fields.oob === 'skip' ? 2 : 0)));
    case 'perm': {
      const pairs = windowOf(queue, fields.rows).rows * fields.k;
      return words(chip, fields.indices, Array.from({ length: pairs }, (_, i) => pairs - 1 - i));
    }
    case 'bin': {
      const { rows } = windowOf(queue, fields.rows);
      words(chip, fields.indices, Array.from({ length: rows * fields.k }, (_, i) => (i % rows) * fields.k + Math.floor(i / rows)));
      return words(chip, fields.offsets, Array.from({ length: fields.experts + 1 }, (_, e) => Math.min(e, fields.k) * rows));
    }
    default:
  }
};
