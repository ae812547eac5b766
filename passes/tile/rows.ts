import { type Format, formatBytes } from '../../isa-spec/fields.ts';
import { allOps, type OpOf } from '../../ir/graph/module.ts';
import type { TileAttrs } from '../../ir/tile/ops.ts';
import type { BufferId, Region, RowBound } from '../../ir/tile/module.ts';
import type { TensorType, ValueId } from '../../ir/types.ts';
import { pitchFieldMax } from '../plan/matmul.ts';
import { sizeOf } from '../rewrite.ts';
import { gatherStrips, moveScales, piecesOfCodes, quantisePieces, soleQuantiser, stripPieces } from './blocks.ts';
import { bufferOf, instanceRow, type Lowering, overRows, type Place, rowBytes, rowLimit, rowsOf, rowTiling, stageDepth, wholeList } from './lowering.ts';
import { stagedVector, weightNameOf, weightOf } from './weights.ts';
import { affine, shift } from './writer.ts';

/** embed -> rows of the table gathered by the index list. */
export function lowerEmbed(low: Lowering, op: OpOf<'embed'>): void {
  const [ids, table] = op.operands as [ValueId, ValueId];
  const weight = weightOf(low, table);
  const rows = weight.shape[0] ?? 0;
  const home = low.write.buffer({
    name: weight.name, space: 'hbm', role: 'weights', format: 'bf16', rows: rows * weight.instances.length, columns: weight.shape[1] ?? 0, packing: { kind: 'rows', weight: weight.name },
  });
  gatherInto(low, home, rows, low.list(ids), low.place(op.results[0] as ValueId));
}

/** Rows of an HBM table, by an index list, into a place. */
export function gatherInto(low: Lowering, table: BufferId, tableRows: number, index: Region, out: Place): void {
  overRows(low, 'rows', { writes: [out] }, (_, [to], rows) => {
    const from = low.write.region(table, instanceRow(low, tableRows), tableRows, out.columns);
    low.write.op('gather', { skip: false }, { table: from, index, out: to as Region }, rows);
  });
}

/** Brings the parameters of a norm; returns how rows are normed by them. */
export function normOf(low: Lowering, op: OpOf<'norm'>): (x: Region, out: Region, rows: RowBound) => void {
  const [x, gamma, beta] = op.operands as [ValueId, ValueId | undefined, ValueId | undefined];
  const features = sizeOf(low.module.types[x]?.shape[1]);
  const line = low.machine.sram.lineBytes.value / formatBytes.f32;
  const padded = Math.ceil(features / line) * line;
  const columns = line + padded * (op.attrs.norm === 'layer' ? 2 : 1);
  const names = [gamma, beta].map((value) => (value === undefined ? '' : weightNameOf(low, value))) as [string, string];
  const instances = gamma === undefined ? 1 : weightOf(low, gamma).instances.length;
  const home = low.write.buffer({
    name: names[0] === '' ? `norm.${op.results[0]}` : names[0], space: 'hbm', role: 'weights', format: 'f32', rows: instances, columns,
    packing: { kind: 'norm', gamma: names[0], beta: names[1], features, epsilon: op.attrs.epsilon },
  });
  const ring = low.write.slots('norms', 1, () => ({ format: 'f32', rows: 1, columns, depth: stageDepth }));
  low.write.widen(ring.buffer, columns);
  const params = low.write.region(ring.buffer, affine(0), 1, columns, { slot: affine(ring.first) });
  low.write.op('load', {}, { from: low.write.region(home, instances === 1 ? affine(0) : instanceRow(low, 1), 1, columns), out: params }, { max: 1, of: 'all' });
  return (x, out, rows) => low.write.op('norm', { norm: op.attrs.norm, groups: op.attrs.groups }, { x, params, out }, rows);
}

