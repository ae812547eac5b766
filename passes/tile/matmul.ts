import type { GraphOp, OpOf } from '../../ir/graph/module.ts';
import type { Affine, BufferId, Packing, Region, RowBound } from '../../ir/tile/module.ts';
import type { TensorType, ValueId } from '../../ir/types.ts';
import type { Weight } from '../../ir/weights.ts';
import { type Format, formatBytes } from '../../isa-spec/fields.ts';
import { cutProduct, kSplitOf, type MatmulPlan, type MatmulShape, pieceCount, pieceTotal, slotsOf } from '../plan/matmul.ts';
import { sizeOf } from '../rewrite.ts';
import { blocksIn, gatherStrips, moveScales, part, type Pieces, piecesOfCodes, quantisePieces, scaleColumns, soleQuantiser, stripGather } from './blocks.ts';
import { bufferOf, DoesNotFit, instanceRow, type Lowering, MustSpill, type Place, rowBytes, rowLimit, rowsOf } from './lowering.ts';
import { countOf } from './storage.ts';
import { weightNameOf, weightOf } from './weights.ts';
import { add, affine, shift, times } from './writer.ts';

/**
 * linear -> weight tiles streamed through the arrays: row tiles; in each, column groups; in each, k chunks accumulate and
 * one drain finishes. Weights that are held the first part of a step brings, and leaves in slots of their own for the others. Operands in HBM pass through stages. What is only read to be quantised in blocks is so as it is drained, and
 * is never whole.
 */
