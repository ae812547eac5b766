import type { OpOf } from '../../ir/graph/module.ts';
import type { Affine, BufferId, Packing, Region, RowBound } from '../../ir/tile/module.ts';
import type { ValueId } from '../../ir/types.ts';
import { formatBytes } from '../../isa-spec/fields.ts';
import { type MatmulPlan, pieceCount, pieceTotal, planMatmul } from '../plan/matmul.ts';
import { bufferOf, DoesNotFit, instanceRow, type Lowering, MustSpill, type Place, rowBytes, rowLimit, rowsOf } from './lowering.ts';
import { weightNameOf, weightOf } from './weights.ts';
import { affine, shift } from './writer.ts';

/**
 * linear -> weight tiles streamed through the arrays: row tiles; in each, column groups; in each, k chunks accumulate and
 * one drain finishes. Operands in HBM pass through stages.
 */
export function lowerLinear(low: Lowering, op: OpOf<'linear'>): void {
  const [x, w, ...rest] = op.operands as [ValueId, ValueId, ...ValueId[]];
  const next = (present: boolean): ValueId | undefined => (present ? rest.shift() : undefined);
  const rowScale = next(op.attrs.scaled);
  next(op.attrs.scaled); // the column scales travel with the weight's parameters
  const bias = next(op.attrs.bias);
  const residualValue = next(op.attrs.residual);
  const weight = weightOf(low, w);
  const a = low.place(x);
  const out = low.place(op.results[0] as ValueId);
  const residual = residualValue === undefined ? undefined : low.place(residualValue);
  const side = low.machine.arrays.size.value;
  const format = bufferOf(low, a.buffer).format;
  const inHbm = (place: Place | undefined): place is Place => place !== undefined && bufferOf(low, place.buffer).space === 'hbm';
  const stagedColumns = [out, residual].filter(inHbm).reduce((sum, place) => sum + 2 * formatBytes[bufferOf(low, place.buffer).format], 0);

  const plan = planMatmul(
    {
      rows: rowLimit(low, out.of), k: a.columns, columns: out.columns, gated: op.attrs.gated, elementBytes: formatBytes[format], chunkBytes: Infinity,
      stagedBytesPerRow: inHbm(a) ? rowBytes(low, format, a.columns) : 0, stagedBytesPerRowAndColumn: stagedColumns,
    },
    low.machine,
    low.homes.stageBytes,
  );
  if (plan === undefined) throw new DoesNotFit();

  if (residual !== undefined) sameHome(low, out, residual);
  const nest = new MatmulNest(low, plan, { a, out, residual });
  const name = weight.name;
  const kTiles = pieceTotal(plan.chunks);
  const tilesPerInstance = pieceTotal(plan.groups) * plan.tilesPerUnit * kTiles;
  const groupTiles = plan.groups.size * plan.tilesPerUnit;
  const instances = weight.instances.length;
  const { write } = low;
  const chunkRows = plan.chunks.size * groupTiles;
  const tiles = write.buffer({
    name, space: 'hbm', role: 'weights', format, rows: instances * tilesPerInstance, columns: side * side,
    packing: { kind: 'tiles', weight: name, groupTiles, chunkTiles: plan.chunks.size, gated: op.attrs.gated },
  });
  const ring = write.buffer({ name: `${name}.ring`, space: 'sram', role: 'stage', format, rows: chunkRows, columns: side * side, depth: plan.depth });
  const params = !op.attrs.scaled && bias === undefined ? undefined : nest.params({ kind: 'params', weight: name, bias: bias === undefined ? '' : weightNameOf(low, bias), groupTiles, gated: op.attrs.gated, scale: op.attrs.scaled }, instances);
  const acc = write.buffer({ name: `${name}.acc`, space: 'acc', role: 'stage', format: 'f32', rows: plan.rowTile, columns: groupTiles * side, depth: 2 });
  const scales = rowScale === undefined ? undefined : low.list(rowScale);

  nest.rows((rowRegionOfA, rows) => {
    eachGroup(low, plan, (group) => {
      const nTiles = group.units * plan.tilesPerUnit;
      const paramsRegion = params?.(group.index, nTiles);
      const accRegion = write.region(acc, affine(0), plan.rowTile, nTiles * side, { slot: group.slot });
      eachChunk(low, plan, group, ({ first, chunkTiles, accumulate, ringSlot, kLast, column }) => {
        const count = chunkTiles * nTiles;
        const stage = write.region(ring, affine(0), count, side * side, { slot: ringSlot });
        const whole: RowBound = { max: count, of: 'all' };
        write.op('load', {}, { from: write.region(tiles, instanceRow(low, tilesPerInstance, first), count, side * side), out: stage }, whole);
        write.op('weights', { kTiles: chunkTiles, nTiles, split: plan.split }, { from: stage }, whole);
        const k = (chunkTiles - 1) * side + kLast;
        const operand = { ...rowRegionOfA, column: { base: rowRegionOfA.column.base + column.base, steps: column.steps }, columns: k };
        write.op('multiply', { accumulate, split: plan.split, kTiles: chunkTiles, kLast, nTiles }, { a: operand, acc: accRegion }, rows);
      });
      nest.drain(group, (outRegion, residualRegion) => {
        write.op(
          'drain',
          { activation: op.attrs.activation, scale: op.attrs.scaled, bias: bias !== undefined, gated: op.attrs.gated, split: plan.split, nTiles, nLast: group.last ? plan.nLast : side },
          { acc: accRegion, params: paramsRegion, residual: residualRegion, rowScale: scales, out: outRegion },
          rows,
        );
      });
    });
  });
}