export function lowerNorm(low: Lowering, op: OpOf<'norm'>): void {
  if (low.done.has(op)) return;
  const norm = normOf(low, op);
  const from = low.place(op.operands[0] as ValueId);
  const result = op.results[0] as ValueId;
  const quantiser = soleQuantiser(low, result, false);
  if (quantiser === undefined) return overRows(low, 'rows', { reads: [from], writes: [low.place(result)] }, ([input], [out], rows) => norm(input as Region, out as Region, rows));
  // What is only read to be quantised is so a tile of rows at a time, and is never whole.
  const [codes, scales] = quantiser.results as [ValueId, ValueId];
  const { dtype, shape } = low.module.types[result] as TensorType;
  low.done.add(quantiser);
  const passing = [{ name: `norm.${result}.rows`, format: dtype as Format, columns: sizeOf(shape[1]) }];
  overRows(low, 'rows', { reads: [from], writes: [low.place(codes)], passing }, ([input], [out], rows, _, [through]) => {
    norm(input as Region, through as Region, rows);
    low.write.op('quantise', {}, { x: through as Region, out: out as Region, rowScale: low.list(scales) }, rows);
  });
}

/** One vector instruction over one or two operands. */
export function lowerMap(low: Lowering, op: OpOf<'add' | 'multiply' | 'activate' | 'convert'>): void {
  const name: TileAttrs['map']['function'] = op.kind === 'add' || op.kind === 'multiply' ? op.kind : op.kind === 'activate' && op.attrs.activation !== 'none' ? op.attrs.activation : 'copy';
  mapInto(low, name, op.operands.map(low.place), low.place(op.results[0] as ValueId));
}

/** scale -> one vector instruction, its numbers the same for every row. */
export function lowerScale(low: Lowering, op: OpOf<'scale'>): void {
  const [x, by] = op.operands as [ValueId, ValueId];
  const same = stagedVector(low, by);
  overPieces(low, [low.place(x), low.place(op.results[0] as ValueId)], ([source, result], first) => {
    const numbers = same.columns === 1 ? same : { ...same, column: affine(first), columns: source.columns };
    overRows(low, pieceName('rows', first), { reads: [source], writes: [result] }, ([from], [out], rows) => low.write.op('map', { function: 'multiply' }, { x: from as Region, y: undefined, same: numbers, out: out as Region }, rows));
  });
}

/** Runs `emit` over pieces of columns no wider than a unit can say, each with the number of its first column. */
function overPieces(low: Lowering, places: readonly Place[], emit: (pieces: readonly [Place, Place, ...Place[]], first: number) => void): void {
  const line = low.machine.sram.lineBytes.value;
  // In every format a piece begins on a line.
  const most = Math.floor((pitchFieldMax * line) / formatBytes.f32 / line) * line;
  const { columns } = places[0] as Place;
  for (let first = 0; first < columns; first += most) {
    const size = Math.min(most, columns - first);
    emit(places.map((place): Place => ({ ...place, column: place.column + first, columns: size })) as unknown as readonly [Place, Place, ...Place[]], first);
  }
}

const pieceName = (rows: string, first: number): string => (first === 0 ? rows : `${rows} from column ${first}`);

export function mapInto(low: Lowering, does: TileAttrs['map']['function'], from: readonly Place[], to: Place): void {
  const name = bufferOf(low, to.buffer).name;
  overPieces(low, [to, ...from], ([result, ...operands], first) =>
    overRows(low, pieceName(name, first), { reads: operands, writes: [result] }, ([x, y], [out], rows) => low.write.op('map', { function: does }, { x: x as Region, y, same: undefined, out: out as Region }, rows)),
  );
}

