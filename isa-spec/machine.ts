/** A number of a machine and where it comes from. */
export type Quantity = {
  readonly value: number;
  readonly provenance: 'published' | 'derived' | 'assumed';
  readonly source: string;
};

/**
 * A machine as a value: everything the compiler and the simulators know of the hardware. No pass knows a constant of its own.
 * Sizes are bytes, rates are per second unless they say per cycle.
 */
export type Machine = {
  readonly name: string;
  readonly chips: number;
  readonly clockHz: Quantity;
  /** Weight-stationary matrix arrays: `count` of `size` x `size`; FP8 multiply-adds at full rate, BF16 at `bf16Rate` of it. */
  readonly arrays: { readonly count: Quantity; readonly size: Quantity; readonly bf16Rate: Quantity };
  /** Accumulator rows per array, in two banks. */
  readonly accumulatorRows: Quantity;
  /** Weight tiles a FIFO of one array holds. */
  readonly weightFifoTiles: Quantity;
  /** The attention unit's own arrays; `kvBytesPerCycle` is what each of them loads. */
  readonly attention: { readonly count: Quantity; readonly size: Quantity; readonly kvBytesPerCycle: Quantity };
  readonly softmaxPerCycle: Quantity;
  readonly vectorLanes: Quantity;
  readonly sram: { readonly bytes: Quantity; readonly banks: Quantity; readonly lineBytes: Quantity };
  readonly hbm: {
    readonly bytes: Quantity;
    readonly bytesPerSecond: Quantity;
    readonly latencySeconds: Quantity;
    /** Fraction of the peak reached by contiguous runs of at least `runBytes`, longest first. */
    readonly efficiency: readonly { readonly runBytes: number; readonly fraction: Quantity }[];
  };
  /** All-to-all links: total per chip and direction. */
  readonly link: { readonly bytesPerSecond: Quantity; readonly latencySeconds: Quantity };
  /** Cycles from a post to the wait it satisfies. */
  readonly syncCycles: Quantity;
};

/** Arrays of the attention unit that one matrix array is as good as: one for each part of it of their size. */
const asAttention = ({ arrays, attention }: Machine): number => Math.floor(arrays.size.value / attention.size.value) ** 2;

/** Numbers of matrix arrays an entry may lend to the attention unit: none; or all but a half, a quarter or an eighth of them, of which a gated product needs two, if they are of its arrays' size at least. */
export function lendings(machine: Machine): readonly number[] {
  const { value: count } = machine.arrays.count;
  return [0, ...(asAttention(machine) === 0 ? [] : [2, 4, 8].flatMap((part) => (count % part === 0 && count > part ? [count - count / part] : [])))];
}

/** The machine as an entry has it that lends `lent` matrix arrays: each is several arrays of the attention unit, loaded like them. */
export function lending(machine: Machine, lent: number): Machine {
  if (lent === 0) return machine;
  const { arrays, attention } = machine;
  const counted = (quantity: Quantity, value: number): Quantity => ({ ...quantity, value });
  return { ...machine, arrays: { ...arrays, count: counted(arrays.count, arrays.count.value - lent) }, attention: { ...attention, count: counted(attention.count, attention.count.value + lent * asAttention(machine)) } };
}
