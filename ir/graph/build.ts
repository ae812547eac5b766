import type { Origin } from '../../diagnostics/diagnostic.ts';
import type { TensorType, ValueId } from '../types.ts';
import type { Block, BodyKind, GraphOp, OpOf } from './module.ts';
import type { GraphAttrs, OpKind } from './ops.ts';

/**
 * Makes blocks, one op after the other. Result types are the caller's word, checked by the verifier, or inferred
 * (`infer.ts`) when not given. One builder makes one module's values, nested blocks included.
 */
export class GraphBuilder {
  readonly types: TensorType[];
  #ops: GraphOp[] = [];
  /** Origin given to every op until changed. */
  origin: Origin = { kind: 'none' };
  readonly #infer: InferResults;

  constructor(infer: InferResults, types: readonly TensorType[] = []) {
    this.#infer = infer;
    this.types = [...types];
  }

  value(type: TensorType): ValueId {
    this.types.push(type);
    return (this.types.length - 1) as ValueId;
  }

  /** Appends an op with one result. */
  op<K extends Exclude<OpKind, BodyKind>>(kind: K, attrs: GraphAttrs[K], operands: readonly ValueId[], type?: TensorType): ValueId {
    return this.ops(kind, attrs, operands, type === undefined ? undefined : [type])[0] as ValueId;
  }

  /** Appends an op with any number of results. */
  ops<K extends Exclude<OpKind, BodyKind>>(kind: K, attrs: GraphAttrs[K], operands: readonly ValueId[], types?: readonly TensorType[]): readonly ValueId[] {
    const operandTypes = operands.map((id) => this.types[id] as TensorType);
    const results = (types ?? this.#infer(kind, attrs, operandTypes)).map((type) => this.value(type));
    this.#ops.push({ kind, attrs, operands, results, origin: this.origin, body: undefined } as unknown as GraphOp);
    return results;
  }

  /** Appends an op made elsewhere (a pass moving it along). */
  push(op: GraphOp): void {
    this.#ops.push(op);
  }

  /** Appends a loop: `body` gets this iteration's carried values and returns the next's. */
  loop(trip: number, carried: readonly ValueId[], body: (carried: readonly ValueId[]) => readonly ValueId[]): readonly ValueId[] {
    const block = this.block(carried.map((id) => this.types[id] as TensorType), body);
    const results = carried.map((id) => this.value(this.types[id] as TensorType));
    const op: OpOf<'loop'> = { kind: 'loop', attrs: { trip }, operands: carried, results, origin: this.origin, body: block };
    this.#ops.push(op);
    return results;
  }

  /** Appends a fused op: `body` gets the operands and returns what others may read. */
  fused(operands: readonly ValueId[], body: (params: readonly ValueId[]) => readonly ValueId[]): readonly ValueId[] {
    const block = this.block(operands.map((id) => this.types[id] as TensorType), body);
    const results = block.yields.map((id) => this.value(this.types[id] as TensorType));
    const op: OpOf<'fused'> = { kind: 'fused', attrs: {}, operands, results, origin: this.origin, body: block };
    this.#ops.push(op);
    return results;
  }

  /** Makes a block of its own: fresh parameters of the given types, the ops `fill` appends, the values it returns. */
  block(params: readonly TensorType[], fill: (params: readonly ValueId[]) => readonly ValueId[]): Block {
    const outer = this.#ops;
    this.#ops = [];
    const ids = params.map((type) => this.value(type));
    const yields = fill(ids);
    const made: Block = { params: ids, ops: this.#ops, yields };
    this.#ops = outer;
    return made;
  }
}

/** Result types of an op from its operand types; throws on operands the op cannot take. `weight`, `convert` and primitives need explicit types. */
export type InferResults = <K extends OpKind>(kind: K, attrs: GraphAttrs[K], operands: readonly TensorType[]) => readonly TensorType[];
