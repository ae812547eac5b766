import type { Diagnostics } from '../../diagnostics/diagnostic.ts';
import { allOps, type GraphModule, type GraphOp, type OpOf } from '../../ir/graph/module.ts';
import type { Format } from '../../isa-spec/fields.ts';
import { type HostTable, workEntryBytes } from '../../isa-spec/instructions.ts';
import type { Machine } from '../../isa-spec/machine.ts';
import type { Buffer, BufferId, Region, RowPart, TileModule } from '../../ir/tile/module.ts';
import type { TensorType, ValueId } from '../../ir/types.ts';
import type { Weight } from '../../ir/weights.ts';
import type { Settle } from '../plan/decisions.ts';
import type { Homes } from '../plan/tiling.ts';
import { type AttentionSite, lowerAttention } from './attention.ts';
import { type Pieces, piecesOf } from './blocks.ts';
import { lowerExperts } from './experts.ts';
import { type Bounds, listBuffer, listOfRows, type Lowering, type Place, rowLimit, wholeList } from './lowering.ts';
import { lowerLinear } from './matmul.ts';
import { interleaving, partName, type Turn } from './parts.ts';
import { gatherInto, lowerAllgather, lowerEmbed, lowerMap, lowerNorm, lowerQuantise, lowerRope, lowerSampleRows, lowerScale, lowerTake, loadRows, mapInto, storeInTable, storeRows } from './rows.ts';
import { lowerShared } from './shares.ts';
import { countOf, Storage } from './storage.ts';
import { affine, TileWriter } from './writer.ts';

/** A tile module and the graph module it serves, whose weights now include the tables lowering asked for. */
export type Tiled = { readonly tile: TileModule; readonly graph: GraphModule };

/** What a module is lowered for: the machine, the largest step, the chips the graph is divided over. */
export type TileTarget = { readonly machine: Machine; readonly bounds: Bounds; readonly chips: number };

/**
 * The graph as loops over tiles with explicit memories and engines. Nothing is decided here, but in `homes` and by `settle`: the same graph, machine
 * and answers always give the same tiles. Throws DoesNotFit if an op finds no room for its stages.
 */
export function tile(module: GraphModule, { machine, bounds, chips }: TileTarget, homes: Homes, settle: Settle): Tiled {
  const lowering = new GraphLowering(module, { machine, bounds, homes, settle });
  lowering.run();
  const tiled: TileModule = {
    name: module.name, tile: machine.arrays.size.value, chips, bounds,
    buffers: lowering.write.buffers, body: lowering.write.nodes,
    inputs: module.inputs.flatMap(({ name, feed }, i) => (feed === 'rows' ? [{ name, buffer: lowering.first.place(module.body.params[i] as ValueId).buffer, rows: countOf(module.types[module.body.params[i] as ValueId] as TensorType) }] : [])),
    outputs: module.outputs.map((output, i) => {
      const place = lowering.outputs[i] as Place;
      return { name: output.name, buffer: place.buffer, rows: place.of };
    }),
  };
  return { tile: tiled, graph: lowering.module };
}

/** Where the cosines and sines of a rotation's angles are, and, if they are parked, where from they are brought there. */
type Angles = Pick<OpOf<'rope'>['attrs'], 'frequencies' | 'amplitude'> & { readonly place: Place; readonly parked: Place | undefined };

/** A part of the step's rows: where its values are. `away`: what it carries is parked in its lots; `returning`: and comes back as it is added to. */
type Part = { readonly rows: RowPart | undefined; readonly name: string; readonly storage: Storage; readonly scaleLists: Map<ValueId, BufferId>; readonly angles: Angles[]; readonly done: Set<GraphOp>; readonly madeTogether: Set<ValueId>; readonly lots: Map<BufferId, Place>; returning: boolean; away: boolean };

/** Outside of the layer loop. */
const outside: Lowering['layer'] = { looped: false, ahead: 0 };