export function lowerQuantise(low: Lowering, op: OpOf<'quantise'>): void {
  if (low.done.has(op)) return;
  const [codes, scales] = op.results as [ValueId, ValueId];
  if (op.attrs.blocks) {
    const pieces = piecesOfCodes(low, codes);
    const found = low.place(scales);
    const { space, name, format } = bufferOf(low, found.buffer);
    overRows(low, 'rows', { reads: [low.place(op.operands[0] as ValueId)], writes: [low.place(codes)] }, ([x], [out], rows, home) => {
      const there = home(found);
      const local = space === 'hbm' ? low.write.region(low.write.buffer({ name: `${name}.stage`, space: 'sram', role: 'stage', format, rows: rows.max, columns: found.columns }), affine(0), rows.max, found.columns) : there;
      quantisePieces(low, { x: x as Region, out: out as Region, scales: local }, rows, pieces);
      if (local !== there) moveScales(low, 'store', { from: local, out: there }, { columns: (x as Region).columns, rows }, pieces);
    });
    return;
  }
  overRows(low, 'rows', { reads: [low.place(op.operands[0] as ValueId)], writes: [low.place(codes)] }, ([x], [out], rows) =>
    low.write.op('quantise', {}, { x: x as Region, out: out as Region, rowScale: low.list(scales) }, rows),
  );
}

export function lowerRope(low: Lowering, op: OpOf<'rope'>, angles: Place): void {
  const { headDim, interleaved, frequencies } = op.attrs;
  const from = low.place(op.operands[0] as ValueId);
  const attrs = { interleaved, headDim, rotary: 2 * frequencies.length, heads: from.columns / headDim };
  overRows(low, 'rows', { reads: [from, angles], writes: [low.place(op.results[0] as ValueId)] }, ([x, table], [out], rows) =>
    low.write.op('rope', attrs, { x: x as Region, table: table as Region, out: out as Region }, rows),
  );
}

/** Scales of strips to those of pieces: between them is nothing. */
function gatherScales(low: Lowering, places: readonly [Place, Place], { strips, parts, tag }: { readonly strips: number; readonly parts: number; readonly tag: number }): void {
  const columns = strips * low.pieces.columns;
  const isFar = ({ buffer }: Place): boolean => bufferOf(low, buffer).space === 'hbm';
  const passing = places.filter(isFar).map((place) => ({ name: `${bufferOf(low, place.buffer).name}.stage`, format: 'f32' as const, columns: place.columns }));
  overRows(low, 'rows', { passing }, (_, __, rows, home, through) => {
    const stages = [...through];
    const [from, out] = places.map((place) => ({ there: home(place), local: isFar(place) ? (stages.shift() as Region) : home(place) })) as [Moved, Moved];
    if (isFar(places[0])) moveScales(low, 'load', { from: from.there, out: from.local }, { columns: columns / parts, rows }, stripPieces(low.pieces, parts));
    gatherStrips(low, { from: from.local, out: out.local }, { strips, parts, tag, isScales: true, rows });
    if (isFar(places[1])) moveScales(low, 'store', { from: out.local, out: out.there }, { columns, rows });
  });
}
type Moved = { readonly there: Region; readonly local: Region };

export function lowerAllgather(low: Lowering, op: OpOf<'allgather'>): void {
  if (low.done.has(op)) return;
  const { parts, strips } = op.attrs;
  const tag = low.tag();
  const value = op.operands[0] as ValueId;
  const isScales = [...allOps(low.module.body)].some((one) => one.kind === 'quantise' && one.results[1] === value);
  if (isScales) return gatherScales(low, [low.place(value), low.place(op.results[0] as ValueId)], { strips, parts, tag });
  if (strips > 1) return overRows(low, 'rows', { reads: [low.place(value)], writes: [low.place(op.results[0] as ValueId)] }, ([from], [out], rows) => gatherStrips(low, { from: from as Region, out: out as Region }, { strips, parts, tag, isScales: false, rows }));
  overRows(low, 'rows', { reads: [low.place(op.operands[0] as ValueId)], writes: [low.place(op.results[0] as ValueId)] }, ([from], [out], rows) =>
    low.write.op('allgather', { parts, tag }, { from: from as Region, out: out as Region }, rows),
  );
}

/**
 * The rows the chip before gave out, all there is room for, to where this chip has as many as it has tokens. `sent`: the buffer of that many rows they are given out in.
 * All stages take tiles alike, wherever they put them: the first, which reads none of it, nowhere.
 */
