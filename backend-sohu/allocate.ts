import type { HbmBase } from '../isa-spec/instructions.ts';
import type { Machine } from '../isa-spec/machine.ts';
import { firstFit } from '../ir/tile/first-fit.ts';
import { bufferLines, pitchLines, slotLines } from '../ir/tile/footprint.ts';
import { lifetimes } from '../ir/tile/lifetimes.ts';
import type { Buffer, BufferId, TileModule } from '../ir/tile/module.ts';

/** Where a buffer is: lines of SRAM or of an HBM region, or accumulator rows. */
export type Address = {
  readonly space: Buffer['space'];
  readonly base: HbmBase;
  /** First line, or accumulator row. */
  readonly at: number;
  /** Lines, or accumulator rows, in all. */
  readonly size: number;
  /** Lines between rows. */
  readonly pitch: number;
  /** Lines, or accumulator rows, between ring slots. */
  readonly slot: number;
};

export type Layout = {
  readonly addresses: ReadonlyMap<BufferId, Address>;
  /** Bytes of each HBM region. */
  readonly regions: Readonly<Record<HbmBase, number>>;
  readonly sramPeakBytes: number;
};

const regionOf: Readonly<Record<Buffer['role'], HbmBase>> = { weights: 'weights', kv: 'kv', pipe: 'io', value: 'scratch', stage: 'scratch', ring: 'scratch', list: 'scratch', input: 'io', output: 'io' };

/** Gives every used buffer its place. The planner has made sure that SRAM suffices. */
export function allocate(module: TileModule, machine: Machine): Layout {
  const line = machine.sram.lineBytes.value;
  const live = lifetimes(module);
  const inSram = live.filter(({ buffer }) => module.buffers[buffer]?.space === 'sram');
  const claims = inSram.map(({ buffer, spans }) => ({ size: bufferLines(module.buffers[buffer] as Buffer, line), spans }));
  const fitted = firstFit(claims, Math.floor(machine.sram.bytes.value / line));
  if ('failed' in fitted) throw new Error('internal: the plan does not fit SRAM');

  const addresses = new Map<BufferId, Address>();
  const sramAt = new Map(inSram.map(({ buffer }, i) => [buffer, fitted.addresses[i] as number]));
  const next: Record<HbmBase, number> = { none: 0, weights: 0, kv: 0, scratch: 0, io: 0 };
  let peak = 0;
  for (const { buffer: id } of live.toSorted((a, b) => a.buffer - b.buffer)) {
    const buffer = module.buffers[id] as Buffer;
    const pitch = pitchLines(buffer, line);
    if (buffer.space === 'acc') {
      addresses.set(id, { space: 'acc', base: 'none', at: 0, size: machine.accumulatorRows.value, pitch: 1, slot: Math.floor(machine.accumulatorRows.value / buffer.depth) });
      continue;
    }
    const size = bufferLines(buffer, line);
    const base = buffer.space === 'sram' ? 'none' : regionOf[buffer.role];
    const at = buffer.space === 'sram' ? (sramAt.get(id) as number) : next[base];
    if (buffer.space === 'hbm') next[base] += size;
    else peak = Math.max(peak, at + size);
    addresses.set(id, { space: buffer.space, base, at, size, pitch, slot: slotLines(buffer, line) });
  }
  const regions = Object.fromEntries(Object.entries(next).map(([base, lines]) => [base, lines * line])) as Record<HbmBase, number>;
  return { addresses, regions, sramPeakBytes: peak * line };
}

/** True when two buffers share memory. HBM buffers never do. */
export function overlap(a: Address, b: Address): boolean {
  return a.space === b.space && a.base === b.base && a.at < b.at + b.size && b.at < a.at + a.size;
}