/** Ops that are places of values, and nothing to do. */
const isPlace = ({ kind }: GraphOp): boolean => kind === 'weight' || kind === 'columns';

class GraphLowering {
  readonly write = new TileWriter();
  /** Where each of the module's results ends. */
  readonly outputs: Place[] = [];
  module: GraphModule;
  readonly #machine: Machine;
  readonly #bounds: Bounds;
  readonly #homes: Homes;
  readonly #settle: Settle;
  readonly #parts: readonly [Part, ...Part[]];
  readonly #hostLists = new Map<HostTable, BufferId>();
  readonly #pools = new Map<string, BufferId>();
  readonly #ones = new Map<string, Region>();
  readonly #pieces: Pieces;
  /** What this chip gives out to the next, by value. */
  readonly #pipes = new Map<number, BufferId>();
  /** Where all parts' rows are that are picked from. */
  #sampled: BufferId | undefined;
  #labels = 0;
  #tags = 0;

  constructor(module: GraphModule, { machine, bounds, homes, settle }: { readonly machine: Machine; readonly bounds: Bounds; readonly homes: Homes; readonly settle: Settle }) {
    this.module = module;
    this.#settle = settle;
    this.#machine = machine;
    this.#bounds = bounds;
    this.#homes = homes;
    this.#pieces = piecesOf(machine, homes.pieceColumns);
    const common = new Map<ValueId, BufferId>();
    const lineBytes = machine.sram.lineBytes.value;
    const whole = homes.parts.length === 1;
    this.#parts = homes.parts.map((rows, i): Part => {
      const [part, name] = [whole ? undefined : rows, partName(i)];
      return { rows: part, name, storage: new Storage(module, this.write, { bounds, homes, lineBytes, pieces: this.#pieces, part, name, common }), scaleLists: new Map(), angles: [], done: new Set(), madeTogether: new Set(), lots: new Map(), returning: false, away: false };
    }) as unknown as readonly [Part, ...Part[]];
  }

  /** Where values are that all parts have in common. */
  get first(): Storage {
    return this.#parts[0].storage;
  }

  run(): void {
    const ops = [...allOps(this.module.body)];
    this.write.label('inputs', { kind: 'none' });
    this.module.inputs.forEach((input) => {
      if (input.feed !== 'tensor' && input.feed !== 'rows') this.#hostList(input.feed);
    });
    for (const op of ops) if (op.kind === 'attention') for (const table of tablesOfAttention(countOf(this.module.types[op.operands[1] as ValueId] as TensorType) === 'memory')) this.#hostList(table);
    if (ops.some((op) => op.kind === 'sampleRows')) this.#hostList('samples');
    for (const op of ops) if (op.kind === 'rope') for (const part of this.#parts) this.#anglesOf(op, part);
    const [entering, leaving] = [this.#entering(), this.#leaving()];
    for (const op of this.module.body.ops) {
      if (op.kind === 'loop') this.#loop(op, entering);
      else if (op === leaving[0]) this.#leave(leaving);
      else if (!entering.includes(op) && !leaving.includes(op)) this.#inParts(op);
    }
    this.#results();
  }

  /** What comes before the layers, if it is rows of each part: a part's are made when its turn comes. */
  #entering(): readonly GraphOp[] {
    const { ops } = this.module.body;
    const before = ops.slice(0, ops.findIndex(({ kind }) => kind === 'loop')).filter((op) => !isPlace(op));
    return this.#parts.length > 1 && before.every((op) => this.#isOfRows(op)) ? before : [];
  }

  /** What comes after the layers, as far as it is rows of each part, and what picks of those. */
  #leaving(): readonly GraphOp[] {
    const { ops } = this.module.body;
    const after = ops.slice(ops.findLastIndex(({ kind }) => kind === 'loop') + 1).filter((op) => !isPlace(op));
    const end = after.findIndex((op) => !this.#isOfRows(op));
    return this.#parts.length === 1 ? [] : after.slice(0, end < 0 ? after.length : end + (after[end]?.kind === 'sampleRows' ? 1 : 0));
  }

  /** Part after part: what is made of one has left SRAM before the next's is made. */
  #leave(ops: readonly GraphOp[]): void {
    const labelled = ops.map((op) => [op, `${this.#labels++}.${op.kind}`] as const);
    const [last, label] = labelled.at(-1) as readonly [GraphOp, string];
    for (const part of this.#parts) {
      for (const [op, own] of labelled) if (op.kind !== 'sampleRows') this.#op(op, own, part, outside);
      if (last.kind !== 'sampleRows') continue;
      // One op of all parts.
      this.write.label(label, last.origin, part.rows);
      const low = this.#lowering(part, outside);
      this.#sampled = storeInTable(low, low.place(last.operands[0] as ValueId), this.#sampled);
    }
    if (last.kind === 'sampleRows') this.#op(last, label, this.#parts[0], outside);
  }

  #isOfRows({ results, operands }: GraphOp): boolean {
    return countOf(this.module.types[(results[0] ?? operands[0]) as ValueId] as TensorType) === 'tokens';
  }

