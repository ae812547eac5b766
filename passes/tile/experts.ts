import type { OpOf } from '../../ir/graph/module.ts';
import type { BufferId, Region, RowBound } from '../../ir/tile/module.ts';
import type { ValueId } from '../../ir/types.ts';
import { binsOf } from '../../isa-spec/bins.ts';
import { formatBytes, type Format } from '../../isa-spec/fields.ts';
import type { Activation } from '../../isa-spec/instructions.ts';
import { type BinsShape, shapesOfBins } from '../plan/experts.ts';
import { cutProduct, kSplitOf, type MatmulPlan, pieceCount, pieceTotal } from '../plan/matmul.ts';
import { bufferOf, DoesNotFit, instanceRow, listBuffer, type Lowering, type Place, rowBytes, rowLimit, rowsAtMost, rowsOf, wholeList } from './lowering.ts';
import { accumulators, eachChunk, eachGroup, type Group } from './matmul.ts';
import { tableOf } from './rows.ts';
import { weightNameOf, weightOf } from './weights.ts';
import { affine, times } from './writer.ts';

/**
 * experts -> a choice for every row of the step at once, and its pairs of row and expert in bins of one expert each: a loop over bins is
 * static, whatever is chosen. In each, rows gathered from HBM, weights gathered by the bin's expert, two products, results
 * stored in HBM as they lie. Then each row's results are gathered by their pairs' places, and added up. Where chips have experts of their own, what one has no place for is zeros,
 * and the sum over the chips is what the one that has made of it.
 */
export function lowerExperts(low: Lowering, op: OpOf<'experts'>, tag: number): void {
  const { write } = low;
  const { experts, k, scores, normalise, activation, scaled, biased, bias, parts, whole } = op.attrs;
  const [divided, group] = whole ? [1, parts] : [parts, 1];
  const [xValue, logits, gates, downs, ...lists] = op.operands as [ValueId, ValueId, ValueId, ValueId, ...ValueId[]];
  const choiceBias = biased ? lists[scaled ? 2 : 0] : undefined;
  const biases = bias ? lists.slice(-2) : [];
  const [x, out] = [low.place(xValue), low.place(op.results[0] as ValueId)];
  const mixing = mixTiling(low, { limit: rowLimit(low, out.of), k, group, out });
  // Of the last row tile too there is a choice for every row.
  const limit = mixing.rowTile * mixing.rowTiles;
  const name = `experts.${op.results[0]}`;
  const format = scaled ? 'e4m3' : 'bf16';
  const inner = weightOf(low, downs).shape[1] as number;
  const { size, ringDepth, gate: gatePlan, down: downPlan } = binning(low, { rows: limit, experts, k, group, width: x.columns, out: out.columns * group, inner, parts: divided, format });
  const bins = binsOf({ max: limit, k, experts, size, group });

  const list = (what: string, of: 'i32' | 'f32', words: number): Region => wholeList(write, listBuffer(write, `${name}.${what}`, of, words));
  const weights = listBuffer(write, `${name}.weights`, 'f32', limit * k);
  const [indices, offsets, owners] = [list('indices', 'i32', limit * k), list('offsets', 'i32', experts + 1), list('owners', 'i32', bins)];
  const [sources, places] = [list('sources', 'i32', bins * size), list('places', 'i32', limit * k)];
  const step: RowBound = { max: limit, of: out.of };
  const routed = { indices, weights: wholeList(write, weights), offsets };
  write.op('route', { scores, normalise, experts, k }, { x: inSram(low, low.place(logits), limit), biases: choiceBias === undefined ? undefined : choiceList(low, choiceBias, name), ...routed }, step);
  write.op('bin', { experts, k, size, group }, { indices, offsets, sources, places, owners }, step);

  const rowsIn = tableOf(low, x);
  const made = write.buffer({ name: `${name}.made`, space: 'hbm', role: 'value', format: 'bf16', rows: bins * size, columns: out.columns * group });
  const rows: RowBound = { max: size, of: 'all' };
  const stage = (what: string, of: Format, columns: number, depth: number): Region =>
    write.region(write.buffer({ name: `${name}.${what}`, space: 'sram', role: 'stage', format: of, rows: size, columns, depth }), affine(0), size, columns, { slot: affine(0, 0, depth === 1 ? 0 : 1) });
  const quantised = (what: string, from: Region): { readonly a: Region; readonly rowScale: Region | undefined } => {
    if (!scaled) return { a: from, rowScale: undefined };
    const [a, rowScale] = [stage(`${what}.codes`, 'e4m3', from.columns, 1), list(`${what}.scales`, 'f32', bins * size)];
    return { a, rowScale };
  };
  const own = stage('rows', bufferOf(low, x.buffer).format, x.columns, 2);
  const hidden = stage('inner', 'bf16', inner, 1);
  const part = divided === 1 ? hidden : stage('part', 'bf16', inner / divided, 1);
  const answer = stage('answers', 'bf16', out.columns * group, 2);
  const [first, second] = [quantised('rows', own), quantised('inner', hidden)];
  const [gateSums, downSums] = accumulators(low, [gatePlan, downPlan], bins) as [Sums, Sums];
  const products = [
    product(low, { weight: gates, bias: biases[0], plan: gatePlan, acc: gateSums, ringDepth, gated: true, activation, scaled, experts: experts / group, owners, format }),
    product(low, { weight: downs, bias: biases[1], plan: downPlan, acc: downSums, ringDepth, gated: false, activation: 'none', scaled, experts: experts / group, owners, format }),
  ] as const;
  write.loop(1, 'bins', bins, () => {
    write.op('gather', { skip: true }, { table: write.region(rowsIn, affine(0), rowsAtMost(low, x.of), x.columns), index: sources, out: own }, rows);
    if (first.rowScale !== undefined) write.op('quantise', {}, { x: own, out: first.a, rowScale: first.rowScale }, rows);
    products[0](first.a, first.rowScale, part, rows);
    if (divided > 1) write.op('allgather', { parts, tag }, { from: part, out: hidden }, rows);
    if (second.rowScale !== undefined) write.op('quantise', {}, { x: hidden, out: second.a, rowScale: second.rowScale }, rows);
    products[1](second.a, second.rowScale, answer, rows);
    write.op('store', {}, { from: answer, out: write.region(made, affine(0, 0, size), size, out.columns * group) }, rows);
  });
  mixRows(low, { name, k, group, tag, made: write.region(made, affine(0), bins * size, out.columns * group), places, weights, out, ...mixing });
}

