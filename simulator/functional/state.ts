import type { HbmOperand, RowWindow, SramOperand } from '../../isa-spec/fields.ts';
import { move, still } from '../../isa-spec/encoding.ts';
import { type BlockScaling, hbmBases, type HbmBase, type HostTable, type Instruction, type Queue, type StepCount, type StrideSet } from '../../isa-spec/instructions.ts';
import type { MatrixFormat } from '../../isa-spec/profiles.ts';
import { SimulationFault } from '../fault.ts';
import type { HbmRegion, Sram, Views } from '../memory.ts';
import type { Engine } from '../wasm/engine.ts';
import type { Accumulators } from './accumulators.ts';
import type { AttentionRows } from './attention.ts';

/** What a step brings a chip: its counts, and its tables as bytes. */
export type StepData = { readonly entry: number; readonly counts: Readonly<Record<StepCount, number>>; readonly tables: Readonly<Record<HostTable, Uint8Array>> };

/** Weight tiles as one `wld` pushed them: `size` rows of `size` elements each, a row taking `rowBytes`, k-tiles outermost. */
export type WeightEntry = {
  readonly format: MatrixFormat;
  readonly kTiles: number;
  readonly nTiles: number;
  /** How arrays share rows and k. */
  readonly gang: string;
  readonly size: number;
  readonly rowBytes: number;
  readonly memory: Views;
  readonly scales: WeightScales | undefined;
};
/** Scales of an entry's blocks: `pitch` numbers for each block of k, ascending. */
export type WeightScales = { readonly scaling: BlockScaling; readonly pitch: number; readonly values: Float64Array };

/** What a chip brings to a collective: its rows, packed, how many chips meet, and what is to be done, which all must agree on. */
export type Offer = { readonly what: string; readonly members: number; readonly tag: number; readonly rows: number; readonly rowBytes: number; readonly bytes: Uint8Array };

/** The sizes of a chip the semantics depend on. */
export type Geometry = { readonly size: number; readonly arrays: number; readonly accumulatorRows: number; readonly lineBytes: number };

export type Chip = {
  readonly rank: number;
  readonly geometry: Geometry;
  readonly sram: Sram;
  readonly hbm: Readonly<Partial<Record<HbmBase, HbmRegion>>>;
  readonly accumulators: Accumulators;
  /** The SIMD kernels; none: the plain loops, which are the reference. */
  readonly simd: Engine | undefined;
  readonly weightFifo: WeightEntry[];
  /** Memory of entries that have left it, which the next take. */
  readonly spareWeights: Views[];
  readonly semaphores: Uint8Array;
  readonly events: number[];
  attention: AttentionRows | undefined;
  step: StepData;
  /** The offers of all chips that meet, in rank order, while a collective completes. */
  gathered: readonly Offer[];
};

/** A loop being run: its instructions are [begin, end). */
type Loop = { readonly level: number; readonly begin: number; readonly end: number; readonly count: number };
/** A call in force: where it is, the frame it was made in, and how many loops were being run. */
type Call = { readonly at: number; readonly frame: number; readonly loops: number };

/** A queue while it runs. */
export type QueueState = {
  readonly name: Queue;
  readonly code: readonly Instruction[];
  /** By number; set 0 moves nothing. */
  readonly strideSets: readonly StrideSet[];
  readonly I: [number, number, number, number];
  readonly R: Float64Array;
  /** Predicates, 0 or 1; the first is none. */
  readonly P: Uint8Array;
  /** Innermost last. */
  readonly loops: Loop[];
  readonly calls: Call[];
  /** Stride set n of an operand is set `frame + n`. */
  frame: number;
  pc: number;
  /** What this queue offers to the collective it waits in. */
  offer: Offer | undefined;
};

const moved = (queue: QueueState, addr: number, ss: number): number => {
  if (ss === 0) return addr;
  const set = queue.strideSets[queue.frame + ss];
  if (set === undefined || set === still) throw new SimulationFault('operand', `stride set ${ss}${queue.frame === 0 ? '' : ` of frame ${queue.frame}`} is not defined`);
  return addr + move(set, queue.I);
};

/** The line an SRAM operand is at, or the row an accumulator operand is. */
export const addressOf = (queue: QueueState, operand: SramOperand): number => moved(queue, operand.addr, operand.ss);

/** The region and byte offset an HBM operand is at. */
export const hbmOf = (chip: Chip, queue: QueueState, operand: HbmOperand): { readonly region: HbmRegion; readonly offset: number } => {
  const name = hbmBases[operand.base];
  const region = name === undefined ? undefined : chip.hbm[name];
  if (region === undefined) throw new SimulationFault('bounds', `HBM base ${operand.base} has no region`);
  return { region, offset: moved(queue, operand.off, operand.ss) * chip.geometry.lineBytes };
};

/** The rows of a window: its first row in the step, and how many there are. */
export const windowOf = (queue: QueueState, { max, reg, level }: RowWindow): { readonly first: number; readonly rows: number } => {
  const first = max * queue.I[level]!;
  return { first, rows: Math.min(max, Math.max(0, queue.R[reg]! - first)) };
};
