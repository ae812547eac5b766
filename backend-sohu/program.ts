import { sourcesOf } from '../diagnostics/diagnostic.ts';
import type { Json } from '../isa-spec/json.ts';
import { hbmBases, type Queue, queues } from '../isa-spec/instructions.ts';
import type { Machine } from '../isa-spec/machine.ts';
import type { ChipCode, DebugMap, IoMap, Program, QueueCode } from '../isa-spec/program.ts';
import type { Origin } from '../diagnostics/diagnostic.ts';
import { allTileOps, type Buffer, type BufferId, type TileModule } from '../ir/tile/module.ts';
import { type Address, allocate, type Layout } from './allocate.ts';
import { emit, type QueueCode as Emitted } from './emit.ts';
import { lifeOf } from './life.ts';
import { synchronise } from './synchronise.ts';

/** A tile module, where its buffers are, the chips that run it, and the matrix arrays they lend to the attention unit (absent: none). */
export type Placed = { readonly module: TileModule; readonly layout: Layout; readonly chips: readonly number[]; readonly lent?: number };

/** A module for all chips of its own. */
export const placedOn = (module: TileModule, machine: Machine): Placed => ({ module, layout: allocate(module, machine), chips: Array.from({ length: module.chips }, (_, chip) => chip) });

/**
 * TileModules -> program: addresses, tokens, words, and the maps that explain them. Each module is an entry: of all chips, or of those of
 * some stages of a pipeline, in the order of the first of each; chips of a module run the same code. Throws NoRoom as `emit` does.
 */
export function buildProgram(placed: readonly Placed[], machine: Machine, entry: string, meta: Program['meta']): Program {
  const parts = placed.map(({ module, layout }) => partOf(module, layout, machine));
  const [first] = placed as readonly [Placed];
  const chips = placed.reduce((sum, one) => sum + one.chips.length, 0);
  return {
    meta: { ...meta, sramPeakBytes: Math.max(...placed.map(({ layout }) => layout.sramPeakBytes)), tile: first.module.tile, lineBytes: machine.sram.lineBytes.value },
    machine, chips,
    regions: regionsOf(placed.map(({ layout }) => layout)),
    entries: placed.map(({ module, chips: own, lent = 0 }, i) => ({ name: placed.length === 1 ? entry : `${entry}.${i}`, bounds: { ...module.bounds }, chips: own, lent })),
    code: parts.map(({ chip }, i) => Array.from({ length: chips }, (_, rank) => (placed[i]?.chips.includes(rank) === true ? chip : noCode))),
    weightMap: placed.map(({ module, layout }) => weightMap(module, layout)),
    ioMap: ioMap(placed),
    debugMap: debugMap(placed.map(({ module }) => module), parts.map(({ code }) => code)),
    life: parts.map(({ life }) => life),
    semaphores: parts.flatMap(({ semaphores }, number) => semaphores.map((semaphore) => ({ entry: number, ...semaphore }))),
  };
}

/** The HBM regions a program declares: every chip has them all, each as long as the longest of it among the modules. */
export const regionsOf = (layouts: readonly Layout[]): Program['regions'] =>
  hbmBases.flatMap((base) => {
    const bytes = Math.max(...layouts.map(({ regions }) => regions[base]));
    return base === 'none' || bytes === 0 ? [] : [{ base, bytes }];
  });

type Part = { readonly code: readonly Emitted[]; readonly chip: ChipCode; readonly life: Json; readonly semaphores: ReturnType<typeof synchronise>['semaphores'] };

function partOf(module: TileModule, layout: Layout, machine: Machine): Part {
  const tokens = synchronise(module, layout, machine.sram.lineBytes.value);
  const code = emit(module, layout, tokens, machine);
  const chip = Object.fromEntries(queues.map((queue) => [queue, queueCode(code.find((one) => one.queue === queue))])) as ChipCode;
  return { code, chip, life: lifeOf(module, layout, machine.sram.lineBytes.value, (queue) => code.find((one) => one.queue === queue)?.ops ?? []), semaphores: tokens.semaphores };
}

