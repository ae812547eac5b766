import fc from 'fast-check';
import { expect, it } from 'vitest';
import { costs } from '../../../isa-spec/costs.ts';
import { cyclesOf } from '../../../isa-spec/declared.ts';
import type { Names } from '../../../isa-spec/formula.ts';
import { hostTables, type Instruction, instructions, type InstructionOf, type Mnemonic, mnemonics } from '../../../isa-spec/instructions.ts';
import type { Machine } from '../../../isa-spec/machine.ts';
import { sohu8 } from '../../../isa-spec/machines/sohu.ts';
import { tiny2 } from '../../../isa-spec/machines/tiny.ts';
import { registerMax } from '../../../isa-spec/scalars.ts';
import type { WorkEntry } from '../../../isa-spec/step-block.ts';
import { ratesOf } from '../../../simulator/timing/rates.ts';
import { costOf } from '../../../simulator/timing/stream.ts';
import { anyInstruction } from '../../isa-spec/arbitrary.ts';
import { smallAny } from '../../isa-spec/small.ts';
import { codeOf, done, make, rows, stepOf, time } from './build.ts';

/** Instructions that lead on and take no unit's time. */
const leads: readonly Mnemonic[] = ['loop', 'call', 'ret'];
const tokens = 100;
const tableBytes = 4 * tokens;

type Fields<M extends Mnemonic> = InstructionOf<M>['fields'];

/** Sequences with rows in the window, their blocks and tiles: counted key by key. */
const seenBy = (query: Fields<'aq'>, { mask, window, splitBlocks = 0, firstPart = 0, parts = Infinity }: Fields<'attn'>, work: readonly WorkEntry[], { side, count }: { readonly side: number; readonly count: number }): readonly Names[] => {
  const sees = (position: number, key: number): boolean => mask === 'full' || (key <= position && (window === 0 || key > position - window));
  return work.map((entry) => {
    const positions = Array.from({ length: entry.rows }, (_, r) => r).filter((r) => entry.firstRow + r < count).map((r) => entry.firstPosition + r);
    const attended = (block: number): boolean => splitBlocks === 0 || (block >= firstPart * splitBlocks && block < (firstPart + parts) * splitBlocks);
    const numbers = Array.from({ length: Math.ceil(entry.keys / 128) }, (_, block) => block).filter(attended);
    const blocks = numbers.map((block) => {
      const from = 128 * block;
      const keys = Math.min(128, entry.keys - from);
      return { keys, opens: splitBlocks > 0 && block % splitBlocks === 0, seeing: positions.filter((position) => Array.from({ length: keys }, (_, i) => from + i).some((key) => sees(position, key))).length };
    }).filter(({ seeing }) => seeing > 0);
    const cut = (whole: number): readonly number[] => Array.from({ length: Math.ceil(whole / side) }, (_, i) => Math.min(side, whole - i * side));
    return { blocks, tiles: blocks.flatMap(({ keys, seeing }) => [query.headDim, query.valueDim!].flatMap((elements) => cut(keys).flatMap((some) => cut(elements).map((width) => ({ seeing, keys: some, width }))))) };
  });
};

const work: readonly WorkEntry[] = [
  { firstRow: 0, rows: 3, keys: 700, firstPosition: 697, firstPage: 0 },
  { firstRow: 3, rows: 40, keys: 140, firstPosition: 100, firstPage: 9 },
  { firstRow: 43, rows: 1, keys: 1, firstPosition: 0, firstPage: 12 },
];

/** Its closed form, in cycles: of the instruction alone, or after those it needs. */
const declared = (instruction: Instruction, machine: Machine, queries: Fields<'aq'>): number => {
  const { op, fields } = instruction;
  const window = op === 'afin' ? queries.rows : 'rows' in fields ? fields.rows : undefined;
  const count = window === undefined || window.reg !== 0 ? 0 : window.max;
  const seen = op === 'attn' ? seenBy(queries, fields, work, { side: machine.attention.size.value, count: queries.rows.max }) : [];
  const sequences = seen.filter(({ blocks }) => (blocks as readonly Names[]).length > 0);
  const more = { length: tableBytes, sequences, 'aq.heads': queries.heads, 'aq.headDim': queries.headDim, 'aq.valueDim': queries.valueDim! };
  const { cycles, latency } = cyclesOf(instruction, { machine, chips: machine.chips, first: 0, count, more });
  return cycles + latency;
};

