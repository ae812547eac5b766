import { decodeAll, still } from '../../isa-spec/encoding.ts';
import { type HbmBase, type HostTable, hostTables, queues } from '../../isa-spec/instructions.ts';
import type { ChipCode, Program } from '../../isa-spec/program.ts';
import { type ByteSource, HbmRegion, Sram } from '../memory.ts';
import { simdEngine } from '../wasm/engine.ts';
import { Accumulators } from './accumulators.ts';
import { type PreparedQueue, prepare } from './queue.ts';
import type { Chip, Geometry, StepData } from './state.ts';

/** All chips of a program, their memories kept from step to step. */
export type MachineState = {
  readonly program: Program;
  readonly chips: readonly Chip[];
  /** The decoded code of an entry, by chip; decoded when first run. */
  readonly codeOf: (entry: number) => readonly (readonly PreparedQueue[])[];
};

/** An image held in memory, as a source. */
export const imageSource = (image: Uint8Array): ByteSource => (offset, length) => image.subarray(offset, offset + length);

const noStep: StepData = {
  entry: 0,
  counts: { tokens: 0, sequences: 0, samples: 0, memory: 0 },
  tables: Object.fromEntries(hostTables.map((table) => [table, new Uint8Array(0)])) as Record<HostTable, Uint8Array>,
};

const geometryOf = ({ machine }: Program): Geometry => {
  const geometry = { size: machine.arrays.size.value, arrays: machine.arrays.count.value, accumulatorRows: machine.accumulatorRows.value, lineBytes: machine.sram.lineBytes.value };
  if (geometry.size % 4 !== 0 || geometry.lineBytes % 4 !== 0) throw new RangeError('arrays and lines have a multiple of 4 rows and bytes');
  return geometry;
};

/** Which inner loops compute products and attention: both give the same bits. `simd`: where WebAssembly SIMD is missing, plain. */
export type Kernels = 'plain' | 'simd';

const chipOf = (program: Program, rank: number, weights: ByteSource, kernels: Kernels): Chip => {
  const geometry = geometryOf(program);
  const hbm: Partial<Record<HbmBase, HbmRegion>> = {};
  for (const { base, bytes } of program.regions) hbm[base] = new HbmRegion(base, bytes, base === 'weights' ? weights : undefined);
  return {
    rank, geometry, hbm,
    sram: new Sram(program.machine.sram.bytes.value, geometry.lineBytes),
    accumulators: new Accumulators(geometry),
    simd: kernels === 'simd' ? simdEngine() : undefined,
    weightFifo: [], spareWeights: [], semaphores: new Uint8Array(256), events: [], attention: undefined, step: noStep, gathered: [],
  };
};

/**
 * The machine with the program loaded: HBM regions with the program's limits, everything but the weights undefined. `weights[chip]` reads a
 * chip's weight region.
 */
export const createMachineState = (program: Program, weights: readonly ByteSource[], kernels: Kernels = 'simd'): MachineState => {
  const chips = Array.from({ length: program.chips }, (_, rank) => {
    const source = weights[rank];
    if (source === undefined) throw new RangeError(`no weights for chip ${rank}`);
    return chipOf(program, rank, source, kernels);
  });
  const decoded = new Map<number, readonly (readonly PreparedQueue[])[]>();
  const decode = (code: ChipCode): readonly PreparedQueue[] =>
    queues.map((name) => ({ name, code: decodeAll(code[name].words, name).map(prepare), strideSets: code[name].strideSets.map((set, i) => (i === 0 ? still : set)) }));
  const codeOf = (entry: number): readonly (readonly PreparedQueue[])[] => {
    const chipsCode = program.code[entry];
    if (chipsCode === undefined) throw new RangeError(`the program has ${program.code.length} entries, entry ${entry} is asked for`);
    const known = decoded.get(entry) ?? chipsCode.map(decode);
    decoded.set(entry, known);
    return known;
  };
  return { program, chips, codeOf };
};

/** Writes bytes to a chip's HBM, as the host does before a step. */
export const writeHbm = (state: MachineState, chip: number, base: HbmBase, offset: number, bytes: Uint8Array): void => {
  const region = state.chips[chip]?.hbm[base];
  if (region === undefined) throw new RangeError(`chip ${chip} has no region \`${base}\``);
  region.write(offset, bytes);
};

/** Bytes of a chip's HBM, as the host reads them. */
export const readHbm = (state: MachineState, chip: number, base: HbmBase, offset: number, length: number): Uint8Array => {
  const region = state.chips[chip]?.hbm[base];
  if (region === undefined) throw new RangeError(`chip ${chip} has no region \`${base}\``);
  const bytes = new Uint8Array(length);
  region.read(offset, length, bytes, 0);
  return bytes;
};
