import type { Machine, Quantity } from '../isa-spec/machine.ts';
import { timingAssumptions } from '../simulator/timing/rates.ts';
import type { Timing } from '../simulator/timing/result.ts';

export type Assumption = { readonly name: string; readonly value: number; readonly provenance: 'derived' | 'assumed'; readonly source: string };

export const isQuantity = (value: unknown): value is Quantity => typeof value === 'object' && value !== null && 'provenance' in value;

/** A machine's numbers in the order one reads about them, which the machine in a container does not keep. */
const order: readonly string[] = [
  'clockHz', 'arrays.count', 'arrays.size', 'arrays.bf16Rate', 'accumulatorRows', 'weightFifoTiles', 'attention.count', 'attention.size', 'attention.kvBytesPerCycle', 'softmaxPerCycle',
  'vectorLanes', 'sram.bytes', 'sram.banks', 'sram.lineBytes', 'hbm.bytes', 'hbm.bytesPerSecond', 'hbm.latencySeconds', 'hbm.efficiency', 'link.bytesPerSecond', 'link.latencySeconds', 'syncCycles',
];

/** Every quantity below a part of a machine, by its path. */
export function* quantities(value: unknown, path: string): Generator<readonly [string, Quantity]> {
  if (isQuantity(value)) yield [path, value];
  else if (typeof value === 'object' && value !== null) {
    for (const [key, part] of Object.entries(value)) yield* quantities(part, path === '' ? key : `${path}.${key}`);
  }
}

/**
 * Every number of the machine the timing rests on that is not published, then what the timing model itself assumes. Links are
 * left out of programs that use none, the attention unit and softmax of those without attention, lent arrays of those that lend none.
 */
export function assumptionsOf(machine: Machine, timing: Timing, lends: boolean): readonly Assumption[] {
  const works = (name: string): boolean => timing.perChip.some((chip) => chip.engines.some((engine) => engine.name === name && engine.work > 0));
  const unused = [...(works('link') ? [] : ['link']), ...(works('attention') ? [] : ['attention', 'softmaxPerCycle'])];
  const place = (name: string): number => order.findIndex((part) => name === part || name.startsWith(`${part}.`));
  const ordered = [...quantities(machine, '')].toSorted(([a], [b]) => place(a) - place(b) || (a < b ? -1 : 1));
  const described = ordered.flatMap(([name, { value, provenance, source }]): Assumption[] =>
    provenance === 'published' || unused.some((part) => name === part || name.startsWith(`${part}.`)) ? [] : [{ name, value, provenance, source }],
  );
  return [...described, ...timingAssumptions.filter(({ name }) => lends || name !== 'timing.lentLoad').map((assumption): Assumption => ({ ...assumption, provenance: 'assumed' }))];
}