/** The epilogue reads the residual with the output's pitch and format: both lie whole in SRAM, or both in stages. */
function sameHome(low: Lowering, out: Place, residual: Place): void {
  const [to, from] = [bufferOf(low, out.buffer), bufferOf(low, residual.buffer)];
  if (to.format !== from.format) throw new Error(`internal: residual \`${from.name}\` is ${from.format}, the sum ${to.format}`);
  if (to.space !== from.space) throw new MustSpill(to.space === 'sram' ? to.name : from.name);
  if (to.space === 'sram' && to.columns !== from.columns) throw new Error(`internal: residual \`${from.name}\` has ${from.columns} columns, the sum ${to.columns}`);
}

/** A chunk of k: its first weight tile, its tiles, what it does to the accumulators, its ring slot, and where it starts in k. */
export type Chunk = { readonly first: Affine; readonly chunkTiles: number; readonly accumulate: 'no' | 'yes' | 'first'; readonly ringSlot: Affine; readonly kLast: number; readonly column: Affine };
export type Group = { readonly units: number; readonly last: boolean; readonly index: Affine; readonly firstUnit: Affine; readonly slot: Affine };

/** Writes `body` for the column groups of a product, within its row tile. */
export function eachGroup(low: Lowering, plan: MatmulPlan, body: (group: Group) => void): void {
  const { size, full, tail } = plan.groups;
  const total = pieceCount(plan.groups);
  const step = full > 1 ? 1 : 0;
  low.write.loop(2, 'groups', full, () =>
    body({ units: size, last: tail === 0 && full === 1, index: affine(0, 0, 0, step), firstUnit: affine(0, 0, 0, step * size), slot: affine(0, 0, total, step) }),
  );
  if (tail > 0) body({ units: tail, last: true, index: affine(full), firstUnit: affine(full * size), slot: affine(full, 0, total) });
}

/** Writes `body` for the chunks of k of a column group. */
export function eachChunk(low: Lowering, plan: MatmulPlan, group: Group, body: (chunk: Chunk) => void): void {
  const side = low.machine.arrays.size.value;
  const nTiles = group.units * plan.tilesPerUnit;
  const tilesPerUnit = plan.tilesPerUnit * pieceTotal(plan.chunks);
  const { full, size, tail } = plan.chunks;
  const chunksPerGroup = pieceCount(plan.chunks);
  const groupStart: Affine = { base: group.firstUnit.base * tilesPerUnit, steps: scale(group.firstUnit.steps, tilesPerUnit) };
  const ringStart: Affine = { base: group.slot.base * chunksPerGroup, steps: scale(group.slot.steps, chunksPerGroup) };
  const along = (at: Affine, step: number): Affine => ({ base: at.base, steps: [at.steps[0], at.steps[1], at.steps[2], step] });
  const looped = full > 1 ? 1 : 0;
  low.write.loop(3, 'chunks', full, () =>
    body({ first: along(groupStart, looped * size * nTiles), chunkTiles: size, accumulate: 'first', ringSlot: along(ringStart, looped), kLast: side, column: affine(0, 0, 0, 0, looped * size * side) }),
  );
  if (tail > 0) {
    body({ first: shift(groupStart, full * size * nTiles), chunkTiles: tail, accumulate: full === 0 ? 'no' : 'yes', ringSlot: shift(ringStart, full), kLast: plan.kLast, column: affine(full * size * side) });
  }
}

/** The loops around a product, and the stages of its operands. */
class MatmulNest {
  readonly #low: Lowering;
  readonly #plan: MatmulPlan;
  readonly #sides: { readonly a: Place; readonly out: Place; readonly residual: Place | undefined };
  readonly #rows: RowBound;

