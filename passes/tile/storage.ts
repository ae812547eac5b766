import type { Format } from '../../isa-spec/fields.ts';
import type { StepCount } from '../../isa-spec/instructions.ts';
import { allOps, type Block, type GraphModule, type GraphOp, type OpOf } from '../../ir/graph/module.ts';
import type { TensorType, ValueId } from '../../ir/types.ts';
import { pitchLines } from '../../ir/tile/footprint.ts';
import type { BufferId, RowPart } from '../../ir/tile/module.ts';
import { pitchFieldMax } from '../plan/matmul.ts';
import type { Homes } from '../plan/tiling.ts';
import { sizeOf } from '../rewrite.ts';
import { blocksIn, type Pieces, scaleColumns, stripPieces } from './blocks.ts';
import type { Bounds, Place } from './lowering.ts';
import type { TileWriter } from './writer.ts';

/**
 * Which buffer each value of the graph is in. A view is columns of its source's buffer; the values a loop carries share one
 * buffer across iterations where the one before is dead when the next is made, and are copied where not.
 */
export class Storage {
  readonly #module: GraphModule;
  readonly #write: TileWriter;
  readonly #bounds: Bounds;
  readonly #homes: Homes;
  readonly #lineBytes: number;
  readonly #pieces: Pieces;
  readonly #part: RowPart | undefined;
  /** What names of buffers end in. */
  readonly #name: string;
  readonly #common: Map<ValueId, BufferId>;
  readonly #places = new Map<ValueId, Place>();
  /** Values that live in the buffer of another. */
  readonly #same = new Map<ValueId, ValueId>();
  readonly #definitions = new Map<ValueId, GraphOp>();
  readonly #reads = new Map<ValueId, number>();

  /** Of a part of the step's rows, or of all; what the host reads and writes is one buffer for all parts, and in `common`. */
  constructor(module: GraphModule, write: TileWriter, { bounds, homes, lineBytes, pieces, part, name, common }: { readonly bounds: Bounds; readonly homes: Homes; readonly lineBytes: number; readonly pieces: Pieces; readonly part: RowPart | undefined; readonly name: string; readonly common: Map<ValueId, BufferId> }) {
    this.#part = part;
    this.#name = name;
    this.#common = common;
    this.#lineBytes = lineBytes;
    this.#pieces = pieces;
    this.#module = module;
    this.#write = write;
    this.#bounds = bounds;
    this.#homes = homes;
    for (const op of allOps(module.body)) {
      for (const result of op.results) this.#definitions.set(result, op);
      for (const operand of op.operands) this.#reads.set(operand, (this.#reads.get(operand) ?? 0) + 1);
    }
    for (const block of blocksOf(module.body)) for (const op of block.ops) if (op.kind === 'linear' && op.attrs.residual) this.#addTo(block, op);
    for (const op of module.body.ops) if (op.kind === 'loop') this.#unify(op);
  }

  place(value: ValueId): Place {
    const known = this.#places.get(value);
    if (known !== undefined) return known;
    const made = this.#make(value);
    this.#places.set(value, made);
    return made;
  }

  /** A buffer for a value that is not the graph's, a row a token. */
  fresh(name: string, format: Format, columns: number): Place {
    const own = `${name}${this.#name}`;
    const buffer = this.#write.buffer({ name: own, space: this.#homes.spilled.includes(own) ? 'hbm' : 'sram', role: 'value', format, rows: this.#rows('tokens'), columns });
    return { buffer, row: 0, column: 0, columns, of: 'tokens' };
  }

  /** Copies to make before a loop: initial values that do not already lie where the loop carries them. */
  enter(loop: OpOf<'loop'>): readonly (readonly [Place, Place])[] {
    return this.#moves(loop.operands, loop.body.params);
  }

  /** Copies to make at the end of each iteration. */
  leave(loop: OpOf<'loop'>): readonly (readonly [Place, Place])[] {
    return this.#moves(loop.body.yields, loop.body.params);
  }