export function lowerLinear(low: Lowering, op: OpOf<'linear'>): void {
  const [x, w, ...rest] = op.operands as [ValueId, ValueId, ...ValueId[]];
  const next = (present: boolean): ValueId | undefined => (present ? rest.shift() : undefined);
  const scalesOfX = next(op.attrs.scaled);
  next(op.attrs.scaled); // the column scales travel with the weight's parameters
  const bias = next(op.attrs.bias);
  const residualValue = next(op.attrs.residual);
  const weight = weightOf(low, w);
  const a = low.place(x);
  const inBlocks = scalesOfX !== undefined && (low.module.types[scalesOfX] as TensorType).shape.length === 2;
  const operands: readonly [Place, ...Place[]] = inBlocks ? [a, low.place(scalesOfX)] : [a];
  const side = low.machine.arrays.size.value;
  const format = bufferOf(low, a.buffer).format;
  const inHbm = (place: Place): boolean => bufferOf(low, place.buffer).space === 'hbm';
  const bytesOf = (place: Place): number => formatBytes[bufferOf(low, place.buffer).format];

  const result = op.results[0] as ValueId;
  const type = low.module.types[result] as TensorType;
  const shape = {
    rows: rowLimit(low, countOf(type)), k: a.columns, columns: sizeOf(type.shape[1]), gated: op.attrs.gated, format, chunkBytes: undefined,
    stagedBytesPerRow: operands.filter(inHbm).reduce((sum, place) => sum + rowBytes(low, bufferOf(low, place.buffer).format, place.columns), 0),
    chunkTiles: inBlocks ? low.pieces.columns / side : undefined,
  };
  // Values that pass through stages keep the queue that would help with the weights busy.
  const beside = (made: readonly Place[]): Pick<MatmulShape, 'beside'> => ({ beside: [...operands, ...made].some(inHbm) ? undefined : low.layer.beside });
  const quantiser = residualValue === undefined ? soleQuantiser(low, result, true) : undefined;
  const into = quantiser === undefined ? undefined : intoBlocks(low, quantiser);
  const cut = (what: string, of: MatmulShape): MatmulPlan | undefined => {
    const settled = low.settle('product', what, of);
    return settled === undefined ? undefined : cutProduct(of, settled, low.machine);
  };
  const drained = into === undefined ? undefined : lastApart(cut(drainedName(weight), { ...shape, stagedBytesPerRowAndColumn: into.stagedBytes, ...beside([into.codes, into.scales]), groupStep: Math.max(1, into.pieces.columns / side) }));
  const whole = drained === undefined ? { out: low.place(result), residual: residualValue === undefined ? undefined : low.place(residualValue) } : undefined;
  const staged = whole === undefined ? [] : [whole.out, ...(whole.residual === undefined ? [] : [whole.residual])].filter(inHbm);
  const plan = drained ?? cut(weight.name, { ...shape, stagedBytesPerRowAndColumn: staged.reduce((sum, place) => sum + 2 * bytesOf(place), 0), ...beside(staged), groupStep: 1 });
  if (plan === undefined) throw new DoesNotFit();
  const what = drained === undefined ? weight.name : drainedName(weight);
  if (whole?.residual !== undefined) sameHome(low, whole.out, whole.residual);
  if (drained !== undefined) for (const done of [quantiser as GraphOp, ...(into?.gather?.ops ?? [])]) low.done.add(done);
  if (drained !== undefined && into?.gather === undefined && isOneGroup(drained)) low.madeTogether.add((quantiser as GraphOp).results[0] as ValueId);
  const nest = new MatmulNest(low, plan, operands, { max: plan.rowTile, of: countOf(type) });
  const name = weight.name;
  const kTiles = pieceTotal(plan.chunks);
  const tilesPerInstance = pieceTotal(plan.groups) * plan.tilesPerUnit * kTiles;
  const groupTiles = plan.groups.size * plan.tilesPerUnit;
  const instances = weight.instances.length;
  const { write } = low;
  const chunkRows = plan.chunks.size * groupTiles;
  const tiles = write.buffer({
    name, space: 'hbm', role: 'weights', format, rows: instances * tilesPerInstance, columns: side * side,
    packing: { kind: 'tiles', weight: name, groupTiles, gated: op.attrs.gated },
  });
  const chunks = slotsOf(plan);
  const isHeld = low.layer.looped && low.homes.held.includes(what);
  const isBrought = !isHeld || low.part?.first === 0;
  const slots = isHeld ? { name: `${name}${heldSuffix}`, count: isBrought ? chunks : 0, depth: chunks } : { name: `weights.${format}`, count: plan.rowTiles * chunks, depth: low.homes.ringDepth };
  const ring = write.slots(slots.name, slots.count, () => ({ format, rows: chunkRows, columns: side * side, depth: slots.depth }));
  const params = !op.attrs.scaled && bias === undefined ? undefined : nest.params({ kind: 'params', weight: name, bias: bias === undefined ? '' : weightNameOf(low, bias), groupTiles, gated: op.attrs.gated, scale: op.attrs.scaled }, instances);
  const [acc] = accumulators(low, [plan], plan.rowTiles) as [(nTiles: number, group: Group) => Region];
  const rowScale = scalesOfX === undefined ? undefined : inBlocks ? low.onesOf(countOf(type)) : low.list(scalesOfX);

  nest.rows(([rowRegionOfA, rowScales], rows) => {
    eachGroup(low, plan, (group) => {
      const nTiles = group.units * plan.tilesPerUnit;
      const paramsRegion = params?.(group.index, nTiles);
      const accRegion = acc(nTiles, group);
      eachChunk(low, plan, group, ({ first, chunkTiles, accumulate, ringSlot, kLast, column }) => {
        const count = chunkTiles * nTiles;
        const stage = write.region(ring.buffer, affine(0), count, side * side, { ...(slots.depth === 1 ? {} : { slot: shift(ringSlot, ring.first) }), reach: chunkRows });
        const whole: RowBound = { max: count, of: 'all' };
        const bring = (from: number, size: number): void =>
          write.op('load', {}, { from: write.region(tiles, instanceRow(low, tilesPerInstance, shift(first, from)), size, side * side), out: { ...stage, row: affine(from), rows: size } }, { max: size, of: 'all' });
        const aside = group.looped && plan.aside > 0 ? Math.max(1, Math.floor((count * plan.aside) / chunkRows)) : 0;
        if (isBrought) {
          bring(0, count - aside);
          if (aside > 0) bring(count - aside, aside);
        }
        const ones = inBlocks ? low.ones(blocksIn(chunkTiles * side), blocksIn(nTiles * side)) : undefined;
        const kSplit = kSplitOf(plan, nTiles, chunkTiles);
        write.op('weights', { kTiles: chunkTiles, nTiles, split: plan.split, kSplit }, { from: stage, scales: ones }, whole);
        const k = (chunkTiles - 1) * side + kLast;
        const scales = rowScales === undefined ? undefined : part(rowScales, times(column, low.pieces.scales / low.pieces.columns), blocksIn(k));
        write.op('multiply', { accumulate, split: plan.split, kSplit, kTiles: chunkTiles, kLast, nTiles }, { a: part(rowRegionOfA, column, k), scales, acc: accRegion }, rows);
      }, !inBlocks ? 0 : low.madeTogether.has(x) ? 1 : Math.floor(plan.chunks.full / 2));
      const drain = (outRegion: Region, residualRegion: Region | undefined): void => {
        write.op(
          'drain',
          { activation: op.attrs.activation, scale: op.attrs.scaled, bias: bias !== undefined, gated: op.attrs.gated, split: plan.split, nTiles, nLast: group.last ? plan.nLast : side },
          { acc: accRegion, params: paramsRegion, residual: residualRegion, rowScale, out: outRegion },
          rows,
        );
      };
      if (whole === undefined) nest.quantise(group, into as IntoBlocks, drain);
      else nest.drain(group, whole, drain);
    });
  });
}

