import type { Diagnostics } from '../../diagnostics/diagnostic.ts';
import { allOps, type Block, type GraphModule, type GraphOp, type OpOf } from '../../ir/graph/module.ts';
import type { Format } from '../../isa-spec/fields.ts';
import { type HostTable, workEntryBytes } from '../../isa-spec/instructions.ts';
import type { Machine } from '../../isa-spec/machine.ts';
import type { Buffer, BufferId, Region, TileModule } from '../../ir/tile/module.ts';
import type { TensorType, ValueId } from '../../ir/types.ts';
import type { Weight } from '../../ir/weights.ts';
import { type AttentionSite, lowerAttention } from './attention.ts';
import { type Pieces, piecesOf } from './blocks.ts';
import { lowerExperts } from './experts.ts';
import { type Bounds, type Homes, listBuffer, type Lowering, type Place, wholeList } from './lowering.ts';
import { lowerLinear } from './matmul.ts';
import { gatherInto, lowerAllgather, lowerEmbed, lowerMap, lowerNorm, lowerQuantise, lowerRope, lowerSampleRows, lowerScale, lowerTake, mapInto, storeRows } from './rows.ts';
import { countOf, Storage } from './storage.ts';
import { affine, TileWriter } from './writer.ts';

/** A tile module and the graph module it serves, whose weights now include the tables lowering asked for. */
export type Tiled = { readonly tile: TileModule; readonly graph: GraphModule };

/**
 * The graph as loops over tiles with explicit memories and engines. All decisions are in `homes` and in the matmul plans:
 * the same graph, machine and homes always give the same tiles. Throws DoesNotFit if an op finds no room for its stages.
 */
export function tile(module: GraphModule, machine: Machine, bounds: Bounds, homes: Homes, chips: number): Tiled {
  const lowering = new GraphLowering(module, machine, bounds, homes);
  lowering.run();
  const tiled: TileModule = {
    name: module.name, tile: machine.arrays.size.value, chips, bounds,
    buffers: lowering.write.buffers, body: lowering.write.nodes,
    inputs: module.inputs.flatMap(({ name, feed }, i) => (feed === 'rows' ? [{ name, buffer: lowering.storage.place(module.body.params[i] as ValueId).buffer, rows: countOf(module.types[module.body.params[i] as ValueId] as TensorType) }] : [])),
    outputs: module.outputs.map((output, i) => {
      const place = lowering.outputs[i] as Place;
      return { name: output.name, buffer: place.buffer, rows: place.of };
    }),
  };
  return { tile: tiled, graph: lowering.module };
}

class GraphLowering {
  readonly write = new TileWriter();
  readonly storage: Storage;
  /** Where each of the module's results ends. */
  readonly outputs: Place[] = [];
  module: GraphModule;
  readonly #machine: Machine;
  readonly #bounds: Bounds;
  readonly #homes: Homes;
  readonly #hostLists = new Map<HostTable, BufferId>();
  readonly #scaleLists = new Map<ValueId, BufferId>();
  readonly #angles = new Map<string, Place>();
  readonly #pools = new Map<string, BufferId>();
  readonly #ones = new Map<string, Region>();
  readonly #pieces: Pieces;
  readonly #done = new Set<GraphOp>();
  /** What this chip gives out to the next, by value. */
  readonly #pipes = new Map<number, BufferId>();
  #labels = 0;
  #tags = 0;

