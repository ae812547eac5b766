import { sourcesOf } from '../diagnostics/diagnostic.ts';
import type { Json } from '../isa-spec/json.ts';
import { still } from '../isa-spec/encoding.ts';
import { hbmBases, instructions, type Queue, queues, wordBytes } from '../isa-spec/instructions.ts';
import type { Machine } from '../isa-spec/machine.ts';
import type { ChipCode, DebugMap, IoMap, Program, QueueCode } from '../isa-spec/program.ts';
import type { Origin } from '../diagnostics/diagnostic.ts';
import { allTileOps, type Buffer, type BufferId, type TileModule } from '../ir/tile/module.ts';
import { type Address, allocate, type Layout } from './allocate.ts';
import { emit, type QueueCode as Emitted } from './emit.ts';
import { lifeOf } from './life.ts';
import { synchronise } from './synchronise.ts';

/** A tile module as a program, and where its buffers are. */
export type Built = { readonly program: Program; readonly layout: Layout };

/** TileModule -> program: addresses, tokens, words, and the maps that explain them. Every chip runs the same code. Throws NoRoom as `emit` does. */
export function buildProgram(module: TileModule, machine: Machine, entry: string, meta: Program['meta'], layout: Layout = allocate(module, machine)): Built {
  const tokens = synchronise(module, layout);
  const code = emit(module, layout, tokens, machine);
  const chip = Object.fromEntries(queues.map((queue) => [queue, queueCode(code.find((one) => one.queue === queue))])) as ChipCode;
  const { bounds } = module;
  const program: Program = {
    meta: { ...meta, sramPeakBytes: layout.sramPeakBytes, tile: module.tile, lineBytes: machine.sram.lineBytes.value },
    machine, chips: module.chips,
    regions: hbmBases.flatMap((base) => (base === 'none' || layout.regions[base] === 0 ? [] : [{ base, bytes: layout.regions[base] }])),
    entries: [{ name: entry, bounds: { ...bounds } }],
    code: [Array.from({ length: module.chips }, () => chip)],
    weightMap: weightMap(module, layout),
    ioMap: ioMap(module, layout),
    debugMap: debugMap(module, code),
    life: lifeOf(module, layout, (queue) => effectsOf(chip[queue].words)),
    semaphores: tokens.semaphores.map((semaphore) => ({ entry: 0, ...semaphore })),
  };
  return { program, layout };
}

const queueCode = (emitted: Emitted | undefined): QueueCode =>
  emitted === undefined ? { words: new Uint8Array(0), strideSets: [] } : { words: emitted.words, strideSets: emitted.strideSets.length === 0 ? [] : [still, ...emitted.strideSets] };

/** Opcodes of what steers a queue: every other instruction is a tile op's. */
const steering: ReadonlySet<number> = new Set([instructions.sync.opcode, instructions.loop.opcode, instructions.sreg.opcode, instructions.event.opcode]);

/** Where in a queue's code the tile ops are, in order. */
const effectsOf = (words: Uint8Array): readonly number[] => Array.from({ length: words.length / wordBytes }, (_, pc) => pc).filter((pc) => !steering.has(words[pc * wordBytes] as number));

const placed = (module: TileModule, layout: Layout, wanted: (buffer: Buffer) => boolean): readonly { id: BufferId; buffer: Buffer; address: Address }[] =>
  module.buffers.flatMap((buffer, i) => {
    const address = layout.addresses.get(i as BufferId);
    return address !== undefined && wanted(buffer) ? [{ id: i as BufferId, buffer, address }] : [];
  });

/** Where each weight lies in the weight region, and how it is packed. Offsets and sizes in lines. */
const weightMap = (module: TileModule, layout: Layout): Json =>
  placed(module, layout, (buffer) => buffer.space === 'hbm' && buffer.role === 'weights').map(({ buffer, address }) => ({
    name: buffer.name, packing: (buffer.packing ?? null) as Json, format: buffer.format, rows: buffer.rows, columns: buffer.columns, offset: address.at, lines: address.size, pitch: address.pitch,
  }));

function ioMap(module: TileModule, layout: Layout): IoMap {
  const end = ({ name, buffer: id, rows }: TileModule['outputs'][number]): IoMap['outputs'][number] => {
    const [buffer, address] = [module.buffers[id] as Buffer, layout.addresses.get(id) as Address];
    return { name, base: address.base, offset: address.at, pitch: address.pitch, columns: buffer.columns, format: buffer.format, rows };
  };
  const kv = placed(module, layout, (buffer) => buffer.role === 'kv').map(({ buffer, address }) => ({
    name: buffer.name, offset: address.at, pitch: address.pitch, columns: buffer.columns, format: buffer.format, layers: buffer.rows / (module.bounds.poolPages * module.bounds.pageRows * 2), pageRows: module.bounds.pageRows,
  }));
  return { inputs: module.inputs.map(end), outputs: module.outputs.map(end), kv };
}

function debugMap(module: TileModule, code: readonly Emitted[]): DebugMap {
  const origins = new Map<string, Origin>();
  for (const op of allTileOps(module.body)) if (!origins.has(op.label)) origins.set(op.label, op.origin);
  const numbers = new Map<string, number>();
  const number = (label: string): number => {
    const known = numbers.get(label) ?? numbers.size;
    numbers.set(label, known);
    return known;
  };
  const entry = Object.fromEntries(queues.map((queue) => [queue, (code.find((one) => one.queue === queue)?.labels ?? []).map(number)])) as Record<Queue, number[]>;
  const labels = [...numbers.keys()].map((label) => ({ label, sources: sourcesOf(origins.get(label) ?? { kind: 'none' }).map(sourceName) }));
  return { labels, entries: [entry] };
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