const queueCode = (emitted: Emitted | undefined): QueueCode =>
  emitted === undefined ? { words: new Uint8Array(0), strideSets: [] } : { words: emitted.words, strideSets: emitted.strideSets };
const noCode = Object.fromEntries(queues.map((queue) => [queue, queueCode(undefined)])) as ChipCode;

const buffersOf = (module: TileModule, layout: Layout, wanted: (buffer: Buffer) => boolean): readonly { id: BufferId; buffer: Buffer; address: Address }[] =>
  module.buffers.flatMap((buffer, i) => {
    const address = layout.addresses.get(i as BufferId);
    return address !== undefined && wanted(buffer) ? [{ id: i as BufferId, buffer, address }] : [];
  });

/** Where each weight lies in the weight region, and how it is packed. Offsets and sizes in lines. */
const weightMap = (module: TileModule, layout: Layout): Json =>
  buffersOf(module, layout, (buffer) => buffer.space === 'hbm' && buffer.role === 'weights').map(({ buffer, address }) => ({
    name: buffer.name, packing: (buffer.packing ?? null) as Json, format: buffer.format, rows: buffer.rows, columns: buffer.columns, offset: address.at, lines: address.size, pitch: address.pitch,
  }));

/** Activations are brought to the first stage, results are the last's; keys and values those of each, with the number of chips that have such. */
function ioMap(all: readonly Placed[]): IoMap {
  const end = ({ module, layout }: Placed) => ({ name, buffer: id, rows }: TileModule['outputs'][number]): IoMap['outputs'][number] => {
    const [buffer, address] = [module.buffers[id] as Buffer, layout.addresses.get(id) as Address];
    return { name, base: address.base, offset: address.at, pitch: address.pitch, columns: buffer.columns, format: buffer.format, rows };
  };
  const kv = all.flatMap(({ module, layout, chips }) => buffersOf(module, layout, (buffer) => buffer.role === 'kv').map(({ buffer, address }) => ({
    name: buffer.name, chips: chips.length, offset: address.at, pitch: address.pitch, columns: buffer.columns, format: buffer.format, layers: buffer.rows / (module.bounds.poolPages * module.bounds.pageRows * 2), pageRows: module.bounds.pageRows,
  })));
  const [first, last] = [all[0], all.at(-1)] as [Placed, Placed];
  return { inputs: first.module.inputs.map(end(first)), outputs: last.module.outputs.map(end(last)), kv };
}

/** A label with other sources in another stage is another label. */
function debugMap(stages: readonly TileModule[], code: readonly (readonly Emitted[])[]): DebugMap {
  const labels: { readonly label: string; readonly sources: readonly string[] }[] = [];
  const numbers = new Map<string, number>();
  const entries = stages.map((module, stage) => {
    const origins = new Map<string, Origin>();
    for (const op of allTileOps(module.body)) if (!origins.has(op.label)) origins.set(op.label, op.origin);
    const number = (label: string): number => {
      const sources = sourcesOf(origins.get(label) ?? { kind: 'none' }).map(sourceName);
      const key = JSON.stringify([label, sources]);
      const known = numbers.get(key);
      if (known !== undefined) return known;
      numbers.set(key, labels.length);
      return labels.push({ label, sources }) - 1;
    };
    return Object.fromEntries(queues.map((queue) => [queue, (code[stage]?.find((one) => one.queue === queue)?.labels ?? []).map(number)])) as Record<Queue, number[]>;
  });
  return { labels, entries };
}

const sourceName = (source: ReturnType<typeof sourcesOf>[number]): string => {
  switch (source.kind) {
    case 'onnx': return source.node;
    case 'config':
    case 'file': return source.path;
    case 'tensor': return source.name;
    case 'text': return `${source.file}:${source.line}`;
  }
};