type Product = {
  readonly weight: ValueId; readonly bias: ValueId | undefined; readonly plan: MatmulPlan; readonly acc: Sums; readonly ringDepth: number; readonly gated: boolean; readonly activation: Activation;
  readonly scaled: boolean; readonly experts: number; readonly owners: Region; readonly format: Format;
};

/** Where a product sums up a column group. */
type Sums = (nTiles: number, group: Group) => Region;

/** Declares the weights of a product; returns how to write it for a bin: rows of `a` times those of the bin's owner. */
function product(low: Lowering, { weight: value, bias, plan, acc, ringDepth, gated, activation, scaled, experts, owners, format }: Product): (a: Region, rowScale: Region | undefined, out: Region, rows: RowBound) => void {
  const { write } = low;
  const side = low.machine.arrays.size.value;
  const weight = weightOf(low, value);
  const groupTiles = plan.groups.size * plan.tilesPerUnit;
  const [groups, parts] = [pieceCount(plan.groups), (scaled ? 1 : 0) + (bias === undefined ? 0 : 1)];
  const common = { weight: weight.name, experts, groupTiles, gated };
  const rows = weight.instances.length * experts;
  const chunkElements = plan.chunks.size * groupTiles * side * side;
  const perGroup = parts * groupTiles * side;
  const tiles = write.buffer({
    name: weight.name, space: 'hbm', role: 'weights', format, rows, columns: pieceTotal(plan.groups) * plan.tilesPerUnit * pieceTotal(plan.chunks) * side * side,
    packing: { kind: 'expertTiles', ...common },
  });
  const ring = write.buffer({ name: `${weight.name}.ring`, space: 'sram', role: 'stage', format, rows: 1, columns: chunkElements, depth: ringDepth });
  const params = parts === 0 ? undefined : {
    home: write.buffer({ name: `${weight.name}.params`, space: 'hbm', role: 'weights', format: 'f32', rows, columns: groups * perGroup, packing: { kind: 'expertParams', ...common, bias: bias === undefined ? '' : weightNameOf(low, bias), scale: scaled } }),
    stage: write.buffer({ name: `${weight.name}.params.stage`, space: 'sram', role: 'stage', format: 'f32', rows: 1, columns: perGroup, depth: 2 }),
  };
  const ofOwner = (home: BufferId, out: BufferId, columns: number, at: { readonly from: ReturnType<typeof affine>; readonly slot: ReturnType<typeof affine> }): Region => {
    const staged = write.region(out, affine(0), 1, columns, bufferOf(low, out).depth === 1 ? {} : { slot: at.slot });
    write.op('gather', { skip: true }, { table: write.region(home, instanceRow(low, experts), experts, columns, { column: at.from }), index: owners, out: staged }, { max: 1, of: 'all' });
    return staged;
  };

  return (a, rowScale, out, rowsOfBin) =>
    eachGroup(low, plan, (group) => {
      const nTiles = group.units * plan.tilesPerUnit;
      const slot = { base: group.index.base, steps: [0, groups, group.index.steps[2], 0] as const };
      const given = params === undefined ? undefined : ofOwner(params.home, params.stage, parts * nTiles * side, { from: times(group.index, perGroup), slot });
      const sums = acc(nTiles, group);
      eachChunk(low, plan, group, ({ first, chunkTiles, accumulate, ringSlot, kLast, column }) => {
        const whole = ofOwner(tiles, ring, chunkTiles * nTiles * side * side, { from: times(first, side * side), slot: ringSlot });
        const kSplit = kSplitOf(plan, nTiles, chunkTiles);
        write.op('weights', { kTiles: chunkTiles, nTiles, split: plan.split, kSplit }, { from: whole, scales: undefined }, { max: 1, of: 'all' });
        const operand = { ...a, column, columns: (chunkTiles - 1) * side + kLast };
        write.op('multiply', { accumulate, split: plan.split, kSplit, kTiles: chunkTiles, kLast, nTiles }, { a: operand, scales: undefined, acc: sums }, rowsOfBin);
      });
      const nLast = group.last ? plan.nLast : side;
      const columns = (group.units - 1) * side + nLast;
      write.op(
        'drain',
        { activation, scale: scaled, bias: bias !== undefined, gated, split: plan.split, nTiles, nLast },
        { acc: sums, params: given, residual: undefined, rowScale, out: { ...out, column: times(group.firstUnit, side), columns } },
        rowsOfBin,
      );
    });
}