/** What the event simulator takes for it. */
const simulated = (instruction: Instruction, machine: Machine, queries: Fields<'aq'>): number => {
  const { op, fields } = instruction;
  const query = make('aq', queries);
  const before = op === 'attn' || op === 'afin' ? [query] : [];
  const format = op === 'mm' ? (fields.weightFormat ?? fields.format) : undefined;
  const weights = op === 'mm' && format !== undefined ? { wld: [make('wld', { format, kTiles: fields.kTiles, nTiles: fields.nTiles, split: fields.split, kSplit: fields.kSplit ?? 0 })] } : {};
  const code = codeOf({ ...weights, [instructions[op].queues[0]!]: [...before, instruction] });
  const step = { ...stepOf(0, work), tableBytes: hostTables.map(() => tableBytes) };
  const { cycles } = done(time(machine, code, step, machine.chips));
  const load = format === undefined ? 0 : Math.ceil(machine.arrays.size.value * (format === 'bf16' ? 1 / machine.arrays.bf16Rate.value : 1));
  return cycles - load - (before.length === 0 ? 0 : costOf(query, queries.rows.max, ratesOf(machine, machine.chips)).cycles);
};

/** As it can run alone: with all rows or, where the step's tokens shorten it, with none; no other tokens; no more weights than the FIFO takes; windows of keys with the causal mask, parts of keys that are split; registers in the range they declare. */
const alone = ({ op, fields }: Instruction, machine: Machine): Instruction => {
  if (op === 'sync') return make('sync');
  if (op === 'salu') return make('salu', { ...fields, function: 'minimum', least: 0, most: registerMax });
  if (op === 'wld') return make('wld', { ...fields, kTiles: 1 + (fields.kTiles % machine.weightFifoTiles.value) });
  if (op === 'attn') {
    const { firstPart, parts, ...others } = fields;
    const named = fields.splitBlocks === undefined ? {} : { ...(firstPart === undefined ? {} : { firstPart: firstPart % 3 }), ...(parts === undefined ? {} : { parts }) };
    return make('attn', { ...others, ...named, window: fields.mask === 'causal' ? fields.window : 0 });
  }
  return make(op, 'rows' in fields ? { ...fields, rows: { max: Math.max(1, fields.rows.max), reg: fields.rows.reg % 2, level: 0 } } : fields);
};

const anyOf = (op: Mnemonic): fc.Arbitrary<Instruction> => anyInstruction.filter(({ instruction }) => instruction.op === op).map(({ instruction }) => instruction);

const queries = { ...(make('aq') as Extract<Instruction, { op: 'aq' }>).fields, heads: 8, headDim: 20, valueDim: 12, rows: rows(43) };

it.each(mnemonics.filter((op) => !leads.includes(op)).map((op) => [op]))('%s alone takes the closed form of the manual', (op) => {
  for (const [machine, one] of [[tiny2, smallAny(op)], [sohu8, anyOf(op)]] as const) {
    fc.assert(fc.property(one.map((drawn) => alone(drawn, machine)), (instruction) => {
      expect(simulated(instruction, machine, queries)).toBe(declared(instruction, machine, queries));
    }), { numRuns: 40 });
  }
});

it('what leads on takes no time', () => {
  for (const op of leads) expect({ ...costs[op], ...costOf(make(op), 0, ratesOf(tiny2, 2)) }).toMatchObject({ cycles: 0, latency: 0 });
  for (const op of leads) expect(costs[op]).toEqual({ cycles: '0', latency: '0' });
});