export function lowerTake(low: Lowering, value: ValueId, tag: number, sent: (rows: number) => BufferId): void {
  const { write } = low;
  const to = low.place(value);
  const { format, space, name } = bufferOf(low, to.buffer);
  const isRead = [...allOps(low.module.body)].some(({ operands }) => operands.includes(value));
  const { rowTile, rowTiles } = rowTiling(low, 'rows', 'tokens', stageDepth * rowBytes(low, format, to.columns));
  const first = low.part?.first ?? 0;
  const home = sent(first + rowTile * rowTiles);
  const [row, slot] = [affine(0, 0, rowTile), affine(0, 0, 1)];
  const staged = (buffer: BufferId): Region => write.region(buffer, affine(0), rowTile, to.columns, { slot });
  const stage = (what: string): BufferId => write.buffer({ name: `${name}.${what}`, space: 'sram', role: 'stage', format, rows: rowTile, columns: to.columns, depth: stageDepth });
  const [going, coming] = [stage('going'), space === 'hbm' || !isRead ? stage('coming') : undefined];
  const rows: RowBound = { max: rowTile, of: 'tokens' };
  write.loop(1, 'rows', rowTiles, () => {
    write.op('load', {}, { from: write.region(home, shift(row, first), rowTile, to.columns, { reach: first + rowTile * rowTiles }), out: staged(going) }, { max: rowTile, of: 'all' });
    const place = rowsOf(low, to, row, rowTile, rowTile * rowTiles);
    const out = coming === undefined ? place : staged(coming);
    write.op('shift', { tag }, { from: staged(going), out }, rows);
    if (coming !== undefined && isRead) write.op('store', {}, { from: out, out: place }, rows);
  });
}

/** sampleRows -> all rows to HBM, to a table in which those of parts are already, then the sampled ones back: only the gather can pick rows. */
export function lowerSampleRows(low: Lowering, op: OpOf<'sampleRows'>, samples: BufferId, known: BufferId | undefined): void {
  const from = low.place(op.operands[0] as ValueId);
  const table = known ?? tableOf(low, from);
  gatherInto(low, table, low.bounds[from.of], wholeList(low.write, samples), low.place(op.results[0] as ValueId));
}

/** A part's rows to a table in HBM of those of all parts: the one they are in already, or a new one. */
export function storeInTable(low: Lowering, from: Place, known: BufferId | undefined): BufferId {
  const { name, format } = bufferOf(low, from.buffer);
  const table = known ?? low.write.buffer({ name: `${name}.rows`, space: 'hbm', role: 'value', format, rows: low.bounds[from.of], columns: from.columns });
  storeRows(low, from, { ...from, buffer: table, row: low.part?.first ?? 0, column: 0 });
  return table;
}

/** A table in HBM of a value's rows: its own buffer, or a copy, which what is given to the program needs too: rows are picked in scratch. */
export function tableOf(low: Lowering, from: Place): BufferId {
  const home = bufferOf(low, from.buffer);
  if (home.space === 'hbm' && home.role !== 'input' && from.column === 0 && from.columns === home.columns) return from.buffer;
  const buffer = low.write.buffer({ name: `${home.name}.rows`, space: 'hbm', role: 'value', format: home.format, rows: rowLimit(low, from.of), columns: from.columns });
  storeRows(low, from, { ...from, buffer, row: 0, column: 0 });
  return buffer;
}

/** Rows as they are to a place in HBM. */
export function storeRows(low: Lowering, from: Place, to: Place): void {
  overRows(low, `${bufferOf(low, from.buffer).name} to HBM`, { reads: [from] }, ([local], _, rows, home) => low.write.op('store', {}, { from: local as Region, out: home(to) }, rows));
}

/** Rows of a place in HBM to one in SRAM. */
export function loadRows(low: Lowering, from: Place, to: Place): void {
  overRows(low, `${bufferOf(low, to.buffer).name} from HBM`, { writes: [to] }, (_, [local], rows, home) => low.write.op('load', {}, { from: home(from), out: local as Region }, rows));
}