/** The bins of a step, and its two products as they are cut: a bin is one row tile. */
function binning(low: Lowering, shape: Omit<BinsShape, 'bytesPerRow'>): { readonly size: number; readonly ringDepth: number; readonly gate: MatmulPlan; readonly down: MatmulPlan } {
  const { width, inner, format } = shape;
  const codes = (columns: number): number => (format === 'e4m3' ? rowBytes(low, 'e4m3', columns) : 0);
  const of = { ...shape, bytesPerRow: 4 * rowBytes(low, 'bf16', width) + codes(width) + rowBytes(low, 'bf16', inner) + codes(inner) + 4 * formatBytes.i32 };
  const settled = low.settle('bins', 'bins', of);
  if (settled === undefined) throw new DoesNotFit();
  const { size, ringDepth } = settled;
  const shapes = shapesOfBins(of, size, low.machine);
  return { size, ringDepth, gate: cutProduct(shapes.gate, settled.gate, low.machine), down: cutProduct(shapes.down, settled.down, low.machine) };
}

type Mixing = { readonly rowTile: number; readonly rowTiles: number };

/** Row tiles in which results are added up. */
function mixTiling(low: Lowering, { limit, k, group, out }: { readonly limit: number; readonly k: number; readonly group: number; readonly out: Place }): Mixing {
  const { columns } = out;
  const gathered = rowBytes(low, 'bf16', columns * group) + (group === 1 ? 0 : rowBytes(low, 'bf16', columns));
  const bytesPerRow = 2 * k * gathered + 2 * rowBytes(low, bufferOf(low, out.buffer).format, columns);
  const settled = low.settle('mix', 'results', { rows: limit, k, words: low.machine.sram.lineBytes.value / formatBytes.f32, bytesPerRow });
  if (settled === undefined) throw new DoesNotFit();
  return { ...settled, rowTiles: Math.ceil(limit / settled.rowTile) };
}