  #moves(from: readonly ValueId[], to: readonly ValueId[]): readonly (readonly [Place, Place])[] {
    return from.map((value, i) => [this.place(value), this.place(to[i] as ValueId)] as const).filter(([source, target]) => source.buffer !== target.buffer);
  }

  /** A sum lies where its residual did, if nobody reads that any more; in SRAM, where both are touched at once. */
  #addTo(block: Block, op: OpOf<'linear'>): void {
    const [residual, sum] = [op.operands.at(-1), op.results[0]] as [ValueId, ValueId];
    const isHere = block.params.includes(residual) || block.ops.some(({ kind, results }) => kind !== 'columns' && results.includes(residual));
    const isGiven = block === this.#module.body && block.params.includes(residual);
    const alike = this.#module.types[residual]?.dtype === this.#module.types[sum]?.dtype;
    const isSpilled = this.#homes.spilled.includes(this.#nameOf(residual));
    if (isHere && !isGiven && !isSpilled && alike && !block.yields.includes(residual) && op.operands.indexOf(residual) === op.operands.length - 1 && deadBefore(block, residual, sum)) this.#same.set(sum, residual);
  }

  /** The name of the buffer of a value that is one of the program's own. */
  #nameOf(value: ValueId): string {
    const owner = this.#same.get(value);
    return owner === undefined ? `${this.#definitions.get(value)?.kind ?? 'carried'}.${value}${this.#name}` : this.#nameOf(owner);
  }

  /** The values of a block that live in the buffer of one of its. */
  #fellows(value: ValueId): readonly ValueId[] {
    return [...this.#same].flatMap(([other, owner]) => (owner === value ? [other, ...this.#fellows(other)] : []));
  }

  #unify(loop: OpOf<'loop'>): void {
    loop.body.params.forEach((param, i) => {
      const [initial, next, result] = [loop.operands[i], loop.body.yields[i], loop.results[i]] as [ValueId, ValueId, ValueId];
      this.#same.set(result, param);
      const maker = this.#definitions.get(initial)?.kind;
      if ((this.#reads.get(initial) ?? 0) === 1 && maker !== undefined && maker !== 'columns') this.#same.set(initial, param);
      const fellows = [param, ...this.#fellows(param)];
      if (!fellows.includes(next) && fellows.every((value) => deadBefore(loop.body, value, next))) this.#same.set(next, param);
    });
  }

  #make(value: ValueId): Place {
    const owner = this.#same.get(value);
    if (owner !== undefined) return this.place(owner);
    const op = this.#definitions.get(value);
    if (op?.kind === 'columns') {
      const source = this.place(op.operands[0] as ValueId);
      return { ...source, column: source.column + op.attrs.start, columns: op.attrs.end - op.attrs.start };
    }
    const type = this.#module.types[value] as TensorType;
    const of = countOf(type);
    const columns = this.#scaleColumns(value) ?? sizeOf(type.shape[1]);
    const isOutput = this.#module.body.yields.includes(value);
    const given = this.#module.inputs[this.#module.body.params.indexOf(value)];
    const format = type.dtype as Format;
    if (given !== undefined || isOutput) {
      const buffer = this.#common.get(value) ?? this.#write.buffer({ name: given?.name ?? `${op?.kind ?? 'carried'}.${value}`, space: 'hbm', role: given !== undefined ? 'input' : 'output', format, rows: this.#bounds[of], columns });
      this.#common.set(value, buffer);
      return { buffer, row: of === 'tokens' ? (this.#part?.first ?? 0) : 0, column: 0, columns, of };
    }
    const name = this.#nameOf(value);
    const isWide = pitchLines({ format, columns }, this.#lineBytes) > pitchFieldMax;
    const buffer = this.#write.buffer({ name, space: isWide || this.#homes.spilled.includes(name) ? 'hbm' : 'sram', role: 'value', format, rows: this.#rows(of), columns });
    return { buffer, row: 0, column: 0, columns, of };
  }

  /** Columns of a value that is the scales of blocks. */
  #scaleColumns(value: ValueId): number | undefined {
    const op = this.#definitions.get(value);
    if (op?.kind === 'allgather') {
      const own = this.#scaleColumns(op.operands[0] as ValueId);
      return own === undefined ? undefined : (sizeOf(this.#module.types[value]?.shape[1]) / blocksIn(this.#pieces.columns)) * this.#pieces.scales;
    }
    if (op?.kind !== 'quantise' || op.results[1] !== value) return undefined;
    const strips = this.#stripsOf(value);
    return scaleColumns(sizeOf(this.#module.types[op.results[0] as ValueId]?.shape[1]), strips === undefined ? this.#pieces : stripPieces(this.#pieces, strips.parts));
  }

  /** How what only is gathered in strips is. */
  #stripsOf(value: ValueId): OpOf<'allgather'>['attrs'] | undefined {
    for (const op of allOps(this.#module.body)) if (op.kind === 'allgather' && op.operands[0] === value && op.attrs.strips > 1) return op.attrs;
    return undefined;
  }

  #rows(of: StepCount): number {
    return of === 'tokens' && this.#part !== undefined ? this.#part.rows : this.#bounds[of];
  }
}

/** What a value has a row for. */
export const countOf = ({ shape: [rows] }: TensorType): StepCount => (rows === 'samples' || rows === 'memory' ? rows : 'tokens');

/** The module's body, and those of its loops. */
const blocksOf = (body: Block): readonly Block[] => [body, ...body.ops.flatMap((op) => (op.kind === 'loop' ? [op.body] : []))];

/** True when `next` may be written over `param`: nobody reads `param` later, and the op that makes `next` reads it row by row at most. */
function deadBefore(block: Block, param: ValueId, next: ValueId): boolean {
  const at = block.ops.findIndex((op) => op.results.includes(next));
  const readers = block.ops.flatMap((op, i) => (op.operands.includes(param) ? [i] : []));
  const maker = block.ops[at];
  if (maker === undefined || readers.some((i) => i > at) || block.ops.some((op) => op.kind === 'columns' && op.operands.includes(param))) return false;
  if (!readers.includes(at)) return true;
  if (maker.kind === 'linear') return maker.attrs.residual && maker.operands.indexOf(param) === maker.operands.length - 1;
  return maker.kind === 'add' || maker.kind === 'multiply' || maker.kind === 'scale' || maker.kind === 'activate' || maker.kind === 'norm';
}