/** What names of rings of weights that are held end in. */
export const heldSuffix = '.held';

/** What is settled of a product that is quantised as it is drained. */
const drainedName = ({ name }: Pick<Weight, 'name'>): string => `${name} to codes`;

/**
 * Slots of the ring of accumulators for products that take turns, `turns` times over; of each, those of a column group. It is one ring for the whole step, so that the first group
 * of a product need not wait until the last one of the product before is drained.
 */
export function accumulators({ write, machine }: Lowering, plans: readonly MatmulPlan[], turns: number): readonly ((nTiles: number, group: Group) => Region)[] {
  const side = machine.arrays.size.value;
  const groups = plans.map((plan) => pieceCount(plan.groups));
  const all = groups.reduce((sum, own) => sum + own, 0);
  const columns = Math.max(...plans.map((plan) => plan.groups.size * plan.tilesPerUnit * side));
  const { buffer, first } = write.slots('acc', turns * all, () => ({ space: 'acc', format: 'f32', rows: 1, columns, depth: 2 }));
  write.widen(buffer, columns);
  return plans.map(({ rowTile }, i) => {
    const from = first + groups.slice(0, i).reduce((sum, own) => sum + own, 0);
    return (nTiles, { index }) => write.region(buffer, affine(0), rowTile, nTiles * side, { slot: { base: from + index.base, steps: [0, all, index.steps[2], 0] }, reach: rowTile });
  });
}

/** The last column group apart from those that are looped over: what is multiplied by others need not wait for it. */
function lastApart(plan: MatmulPlan | undefined): MatmulPlan | undefined {
  if (plan === undefined || plan.groups.tail > 0 || plan.groups.full < 2) return plan;
  const { size, full } = plan.groups;
  return { ...plan, groups: { size, full: full - 1, tail: size }, tailChunks: plan.chunks };
}

/** Whether all columns are made at once. */
const isOneGroup = ({ groups }: MatmulPlan): boolean => pieceCount(groups) === 1;

/** Where codes and scales of blocks go, in what format what is quantised comes, and how many bytes a column of a row takes in stages. */
type IntoBlocks = { readonly codes: Place; readonly scales: Place; readonly format: Format; readonly pieces: Pieces; readonly gather: Gather | undefined; readonly stagedBytes: number };
/** Codes and scales are gathered in strips, to these places, as they are made. */
type Gather = { readonly ops: readonly GraphOp[]; readonly parts: number; readonly codes: Place; readonly scales: Place; readonly tags: { readonly codes: number; readonly scales: number } };