type Made = { readonly name: string; readonly k: number; readonly group: number; readonly tag: number; readonly made: Region; readonly places: Region; readonly weights: BufferId; readonly out: Place };

/** Adds up what the experts of each row have made of it. */
function mixRows(low: Lowering, { name, k, group, tag, made, places, weights, out, rowTile, rowTiles }: Mixing & Made): void {
  const { write } = low;
  const slot = affine(0, 0, 1);
  const pairsOfTile = rowTiles === 1 ? 0 : rowTile * k;
  const inHbm = bufferOf(low, out.buffer).space === 'hbm';
  const ofPairs = (what: string, columns: number): Region => write.region(write.buffer({ name: `${name}.${what}`, space: 'sram', role: 'stage', format: 'bf16', rows: rowTile * k, columns, depth: 2 }), affine(0), rowTile * k, columns, { slot });
  const gathered = ofPairs('mix', out.columns * group);
  const pairs = group === 1 ? gathered : ofPairs('mix.part', out.columns);
  const outStage = inHbm ? write.buffer({ name: `${name}.out`, space: 'sram', role: 'stage', format: bufferOf(low, out.buffer).format, rows: rowTile, columns: out.columns, depth: 2 }) : undefined;
  const rows: RowBound = { max: rowTile, of: out.of };
  write.loop(1, 'rows', rowTiles, () => {
    const each: RowBound = { max: rowTile * k, of: 'all' };
    write.op('gather', { skip: true }, { table: made, index: places, out: gathered }, each);
    if (group > 1) write.op('reduceScatter', { parts: group, tag }, { from: gathered, out: pairs }, each);
    const home = rowsOf(low, out, affine(0, 0, rowTile), rowTile, rowTile * rowTiles);
    const sums = outStage === undefined ? home : write.region(outStage, affine(0), rowTile, out.columns, { slot });
    write.op('mix', { k }, { x: pairs, weights: write.region(weights, affine(0), 1, rowTile * k, { column: affine(0, 0, pairsOfTile) }), out: sums }, rows);
    if (outStage !== undefined) write.op('store', {}, { from: sums, out: home }, rows);
  });
}

/** All rows of a value in SRAM. */
function inSram(low: Lowering, place: Place, limit: number): Region {
  const home = rowsOf(low, place, affine(0), limit, limit);
  const { space, format, name } = bufferOf(low, place.buffer);
  if (space === 'sram') return home;
  const staged = low.write.region(low.write.buffer({ name: `${name}.whole`, space: 'sram', role: 'stage', format, rows: limit, columns: place.columns }), affine(0), limit, place.columns);
  low.write.op('load', {}, { from: home, out: staged }, { max: limit, of: place.of });
  return staged;
}

/** What is added to the scores experts are chosen by, in a list. */
function choiceList(low: Lowering, value: ValueId, name: string): Region {
  const weight = weightOf(low, value);
  const columns = weight.shape[0] as number;
  const instances = weight.instances.length;
  const home = low.write.buffer({ name: weight.name, space: 'hbm', role: 'weights', format: 'f32', rows: instances, columns, packing: { kind: 'rows', weight: weight.name } });
  const list = wholeList(low.write, listBuffer(low.write, `${name}.choice`, 'f32', columns));
  low.write.op('load', {}, { from: low.write.region(home, instances === 1 ? affine(0) : instanceRow(low, 1), 1, columns), out: list }, { max: 1, of: 'all' });
  return list;
}