  constructor(low: Lowering, plan: MatmulPlan, sides: { readonly a: Place; readonly out: Place; readonly residual: Place | undefined }) {
    this.#low = low;
    this.#plan = plan;
    this.#sides = sides;
    this.#rows = { max: plan.rowTile, of: sides.out.of };
  }

  rows(body: (a: Region, rows: RowBound) => void): void {
    const { write } = this.#low;
    const { rowTile, rowTiles } = this.#plan;
    const { a } = this.#sides;
    const row = affine(0, 0, rowTile);
    const home = rowsOf(this.#low, a, row, rowTile, rowTile * rowTiles);
    const staged = bufferOf(this.#low, a.buffer);
    if (staged.space !== 'hbm') return write.loop(1, 'rows', rowTiles, () => body(home, this.#rows));
    const stage = write.buffer({ name: `${staged.name}.stage`, space: 'sram', role: 'stage', format: staged.format, rows: rowTile, columns: a.columns });
    const region = write.region(stage, affine(0), rowTile, a.columns);
    write.loop(1, 'rows', rowTiles, () => {
      write.op('load', {}, { from: home, out: region }, this.#rows);
      body(region, this.#rows);
    });
  }

  /** Declares the column parameters of a weight; returns how to bring a group's into SRAM. */
  params(packing: Extract<Packing, { kind: 'params' }>, instances: number): (index: Affine, nTiles: number) => Region {
    const { write, machine } = this.#low;
    const side = machine.arrays.size.value;
    const groups = pieceCount(this.#plan.groups);
    const parts = (packing.scale ? 1 : 0) + (packing.bias === '' ? 0 : 1);
    const columns = parts * packing.groupTiles * side;
    const home = write.buffer({ name: `${packing.weight}.params`, space: 'hbm', role: 'weights', format: 'f32', rows: instances * groups, columns, packing });
    const stage = write.buffer({ name: `${packing.weight}.params.stage`, space: 'sram', role: 'stage', format: 'f32', rows: 1, columns, depth: 2 });
    return (index, nTiles) => {
      const slot: Affine = { base: index.base, steps: [0, groups, index.steps[2], 0] };
      const region = write.region(stage, affine(0), 1, parts * nTiles * side, { slot });
      write.op('load', {}, { from: write.region(home, instanceRow(this.#low, groups, index), 1, parts * nTiles * side), out: region }, { max: 1, of: 'all' });
      return region;
    };
  }

  /** Brings a group's residual, lets `emit` drain to where the output lives or to a stage, and stores the stage. */
  drain(group: Group, emit: (out: Region, residual: Region | undefined) => void): void {
    const { write, machine } = this.#low;
    const { rowTile, rowTiles, nLast } = this.#plan;
    const side = machine.arrays.size.value;
    const columns = (group.units - 1) * side + (group.last ? nLast : side);
    const row = affine(0, 0, rowTile);
    const home = (place: Place): Region =>
      write.region(place.buffer, row, rowTile, columns, { column: { base: place.column + group.firstUnit.base * side, steps: scale(group.firstUnit.steps, side) }, reach: rowTile * rowTiles });
    const staged = (place: Place): Region | undefined => {
      const buffer = bufferOf(this.#low, place.buffer);
      if (buffer.space !== 'hbm') return undefined;
      return write.region(this.#stageOf(place, `${buffer.name}.stage`), affine(0), rowTile, columns, { slot: group.slot });
    };
    const { out, residual } = this.#sides;
    const residualStage = residual === undefined ? undefined : staged(residual);
    if (residual !== undefined && residualStage !== undefined) write.op('load', {}, { from: home(residual), out: residualStage }, this.#rows);
    const outStage = staged(out);
    emit(outStage ?? home(out), residual === undefined ? undefined : (residualStage ?? home(residual)));
    if (outStage !== undefined) write.op('store', {}, { from: outStage, out: home(out) }, this.#rows);
  }

  readonly #stages = new Map<Place, BufferId>();

  #stageOf(place: Place, name: string): BufferId {
    const known = this.#stages.get(place);
    if (known !== undefined) return known;
    const { write, machine } = this.#low;
    const columns = this.#plan.groups.size * machine.arrays.size.value;
    const made = write.buffer({ name, space: 'sram', role: 'stage', format: bufferOf(this.#low, place.buffer).format, rows: this.#plan.rowTile, columns, depth: 2 });
    this.#stages.set(place, made);
    return made;
  }
}

export const scale = (steps: Affine['steps'], by: number): Affine['steps'] => [steps[0] * by, steps[1] * by, steps[2] * by, steps[3] * by];