  /** Results whose values live elsewhere (a loop's, a view's) are copied to where the host reads them. */
  #results(): void {
    this.module.body.yields.forEach((value, i) => {
      const place = this.first.place(value);
      const home = this.write.buffers[place.buffer];
      if (home?.role === 'output') {
        this.outputs.push(place);
        return;
      }
      const buffer = this.write.buffer({ name: `output.${i}`, space: 'hbm', role: 'output', format: home?.format ?? 'bf16', rows: this.#bounds[place.of], columns: place.columns });
      const out = { ...place, buffer, row: 0, column: 0 };
      for (const part of place.of === 'tokens' ? this.#parts : [this.#parts[0]]) {
        this.write.label(`output.${i}${part.name}`, { kind: 'none' }, part.rows);
        const low = this.#lowering(part, outside);
        storeRows(low, low.place(value), { ...out, row: place.of === 'tokens' ? (part.rows?.first ?? 0) : 0 });
      }
      this.outputs.push(out);
    });
  }

  /** An op outside of the layer loop: for each part of the step's rows, or once, of what is not a row of theirs. */
  #inParts(op: GraphOp): void {
    if (isPlace(op)) return;
    const label = `${this.#labels++}.${op.kind}`;
    for (const part of this.#isOfRows(op) ? this.#parts : [this.#parts[0]]) this.#op(op, label, part, outside);
  }

  /** The iterations of a layer loop: one loop body that is worked on by one part after the other, or the interleaving of several (parts.ts). */
  #loop(op: OpOf<'loop'>, entering: readonly GraphOp[]): void {
    const { trip } = op.attrs;
    const before = entering.map((own) => [own, `${this.#labels++}.${own.kind}`] as const);
    this.#labels++;
    const ops = op.body.ops.filter((inner) => !isPlace(inner));
    const labels = new Map(ops.map((inner) => [inner, `layer.${this.#labels++}.${inner.kind}`]));
    const moves = (part: Part, layer: Lowering['layer'], pairs: readonly (readonly [Place, Place])[]): void => pairs.forEach(([from, to]) => mapInto(this.#lowering(part, layer), 'copy', [from], to));
    const emit = (part: Part, layer: Lowering['layer'], some: readonly GraphOp[]): void => {
      this.#bringAngles(some, part);
      for (const inner of some) {
        this.#op(inner, labels.get(inner) as string, part, layer);
        if (inner === ops.at(-1)) moves(part, layer, part.storage.leave(op));
      }
    };
    const enter = (part: Part): void => {
      for (const [own, label] of before) this.#op(own, label, part, outside);
      this.write.label(`layers.enter${part.name}`, op.origin, part.rows);
      moves(part, outside, part.storage.enter(op));
    };
    const inLayers = { looped: trip > 1, ahead: 0 };
    const [one] = this.#parts;
    if (this.#parts.length === 1) {
      enter(one);
      return this.write.loop(0, 'layers', trip, () => emit(one, inLayers, ops));
    }
    const turns = interleaving(ops, trip, this.#parts, this.#homes);
    const all = (some: readonly Turn<Part>[]): void => {
      for (const { part, layer: ahead, ops: own, carried, beside } of some) {
        const layer = { looped: true, ahead, beside: carried === 'return' && part.away ? undefined : beside };
        const [first, ...rest] = own;
        const isAdded = first?.kind === 'linear' && first.attrs.residual && op.body.params.length === 1 && part.storage.place(op.body.params[0] as ValueId).buffer === part.storage.place(first.operands.at(-1) as ValueId).buffer;
        if (carried === 'return' && isAdded && part.away) {
          // What is added to comes back a group of columns at a time.
          part.away = false;
          part.returning = true;
          emit(part, layer, [first]);
          part.returning = false;
          emit(part, layer, rest);
          continue;
        }
        if (carried === 'enter') enter(part);
        if (carried === 'return') this.#park(part, op, carried);
        emit(part, layer, own);
        if (carried === 'leave' || (carried === 'aside' && this.#homes.parked === 'aside')) this.#park(part, op, 'leave');
      }
    };
    all(turns.before);
    this.write.loop(0, 'layers', turns.times, () => all(turns.body));
    all(turns.after);
  }

  /** Parks what a part carries from layer to layer in HBM, or brings it back. */
  #park(part: Part, loop: OpOf<'loop'>, how: 'leave' | 'return'): void {
    if (this.#homes.parked === 'no' || part.away === (how === 'leave')) return;
    part.away = false;
    this.write.label(`layers.${how}${part.name}`, loop.origin, part.rows);
    const low = this.#lowering(part, outside);
    for (const value of loop.body.params) {
      const place = low.place(value);
      if ((this.write.buffers[place.buffer] as Buffer).space === 'hbm') continue;
      const lot = part.lots.get(place.buffer) ?? this.#lotOf(low, place);
      part.lots.set(place.buffer, lot);
      if (how === 'leave') storeRows(low, place, lot);
      else loadRows(low, lot, place);
    }
    part.away = how === 'leave';
  }

  #op(op: GraphOp, label: string, part: Part, layer: Lowering['layer']): void {
    if (layer === outside) this.#bringAngles([op], part);
    this.write.label(`${label}${part.name}`, op.origin, part.rows);
    const low = this.#lowering(part, layer);
    switch (op.kind) {
      case 'embed': return lowerEmbed(low, op);
      case 'norm': return lowerNorm(low, op);
      case 'linear': return lowerLinear(low, op);
      case 'rope': return lowerRope(low, op, this.#anglesOf(op, part).place);
      case 'attention': return lowerAttention(low, op, this.#site(low, op));
      case 'sampleRows': return lowerSampleRows(low, op, this.#hostList('samples'), this.#sampled);
      case 'add':
      case 'multiply':
      case 'activate':
      case 'convert': return lowerMap(low, op);
      case 'scale': return lowerScale(low, op);
      case 'quantise': return lowerQuantise(low, op);
      case 'allgather': return void (lowerShared(low, op) || lowerAllgather(low, op));
      case 'experts': return lowerExperts(low, op, low.tag());
      case 'take': return lowerTake(low, op.results[0] as ValueId, low.tag(), (rows) => this.#pipe(op, low.place(op.results[0] as ValueId), rows));
      case 'give': return storeRows(low, low.place(op.operands[0] as ValueId), { ...low.place(op.operands[0] as ValueId), buffer: this.#pipes.get(op.attrs.value) as BufferId, row: part.rows?.first ?? 0, column: 0 });
      default: throw new Error(`internal: ${op.kind} has no lowering`);
    }
  }

  #pipe({ attrs: { value } }: OpOf<'take'>, { buffer, columns }: Place, rows: number): BufferId {
    const known = this.#pipes.get(value);
    if (known !== undefined) return known;
    const made = this.write.buffer({ name: `pipe.${value}`, space: 'hbm', role: 'pipe', format: (this.write.buffers[buffer] as Buffer).format, rows, columns });
    this.#pipes.set(value, made);
    return made;
  }

  #lowering(part: Part, layer: Lowering['layer']): Lowering {
    const low: Lowering = {
      write: this.write, module: this.module, machine: this.#machine, bounds: this.#bounds, homes: this.#homes, part: part.rows, layer,
      settle: (kind, what, of) => this.#settle(kind, { op: this.write.labelled, what }, of),
      place: (value) => {
        const place = part.storage.place(value);
        return (part.away ? part.lots.get(place.buffer) : undefined) ?? place;
      },
      list: (value) => this.#list(low, value, part),
      ones: (rows, columns) => this.#filled(`ones.${rows}x${columns}`, 'stage', rows, columns),
      onesOf: (of) => this.#filled(`ones.${of}`, 'list', 1, this.#bounds[of]),
      parkedAt: ({ buffer }) => (part.returning ? part.lots.get(buffer) : undefined),
      tag: () => this.#tags++, pieces: this.#pieces, done: part.done, madeTogether: part.madeTogether,
    };
    return low;
  }

  /** A row list: one of the host's, or the scales a quantise op makes. */
  #list(low: Lowering, value: ValueId, part: Part): Region {
    const of = countOf(this.module.types[value] as TensorType);
    const input = this.module.inputs[this.module.body.params.indexOf(value)];
    if (input !== undefined && input.feed !== 'tensor' && input.feed !== 'rows') return of === 'tokens' ? listOfRows(low, this.#hostList(input.feed)) : wholeList(this.write, this.#hostList(input.feed));
    const buffer = part.scaleLists.get(value) ?? listBuffer(this.write, `scale.${value}${part.name}`, 'f32', rowLimit(low, of));
    part.scaleLists.set(value, buffer);
    return wholeList(this.write, buffer);
  }

  /** A buffer of FP32 ones, filled before everything else. */
  #filled(name: string, role: 'stage' | 'list', rows: number, columns: number): Region {
    const known = this.#ones.get(name);
    if (known !== undefined) return known;
    const region = this.write.region(this.write.buffer({ name, space: 'sram', role, format: 'f32', rows, columns }), affine(0), rows, columns);
    this.write.first('ones', 'fill', { value: 1 }, { out: region }, { max: rows, of: 'all' });
    this.#ones.set(name, region);
    return region;
  }

  #hostList(table: HostTable): BufferId {
    const known = this.#hostLists.get(table);
    if (known !== undefined) return known;
    const { tokens, sequences, samples, memory, pageListEntries } = this.#bounds;
    const worklist = (sequences * workEntryBytes) / 4;
    const words = { ids: tokens, positions: tokens, types: tokens, slots: tokens, samples, worklist, pages: pageListEntries, memorySlots: memory, memoryWorklist: worklist, memoryPages: pageListEntries }[table];
    const buffer = listBuffer(this.write, table, 'i32', words);
    this.#hostLists.set(table, buffer);
    this.write.op('input', { table }, { out: wholeList(this.write, buffer) }, { max: 1, of: 'all' });
    return buffer;
  }

  /** The cosines and sines of this step's positions: gathered once, used by every rotation with the same angles. */
  #anglesOf(op: OpOf<'rope'>, part: Part): Angles {
    const { frequencies, amplitude, positions } = op.attrs;
    const known = part.angles.find((one) => one.amplitude === amplitude && one.frequencies.length === frequencies.length && one.frequencies.every((frequency, i) => frequency === frequencies[i]));
    if (known !== undefined) return known;
    const name = `rope.${part.angles.length}`;
    const columns = 2 * frequencies.length;
    const weight: Weight = { name, dtype: 'f32', shape: [positions, columns], instances: [{ kind: 'rope', frequencies, positions, amplitude }] };
    if (part === this.#parts[0]) this.module = { ...this.module, weights: [...this.module.weights, weight] };
    const table = this.write.buffer({ name, space: 'hbm', role: 'weights', format: 'f32', rows: positions, columns, packing: { kind: 'rows', weight: name } });
    const place = part.storage.fresh(`${name}.angles`, 'f32', columns);
    this.write.label(`${name}${part.name}`, op.origin, part.rows);
    const low = this.#lowering(part, outside);
    const parked = this.#homes.parked === 'aside' && this.write.buffers[place.buffer]?.space === 'sram' ? this.#lotOf(low, place) : undefined;
    gatherInto(low, table, positions, low.list(op.operands[1] as ValueId), parked ?? place);
    const made: Angles = { frequencies, amplitude, place, parked };
    part.angles.push(made);
    return made;
  }

  /** Brings back what the rotations among some ops take, before any of them is done. */
  #bringAngles(ops: readonly GraphOp[], part: Part): void {
    for (const { place, parked } of new Set(ops.flatMap((op) => (op.kind === 'rope' ? [this.#anglesOf(op, part)] : [])))) {
      if (parked === undefined) continue;
      const { name } = this.write.buffers[place.buffer] as Buffer;
      this.write.label(name, { kind: 'none' }, part.rows);
      loadRows(this.#lowering(part, outside), parked, place);
    }
  }

  /** A place in HBM for what is parked. */
  #lotOf(low: Lowering, place: Place): Place {
    const { name, format } = this.write.buffers[place.buffer] as Buffer;
    return { ...place, row: 0, column: 0, buffer: this.write.buffer({ name: `${name}.parked`, space: 'hbm', role: 'value', format, rows: rowLimit(low, place.of), columns: place.columns }) };
  }

  #site(low: Lowering, op: OpOf<'attention'>): AttentionSite {
    const cache = this.module.caches.find((candidate) => candidate.name === op.attrs.cache);
    const ofMemory = countOf(this.module.types[op.operands[1] as ValueId] as TensorType) === 'memory';
    const key = ofMemory ? `memory.${op.attrs.kvHeads}x${op.attrs.headDim}` : op.attrs.cache === '' ? `scratch.${op.attrs.kvHeads}x${op.attrs.headDim}` : op.attrs.cache;
    const format = (this.module.types[op.operands[1] as ValueId] as TensorType).dtype as Format;
    const { poolPages, pageRows } = this.#bounds;
    const kv =
      this.#pools.get(key) ??
      this.write.buffer({ name: `kv.${key}`, space: 'hbm', role: 'kv', format, rows: (cache?.layers ?? 1) * poolPages * pageRows * 2, columns: op.attrs.kvHeads * op.attrs.headDim });
    this.#pools.set(key, kv);
    const [slots, worklist, pages] = tablesOfAttention(ofMemory).map((table) => this.#hostList(table)) as [BufferId, BufferId, BufferId];
    return { kv, slots: ofMemory ? wholeList(this.write, slots) : listOfRows(low, slots), worklist: wholeList(this.write, worklist), pages: wholeList(this.write, pages), layered: (cache?.layers ?? 1) > 1 };
  }
}

/** Where the keys and values of sequences go, who attends to them, and where they are: their own, or those of their memory. */
const tablesOfAttention = (ofMemory: boolean): readonly HostTable[] => (ofMemory ? ['memorySlots', 'memoryWorklist', 'memoryPages'] : ['slots', 'worklist', 'pages']);

/** Ops lowering has no way for, as diagnostics: what recognition left over. */
export function reportUnlowerable(module: GraphModule, diagnostics: Diagnostics): void {
  for (const op of allOps(module.body)) {
    if (!op.kind.startsWith('p') && op.kind !== 'custom') continue;
    diagnostics.report({ code: 'E4003', message: `\`${op.kind}\` is not part of a recognised transformer op`, origin: op.origin, help: 'see `--stop-after raise --dump-ir DIR` for what surrounds it' });
  }
}