  constructor(module: GraphModule, machine: Machine, bounds: Bounds, homes: Homes) {
    this.module = module;
    this.#machine = machine;
    this.#bounds = bounds;
    this.#homes = homes;
    this.#pieces = piecesOf(machine, homes.stageBytes);
    this.storage = new Storage(module, this.write, { bounds, homes, lineBytes: machine.sram.lineBytes.value, pieces: this.#pieces });
  }

  run(): void {
    const ops = [...allOps(this.module.body)];
    this.write.label('inputs', { kind: 'none' });
    this.module.inputs.forEach((input) => {
      if (input.feed !== 'tensor' && input.feed !== 'rows') this.#hostList(input.feed);
    });
    for (const op of ops) if (op.kind === 'attention') for (const table of tablesOfAttention(countOf(this.module.types[op.operands[1] as ValueId] as TensorType) === 'memory')) this.#hostList(table);
    if (ops.some((op) => op.kind === 'sampleRows')) this.#hostList('samples');
    for (const op of ops) if (op.kind === 'rope') this.#anglesOf(op);
    this.#block(this.module.body, false, '');
    this.#results();
  }

  /** Results whose values live elsewhere (a loop's, a view's) are copied to where the host reads them. */
  #results(): void {
    const low = this.#lowering(false);
    this.module.body.yields.forEach((value, i) => {
      const place = this.storage.place(value);
      const home = this.write.buffers[place.buffer];
      if (home?.role === 'output') {
        this.outputs.push(place);
        return;
      }
      this.write.label(`output.${i}`, { kind: 'none' });
      const buffer = this.write.buffer({ name: `output.${i}`, space: 'hbm', role: 'output', format: home?.format ?? 'bf16', rows: this.#bounds[place.of], columns: place.columns });
      const out = { ...place, buffer, column: 0 };
      storeRows(low, place, out);
      this.outputs.push(out);
    });
  }

  #block(block: Block, inLayers: boolean, prefix: string): void {
    const low = this.#lowering(inLayers);
    for (const op of block.ops) {
      if (op.kind === 'weight' || op.kind === 'columns') continue;
      this.write.label(`${prefix}${this.#labels++}.${op.kind}`, op.origin);
      if (op.kind === 'loop') this.#loop(op, low, inLayers);
      else this.#op(op, low);
    }
  }

  #loop(op: OpOf<'loop'>, low: Lowering, nested: boolean): void {
    if (nested) throw new Error('internal: a loop inside a loop');
    this.storage.enter(op).forEach(([from, to]) => mapInto(low, 'copy', [from], to));
    this.write.loop(0, 'layers', op.attrs.trip, () => {
      this.#block(op.body, op.attrs.trip > 1, 'layer.');
      this.storage.leave(op).forEach(([from, to]) => mapInto(low, 'copy', [from], to));
    });
  }

  #op(op: GraphOp, low: Lowering): void {
    switch (op.kind) {
      case 'embed': return lowerEmbed(low, op);
      case 'norm': return lowerNorm(low, op);
      case 'linear': return lowerLinear(low, op);
      case 'rope': return lowerRope(low, op, this.#anglesOf(op));
      case 'attention': return lowerAttention(low, op, this.#site(op));
      case 'sampleRows': return lowerSampleRows(low, op, this.#hostList('samples'));
      case 'add':
      case 'multiply':
      case 'activate':
      case 'convert': return lowerMap(low, op);
      case 'scale': return lowerScale(low, op);
      case 'quantise': return lowerQuantise(low, op);
      case 'allgather': return lowerAllgather(low, op, this.#tags++);
      case 'experts': return lowerExperts(low, op, this.#tags++);
      case 'take': return lowerTake(low, low.place(op.results[0] as ValueId), this.#tags++, (rows) => this.#pipe(op, low.place(op.results[0] as ValueId), rows));
      case 'give': return storeRows(low, low.place(op.operands[0] as ValueId), { ...low.place(op.operands[0] as ValueId), buffer: this.#pipes.get(op.attrs.value) as BufferId, column: 0 });
      default: throw new Error(`internal: ${op.kind} has no lowering`);
    }
  }

  #pipe({ attrs: { value } }: OpOf<'take'>, { buffer, columns }: Place, rows: number): BufferId {
    const made = this.write.buffer({ name: `pipe.${value}`, space: 'hbm', role: 'pipe', format: (this.write.buffers[buffer] as Buffer).format, rows, columns });
    this.#pipes.set(value, made);
    return made;
  }

  #lowering(inLayers: boolean): Lowering {
    return {
      write: this.write, module: this.module, machine: this.#machine, bounds: this.#bounds, homes: this.#homes, inLayers,
      place: (value) => this.storage.place(value),
      list: (value) => this.#list(value),
      ones: (rows, columns) => this.#filled(`ones.${rows}x${columns}`, 'stage', rows, columns),
      onesOf: (of) => this.#filled(`ones.${of}`, 'list', 1, this.#bounds[of]),
      pieces: this.#pieces, done: this.#done,
    };
  }

  /** A row list: one of the host's, or the scales a quantise op makes. */
  #list(value: ValueId): Region {
    const input = this.module.inputs[this.module.body.params.indexOf(value)];
    if (input !== undefined && input.feed !== 'tensor' && input.feed !== 'rows') return wholeList(this.write, this.#hostList(input.feed));
    const of = countOf(this.module.types[value] as TensorType);
    const buffer = this.#scaleLists.get(value) ?? listBuffer(this.write, `scale.${value}`, 'f32', this.#bounds[of]);
    this.#scaleLists.set(value, buffer);
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
  #anglesOf(op: OpOf<'rope'>): Place {
    const { frequencies, amplitude, positions } = op.attrs;
    const key = JSON.stringify([frequencies, amplitude]);
    const known = this.#angles.get(key);
    if (known !== undefined) return known;
    const name = `rope.${this.#angles.size}`;
    const columns = 2 * frequencies.length;
    const weight: Weight = { name, dtype: 'f32', shape: [positions, columns], instances: [{ kind: 'rope', frequencies, positions, amplitude }] };
    this.module = { ...this.module, weights: [...this.module.weights, weight] };
    const table = this.write.buffer({ name, space: 'hbm', role: 'weights', format: 'f32', rows: positions, columns, packing: { kind: 'rows', weight: name } });
    const place = this.storage.fresh(`${name}.angles`, 'f32', columns);
    this.write.label(name, op.origin);
    gatherInto(this.#lowering(false), table, positions, this.#list(op.operands[1] as ValueId), place);
    this.#angles.set(key, place);
    return place;
  }

  #site(op: OpOf<'attention'>): AttentionSite {
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
    return { kv, slots, worklist, pages, layered: (cache?.layers ?? 1) > 1 };
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
