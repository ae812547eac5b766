import { formatBytes } from '../isa-spec/fields.ts';
import type { Grid } from '../isa-spec/numerics-rows.ts';
import type { GraphModule } from '../ir/graph/module.ts';
import { bf16From, quantiseFrom } from '../ir/packing-room.ts';
import { pitchLines } from '../ir/tile/footprint.ts';
import type { Buffer, BufferId, Packing, TileModule } from '../ir/tile/module.ts';
import type { DType } from '../ir/types.ts';
import type { Elements, Part, WeightValues } from '../ir/weight-values.ts';
import { newRoom, type Numbers, type Room, type Weight } from '../ir/weights.ts';
import type { Layout } from './allocate.ts';

/**
 * What the bytes of weights are made from: the module's weights and their values, and the machine's tile and line. Pieces lie in `room`: in one that
 * is used again they are there until the next is asked for.
 */
export type PackSource = { readonly graph: GraphModule; readonly values: WeightValues; readonly tile: number; readonly lineBytes: number; readonly room?: Room | undefined };

/** Rows of weights brought in at once, in elements: what bounds the memory of packing. */
const batchElements = 2 ** 18;

/**
 * The bytes of a chip's weight region, in order, in pieces: what the program expects to find there. Each source tensor is
 * read once for each buffer made of it, a batch of rows at a time.
 */
export function* packWeights(module: TileModule, layout: Layout, from: PackSource, rank: number): Generator<Uint8Array> {
  let at = 0;
  const inOrder = module.buffers
    .flatMap((buffer, id) => {
      const address = layout.addresses.get(id as BufferId);
      return buffer.role === 'weights' && buffer.space === 'hbm' && address !== undefined ? [{ buffer, address }] : [];
    })
    .toSorted((a, b) => a.address.at - b.address.at);
  for (const { buffer, address } of inOrder) {
    if (address.at !== at) throw new Error('internal: a gap in the weight region');
    at += address.size;
    yield* packBuffer(buffer, from, rank);
  }
}

/** One buffer's bytes, every row padded to lines. Tiles pad each of their rows. */
function* packBuffer(buffer: Buffer, from: PackSource, rank: number): Generator<Uint8Array> {
  const pitch = pitchLines(buffer, from.lineBytes) * from.lineBytes;
  const width = buffer.columns * formatBytes[buffer.format];
  for (const rows of bufferRows(buffer, from, rank)) {
    const bytes = new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength);
    if (pitch === width) {
      yield bytes;
      continue;
    }
    const count = rows.length / buffer.columns;
    const padded = new Uint8Array(count * pitch);
    for (let row = 0; row < count; row++) padded.set(bytes.subarray(row * width, (row + 1) * width), row * pitch);
    yield padded;
  }
}

/** The rows of a weight buffer in its format, a batch at a time. */
export function* bufferRows(buffer: Buffer, { graph, values, tile, lineBytes, room = newRoom }: PackSource, rank: number): Generator<Elements> {
  const { packing } = buffer;
  if (packing === undefined) throw new Error(`internal: \`${buffer.name}\` is not a weight buffer`);
  const find = (name: string): Weight => graph.weights.find((weight) => weight.name === name) as Weight;
  const first = packing.kind === 'norm' ? packing.gamma : packing.weight;
  const instances = first === '' ? 1 : find(first).instances.length;
  for (let instance = 0; instance < instances; instance++) {
    const part = { instance, rank };
    switch (packing.kind) {
      case 'rows': {
        const weight = find(packing.weight);
        const total = weight.shape[0] as number;
        if (weight.shape.length === 1) {
          yield values.encodedRows(weight, part, 0, total);
          break;
        }
        const step = Math.max(1, Math.floor(batchElements / buffer.columns));
        for (let row = 0; row < total; row += step) yield values.encodedRows(weight, part, row, Math.min(step, total - row), room);
        break;
      }
      case 'norm':
        yield normRow(buffer, packing, lineBytes / formatBytes.f32, (name) => values.encodedRows(find(name), part, 0, find(name).shape[0] as number));
        break;
      case 'params':
        yield* paramRows(packing, tile, (name) => values.encodedRows(find(name), part, 0, find(name).shape[0] as number));
        break;
      case 'tiles':
        yield* tileGroups(packing, tile, { weight: find(packing.weight), first: 0, rows: find(packing.weight).shape[0] as number }, { values, part, room });
        break;
      case 'expertTiles': {
        const weight = find(packing.weight);
        const rows = (weight.shape[0] as number) / packing.experts;
        for (let expert = 0; expert < packing.experts; expert++) yield* tileGroups(packing, tile, { weight, first: expert * rows, rows }, { values, part, room });
        break;
      }
      case 'expertParams': {
        const read = (name: string): Elements => values.encodedRows(find(name), part, 0, find(name).shape[0] as number);
        const { experts } = packing;
        const names = [...(packing.scale ? [`${packing.weight}.scale`] : []), ...(packing.bias === '' ? [] : [packing.bias])];
        const all = new Map(names.map((name) => [name, read(name)]));
        for (let expert = 0; expert < experts; expert++) {
          const own = (name: string): Elements => {
            const list = all.get(name) as Elements;
            return list.subarray((expert * list.length) / experts, ((expert + 1) * list.length) / experts);
          };
          yield* paramRows(packing, tile, own);
        }
        break;
      }
    }
  }
}