function intoBlocks(low: Lowering, op: OpOf<'quantise'>): IntoBlocks {
  const gather = gatherOf(low, op);
  const [codes, scales] = gather === undefined ? (op.results.map(low.place) as [Place, Place]) : [gather.codes, gather.scales];
  const pieces = piecesOfCodes(low, op.results[0] as ValueId);
  const format = (low.module.types[op.operands[0] as ValueId] as TensorType).dtype as Format;
  const inHbm = (place: Place): boolean => bufferOf(low, place.buffer).space === 'hbm';
  // What is gathered is staged in place of codes of its own, which would be a value.
  const perColumn = formatBytes[format] + (inHbm(codes) ? formatBytes.e4m3 : 0) + (inHbm(scales) ? (formatBytes.f32 * pieces.scales) / pieces.columns : 0);
  return { codes, scales, format, pieces, gather, stagedBytes: 2 * perColumn };
}

/** How codes are gathered as they are made: in strips, to SRAM. */
function gatherOf(low: Lowering, { results }: OpOf<'quantise'>): Gather | undefined {
  const ops = results.map((value) => stripGather(low, value));
  const [ofCodes, ofScales] = ops;
  if (ofCodes === undefined || ofScales === undefined) return undefined;
  const [codes, scales] = [ofCodes, ofScales].map((one) => low.place(one.results[0] as ValueId)) as [Place, Place];
  if ([codes, scales].some(({ buffer }) => bufferOf(low, buffer).space === 'hbm')) return undefined;
  return { ops: [ofCodes, ofScales], parts: ofCodes.attrs.parts, codes, scales, tags: { codes: low.tag(), scales: low.tag() } };
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
export type Group = { readonly units: number; readonly last: boolean; readonly index: Affine; readonly firstUnit: Affine; readonly slot: Affine; readonly looped: boolean };

/** Writes `body` for the column groups of a product, within its row tile. */
export function eachGroup(low: Lowering, plan: MatmulPlan, body: (group: Group) => void): void {
  const { size, full, tail } = plan.groups;
  const total = pieceCount(plan.groups);
  const single = (at: number, units: number): void => body({ units, last: at === total - 1, index: affine(at), firstUnit: affine(at * size), slot: affine(at, 0, total), looped: false });
  const lead = plan.leading || full === 1 ? 1 : 0;
  if (lead > 0) single(0, size);
  low.write.loop(2, 'groups', full - lead, () => body({ units: size, last: false, index: affine(lead, 0, 0, 1), firstUnit: affine(lead * size, 0, 0, size), slot: affine(lead, 0, total, 1), looped: true }));
  if (tail > 0) single(full, tail);
}

/** Writes `body` for the chunks of k of a column group; so many of the first `ahead` of the others: they need not wait for what those multiply. */
export function eachChunk(low: Lowering, plan: MatmulPlan, group: Group, body: (chunk: Chunk) => void, ahead = 0): void {
  const side = low.machine.arrays.size.value;
  const nTiles = group.units * plan.tilesPerUnit;
  const tilesPerUnit = plan.tilesPerUnit * pieceTotal(plan.chunks);
  const { full, size, tail } = group.units === plan.groups.size ? plan.chunks : plan.tailChunks;
  const groupStart = times(group.firstUnit, tilesPerUnit);
  const ringStart = add(times(group.index, pieceCount(plan.chunks)), affine(0, 0, slotsOf(plan)));
  const along = (at: Affine, step: number): Affine => ({ base: at.base, steps: [at.steps[0], at.steps[1], at.steps[2], step] });
  const run = (from: number, count: number): void => {
    const looped = count > 1 ? 1 : 0;
    low.write.loop(3, 'chunks', count, () =>
      body({ first: along(shift(groupStart, from * size * nTiles), looped * size * nTiles), chunkTiles: size, accumulate: from === 0 ? 'first' : 'yes', ringSlot: along(shift(ringStart, from), looped), kLast: side, column: affine(from * size * side, 0, 0, 0, looped * size * side) }),
    );
  };
  const first = Math.min(ahead, full);
  run(0, first);
  run(first, full - first);
  if (tail > 0) {
    body({ first: shift(groupStart, full * size * nTiles), chunkTiles: tail, accumulate: full === 0 ? 'no' : 'yes', ringSlot: shift(ringStart, full), kLast: plan.kLast, column: affine(full * size * side) });
  }
}

/** The loops around a product, and the stages of its operands. */
class MatmulNest {
  readonly #low: Lowering;
  readonly #plan: MatmulPlan;
  /** What is multiplied: rows, and their scales if those are of blocks. */
  readonly #operands: readonly [Place, ...Place[]];
  readonly #rows: RowBound;

  constructor(low: Lowering, plan: MatmulPlan, operands: readonly [Place, ...Place[]], rows: RowBound) {
    this.#low = low;
    this.#plan = plan;
    this.#operands = operands;
    this.#rows = rows;
  }

  rows(body: (operands: readonly [Region, Region | undefined], rows: RowBound) => void): void {
    const { write } = this.#low;
    const { rowTile, rowTiles } = this.#plan;
    const row = affine(0, 0, rowTile);
    const sources = this.#operands.map((place) => {
      const home = rowsOf(this.#low, place, row, rowTile, rowTile * rowTiles);
      const { space, name, format } = bufferOf(this.#low, place.buffer);
      if (space !== 'hbm') return { home, region: home };
      const stage = write.buffer({ name: `${name}.stage`, space: 'sram', role: 'stage', format, rows: rowTile, columns: place.columns });
      return { home, region: write.region(stage, affine(0), rowTile, place.columns) };
    });
    write.loop(1, 'rows', rowTiles, () => {
      sources.forEach(({ home, region }, i) => {
        if (region === home) return;
        if (i === 0) write.op('load', {}, { from: home, out: region }, this.#rows);
        else moveScales(this.#low, 'load', { from: home, out: region }, { columns: this.#operands[0].columns, rows: this.#rows });
      });
      body(sources.map(({ region }) => region) as unknown as readonly [Region, Region | undefined], this.#rows);
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
    const ring = write.slots('params', this.#plan.rowTiles * groups, () => ({ format: 'f32', rows: 1, columns, depth: Math.max(2, this.#low.homes.ringDepth) }));
    write.widen(ring.buffer, columns);
    return (index, nTiles) => {
      const slot: Affine = { base: ring.first + index.base, steps: [0, groups, index.steps[2], 0] };
      const region = write.region(ring.buffer, affine(0), 1, parts * nTiles * side, { slot });
      write.op('load', {}, { from: write.region(home, instanceRow(this.#low, groups, index), 1, parts * nTiles * side), out: region }, { max: 1, of: 'all' });
      return region;
    };
  }

  /** Brings a group's residual, lets `emit` drain to where the output lives or to a stage, and stores the stage. */
  drain(group: Group, { out, residual }: { readonly out: Place; readonly residual: Place | undefined }, emit: (out: Region, residual: Region | undefined) => void): void {
    const { write } = this.#low;
    const columns = this.#columnsOf(group);
    const from = residual === undefined ? undefined : this.#part(group, residual, columns);
    const lot = residual === undefined ? undefined : this.#low.parkedAt(residual);
    const source = lot === undefined ? from?.home : this.#part(group, lot, columns).home;
    if (from !== undefined && source !== undefined && source !== from.local) write.op('load', {}, { from: source, out: from.local }, this.#rows);
    const to = this.#part(group, out, columns);
    emit(to.local, from?.local);
    this.#store(to);
  }

  /** Lets `emit` drain to a stage, and quantises what is there, in blocks, to where codes and scales live. */
  quantise(group: Group, { codes, scales, format, pieces, gather }: IntoBlocks, emit: (out: Region, residual: undefined) => void): void {
    const { write } = this.#low;
    const columns = this.#columnsOf(group);
    const stage = this.#stageOf(`${bufferOf(this.#low, codes.buffer).name}.drained`, format, columns.most);
    const x = write.region(stage, affine(0), this.#plan.rowTile, columns.size, { slot: group.slot });
    emit(x, undefined);
    const ofScales = { first: times(columns.first, pieces.scales / pieces.columns), size: scaleColumns(columns.size, pieces), most: scaleColumns(columns.most, pieces) };
    if (gather !== undefined) return this.#gather(group, { x, pieces, columns, ofScales }, gather);
    const out = this.#part(group, codes, columns);
    const found = this.#part(group, scales, ofScales);
    quantisePieces(this.#low, { x, out: out.local, scales: found.local }, this.#rows, pieces, isOneGroup(this.#plan) ? 1 : 0);
    this.#store(out);
    if (found.local !== found.home) moveScales(this.#low, 'store', { from: found.local, out: found.home }, { columns: columns.size, rows: this.#rows }, pieces);
  }

  /** Quantises what this chip has made of a group's strips, and gathers them from all. */
  #gather(group: Group, { x, pieces, columns, ofScales }: { readonly x: Region; readonly pieces: Pieces; readonly columns: Columns; readonly ofScales: Columns }, { parts, codes, scales, tags }: Gather): void {
    const { write } = this.#low;
    const name = bufferOf(this.#low, codes.buffer).name;
    const own = (what: string, format: Format, { size, most }: Columns): Region => write.region(this.#stageOf(`${name}.${what}`, format, most), affine(0), this.#plan.rowTile, size, { slot: group.slot });
    const [made, found] = [own('strips', 'e4m3', columns), own('strips.scales', 'f32', ofScales)];
    quantisePieces(this.#low, { x, out: made, scales: found }, this.#rows, pieces);
    const strips = columns.size / pieces.columns;
    const whole = this.#part(group, codes, { first: times(columns.first, parts), size: columns.size * parts, most: columns.most * parts });
    gatherStrips(this.#low, { from: made, out: whole.local }, { strips, parts, tag: tags.codes, isScales: false, rows: this.#rows });
    gatherStrips(this.#low, { from: found, out: this.#part(group, scales, ofScales).local }, { strips, parts, tag: tags.scales, isScales: true, rows: this.#rows });
  }

  /** The columns a group makes; `most`: any group. */
  #columnsOf({ units, last, firstUnit }: Group): Columns {
    const side = this.#low.machine.arrays.size.value;
    return { first: times(firstUnit, side), size: (units - 1) * side + (last ? this.#plan.nLast : side), most: this.#plan.groups.size * side };
  }

  /** A group's columns of a place, and where units find them: there, or in a stage. */
  #part(group: Group, place: Place, { first, size, most }: Columns): Part {
    const { write } = this.#low;
    const { rowTile, rowTiles } = this.#plan;
    const home = write.region(place.buffer, affine(place.row, 0, rowTile), rowTile, size, { column: add(affine(place.column), first), reach: place.row + rowTile * rowTiles });
    const { space, name, format } = bufferOf(this.#low, place.buffer);
    return { home, local: space === 'hbm' ? write.region(this.#stageOf(`${name}.stage`, format, most), affine(0), rowTile, size, { slot: group.slot }) : home };
  }

  #store({ home, local }: Part): void {
    if (local !== home) this.#low.write.op('store', {}, { from: local, out: home }, this.#rows);
  }

  readonly #stages = new Map<string, BufferId>();

  #stageOf(name: string, format: Format, columns: number): BufferId {
    const known = this.#stages.get(name);
    if (known !== undefined) return known;
    const made = this.#low.write.buffer({ name, space: 'sram', role: 'stage', format, rows: this.#plan.rowTile, columns, depth: 2 });
    this.#stages.set(name, made);
    return made;
  }
}

type Columns = { readonly first: Affine; readonly size: number; readonly most: number };
type Part = { readonly home: Region; readonly local: Region };

