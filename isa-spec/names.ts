import { type Format, formatBytes } from './fields.ts';
import type { Names, Value } from './formula.ts';
import type { VectorFunction } from './instructions.ts';
import type { Machine } from './machine.ts';
import { takesOperand } from './numerics-vector.ts';

/** A quantity of a machine that formulas name. `chips`: of the program. */
type Quantity = { readonly says: string; readonly of: (machine: Machine, chips: number) => number };

/** What formulas name of a machine; rates are per cycle, times in cycles. */
export const quantities = {
  A: { says: 'side of a matrix array', of: (machine) => machine.arrays.size.value },
  arrays: { says: 'matrix arrays', of: (machine) => machine.arrays.count.value },
  lineBytes: { says: 'bytes of a line', of: (machine) => machine.sram.lineBytes.value },
  lanes: { says: 'FP32 lanes of the vector unit', of: (machine) => machine.vectorLanes.value },
  attentionArrays: { says: 'arrays of the attention unit', of: (machine) => machine.attention.count.value },
  attentionSide: { says: 'side of one of them', of: (machine) => machine.attention.size.value },
  attentionLoad: { says: 'bytes of keys and values one of them loads a cycle', of: (machine) => machine.attention.kvBytesPerCycle.value },
  exponentials: { says: 'exponentials the attention unit makes a cycle', of: (machine) => machine.softmaxPerCycle.value },
  hbmRate: { says: 'bytes HBM moves a cycle', of: (machine) => machine.hbm.bytesPerSecond.value / machine.clockHz.value },
  hbmLatency: { says: 'cycles of a round trip to HBM', of: (machine) => Math.ceil(machine.hbm.latencySeconds.value * machine.clockHz.value) },
  linkRate: { says: 'bytes a chip sends a cycle, to all others together', of: (machine) => machine.link.bytesPerSecond.value / machine.clockHz.value },
  linkLatency: { says: 'cycles of a hop', of: (machine) => Math.ceil(machine.link.latencySeconds.value * machine.clockHz.value) },
  chips: { says: 'chips of the program', of: (_machine, chips) => chips },
} as const satisfies Record<string, Quantity>;

/** Micro-operations that take four passes of the vector lanes. */
const specialFunctions: readonly VectorFunction[] = ['silu', 'gelu', 'gelu_tanh', 'tanh', 'sigmoid', 'exp', 'sqrt', 'rsqrt', 'reciprocal', 'divide', 'divide_into'];

type Function = { readonly says: string; readonly of: (machine: Machine) => (...values: readonly Value[]) => number };

const plain = (says: string, of: (...values: readonly number[]) => number): Function => ({ says, of: () => (...values) => of(...(values as readonly number[])) });

/** What formulas call, by how they call it. */
export const functions = {
  'ceil(x)': plain('x rounded up', Math.ceil),
  'floor(x)': plain('x rounded down', Math.floor),
  'min(a, b, ...)': plain('the least', Math.min),
  'max(a, b, ...)': plain('the greatest', Math.max),
  'lines(n)': { says: 'lines of n bytes, from the start of a line on', of: (machine) => (n) => Math.ceil((n as number) / machine.sram.lineBytes.value) },
  'bytes(format)': { says: 'of an element: 4 of f32 and i32, 2 of bf16, 1 of e4m3, e5m2 and ue8m0', of: () => (format) => formatBytes[format as Format] },
  'slow(format)': { says: 'cycles of a row: 2 of bf16 where it has half the rate, 1 of others', of: (machine) => (format) => (format === 'bf16' ? 1 / machine.arrays.bf16Rate.value : 1) },
  'efficiency(run)': {
    says: 'part of HBM\'s rate that contiguous runs of so many bytes reach',
    of: (machine) => (run) => (machine.hbm.efficiency.find(({ runBytes }) => (run as number) >= runBytes) ?? machine.hbm.efficiency.at(-1)!).fraction.value,
  },
  'operands(f, g, h)': { says: 'how many of three micro-operations take an operand', of: () => (...chain) => chain.filter((name) => takesOperand(name as VectorFunction)).length },
  'passes(f, g, h)': {
    says: `passes of three micro-operations: 0 of copy, 4 of ${specialFunctions.join(', ')}, 1 of others; 1 at least`,
    of: () => (...chain) => Math.max(1, chain.reduce<number>((sum, name) => sum + (name === 'copy' ? 0 : specialFunctions.includes(name as VectorFunction) ? 4 : 1), 0)),
  },
} as const satisfies Record<string, Function>;

/** What names mean on a machine, in a program of `chips` chips. */
export const namesOfMachine = (machine: Machine, chips: number): Names => ({
  any: Infinity,
  ...Object.fromEntries(Object.entries<Quantity>(quantities).map(([name, { of }]) => [name, of(machine, chips)])),
  ...Object.fromEntries(Object.entries<Function>(functions).map(([call, { of }]) => [`${call.slice(0, call.indexOf('('))}()`, of(machine)])),
});

/** Names for parts of formulas. */
export type Where = { readonly [name: string]: string };

/** Names, and those that `where` gives to formulas. */
export const withNames = (names: Names, where: Where = {}): Names => ({ ...names, ...Object.fromEntries(Object.entries(where).map(([name, formula]) => [name, { formula }])) });