/** eps, gamma and beta, each from a line's start. Without gamma: ones. Without beta: -0, which adds to nothing's bits. */
function normRow(buffer: Buffer, packing: Extract<Packing, { kind: 'norm' }>, lineElements: number, read: (name: string) => Elements): Float32Array {
  const row = new Float32Array(buffer.columns).fill(-0);
  row[0] = Math.fround(packing.epsilon);
  const gamma = packing.gamma === '' ? new Float32Array(packing.features).fill(1) : read(packing.gamma);
  row.set(gamma, lineElements);
  if (packing.beta !== '') row.set(read(packing.beta), lineElements + Math.ceil(gamma.length / lineElements) * lineElements);
  return row;
}

/** Column groups of a weight: the weight rows (output columns) each of a group's tiles is of. */
function* groupsOf(rows: number, tile: number, groupTiles: number, gated: boolean): Generator<readonly number[]> {
  const half = gated ? rows / 2 : rows;
  const units = Math.ceil(half / tile);
  const perGroup = gated ? groupTiles / 2 : groupTiles;
  for (let unit = 0; unit < units; unit += perGroup) {
    const starts = Array.from({ length: Math.min(perGroup, units - unit) }, (_, i) => (unit + i) * tile);
    yield gated ? [...starts, ...starts.map((start) => start + half)] : starts;
  }
}

function* paramRows(packing: Extract<Packing, { kind: 'params' | 'expertParams' }>, tile: number, read: (name: string) => Elements): Generator<Float32Array> {
  const parts = [...(packing.scale ? [read(`${packing.weight}.scale`)] : []), ...(packing.bias === '' ? [] : [read(packing.bias)])];
  const rows = parts[0]?.length ?? 0;
  for (const starts of groupsOf(rows, tile, packing.groupTiles, packing.gated)) {
    const row = new Float32Array(parts.length * packing.groupTiles * tile);
    parts.forEach((part, p) => starts.forEach((start, t) => {
      const end = edgeOf(start, rows, packing.gated);
      row.set(part.subarray(start, Math.min(start + tile, end)), (p * starts.length + t) * tile);
    }));
    yield row;
  }
}

/** The weight row a tile starting at `start` may not read past: the end of its half. */
const edgeOf = (start: number, rows: number, gated: boolean): number => (gated && start < rows / 2 ? rows / 2 : rows);

/** The tiles of `rows` of a weight's rows, a group at a time. */
function* tileGroups(packing: Extract<Packing, { kind: 'tiles' | 'expertTiles' }>, tile: number, { weight, first, rows: n }: { readonly weight: Weight; readonly first: number; readonly rows: number }, { values, part, room }: { readonly values: WeightValues; readonly part: Part; readonly room: Room }): Generator<Elements> {
  const k = weight.shape[1] as number;
  const kTiles = Math.ceil(k / tile);
  for (const starts of groupsOf(n, tile, packing.groupTiles, packing.gated)) {
    const counts = starts.map((start) => Math.min(tile, edgeOf(start, n, packing.gated) - start));
    const out = tilesIn(room, kTiles * starts.length * tile * tile, weight.dtype);
    if (k % tile !== 0 || counts.some((count) => count < tile)) out.fill(0);
    starts.forEach((start, t) => {
      const count = counts[t] as number;
      const put = putting(out, count, out instanceof Uint8Array ? values.scaledGrid(weight, part, first + start, count) : { grid: values.gridOf(weight, part, first + start, count), scales: undefined });
      for (let kTile = 0; kTile < kTiles; kTile++) put(kTile * tile, Math.min(tile, k - kTile * tile), { at: (kTile * starts.length + t) * tile * tile, row: 1, column: tile });
    });
    yield out;
  }
}

function tilesIn(room: Room, elements: number, dtype: DType): Uint8Array | Uint16Array {
  if (dtype === 'e4m3') return room(elements);
  const { buffer, byteOffset } = room(2 * elements);
  return new Uint16Array(buffer, byteOffset, elements);
}

/** Puts columns of so many rows, encoded, where they belong. */
function putting(out: Uint8Array | Uint16Array, rows: number, { grid, scales }: { readonly grid: Grid<Numbers>; readonly scales: Float32Array | undefined }): (first: number, columns: number, to: Omit<Grid<Elements>, 'data'>) => void {
  return (first, columns, to) => {
    const from = { ...grid, at: grid.at + first * grid.column };
    if (out instanceof Uint16Array) bf16From(from, { ...to, data: out }, rows, columns);
    else if (scales !== undefined) quantiseFrom(from, scales, { ...to, data: out }, rows, columns);
  };
}
