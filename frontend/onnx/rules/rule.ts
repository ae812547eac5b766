import { type Dim, type DType, isFloat } from '../../../ir/types.ts';
import { dataTypes } from '../dtypes.ts';
import type { Emitter } from '../emit.ts';
import type { OnnxAttribute, OnnxGraph, OnnxTensor } from '../model.ts';
import { CannotImport, type Value } from '../value.ts';

/** What an operator means in primitives: its outputs, as many as its definition has or fewer if the last are not wanted. */
export type Rule = (call: Call, emit: Emitter) => Value | readonly Value[];
export type Rules = Readonly<Record<string, Rule>>;

/** What a node is: its operator, operands and attributes, and what its rule may ask of the import around it. */
export type CallParts = {
  readonly op: string;
  readonly opset: number;
  readonly inputs: readonly (Value | undefined)[];
  readonly outputs: readonly string[];
  readonly attributes: ReadonlyMap<string, OnnxAttribute>;
  readonly stored: (tensor: OnnxTensor, hint: string) => Value;
  readonly run: (graph: OnnxGraph, inputs: readonly Value[]) => Value | undefined;
  readonly doubt: (why: string) => void;
};

/** A node as its rule sees it. Attributes fall back to the default of the operator's definition; without one they must be there. */
export class Call {
  readonly op: string;
  /** Version of the node's operator set. */
  readonly opset: number;
  readonly inputs: readonly (Value | undefined)[];
  /** Names of the outputs somebody may read, '' where nobody does. */
  readonly outputs: readonly string[];
  readonly #parts: CallParts;

  constructor(parts: CallParts) {
    this.op = parts.op;
    this.opset = parts.opset;
    this.inputs = parts.inputs;
    this.outputs = parts.outputs;
    this.#parts = parts;
  }

  /** The input of that number. */
  input(i: number): Value {
    const value = this.inputs[i];
    if (value === undefined) throw new CannotImport('E1003', `input ${i} is missing`);
    if (value.parts !== undefined && this.op !== 'Identity') throw new CannotImport('E1003', `input ${i} is a list of tensors`);
    return value;
  }

  /** The tensors of an input that is a list of them. */
  list(i: number): readonly Value[] {
    const list = this.inputs[i]?.parts;
    if (list === undefined) throw new CannotImport('E1003', `input ${i} is not a list of tensors`);
    return list;
  }

  /** Inputs from `from` on, all there. */
  rest(from: number): readonly Value[] {
    return this.inputs.slice(from).filter((value) => value !== undefined);
  }

  /** Elements of an input that has to be known before the run; undefined if the input is not there. */
  sizes(i: number): readonly Dim[] | undefined {
    const dtype = this.inputs[i]?.dtype;
    if (dtype !== undefined && isFloat(dtype)) throw new CannotImport('E1003', `input ${i} says sizes or places in ${dtype}`);
    return this.#told(i);
  }

  /** The same, numbers all. */
  numbers(i: number): readonly number[] | undefined {
    return this.#told(i)?.map((each) => {
      if (typeof each !== 'number') throw new CannotImport('E3001', `input ${i} depends on the sizes of the run: ${each}`);
      return each;
    });
  }

  /** The one element of an input. */
  single(i: number): Dim {
    const [only, more] = this.#told(i) ?? [];
    if (only === undefined || more !== undefined) throw new CannotImport('E1003', `input ${i} is not a single number`);
    return only;
  }

  has(name: string): boolean {
    return this.#parts.attributes.has(name);
  }

  int(name: string, otherwise?: number): number {
    return needed(name, this.#attribute(name, 'int')?.value ?? otherwise);
  }

  float(name: string, otherwise?: number): number {
    return needed(name, this.#attribute(name, 'float', 'int')?.value ?? otherwise);
  }

  string(name: string, otherwise?: string): string {
    return needed(name, this.#attribute(name, 'string')?.value ?? otherwise);
  }

  ints(name: string): readonly number[] | undefined {
    return this.#attribute(name, 'ints')?.value;
  }

  floats(name: string): readonly number[] | undefined {
    return this.#attribute(name, 'floats')?.value;
  }

  tensor(name: string): OnnxTensor | undefined {
    return this.#attribute(name, 'tensor')?.value;
  }

  /** A stored tensor as a value. */
  stored(tensor: OnnxTensor, hint: string): Value {
    return this.#parts.stored(tensor, hint);
  }

  /** What an attribute that is a graph of one result makes of some inputs; undefined if there is none. */
  graph(name: string): ((inputs: readonly Value[]) => Value) | undefined {
    const graph = this.#attribute(name, 'graph')?.value;
    if (graph === undefined) return undefined;
    return (inputs) => {
      const result = this.#parts.run(graph, inputs);
      if (result === undefined) throw new CannotImport('E3001', `its \`${name}\` cannot be imported`);
      return result;
    };
  }

  /** Says that the node breaks a rule of ONNX, and is read as it must be meant (W1006). */
  doubt(why: string): void {
    this.#parts.doubt(why);
  }

  /** A call of another operator that this one has in it: its attributes are here with a prefix to their names. */
  inner(op: string, inputs: readonly Value[], prefix: string): Call {
    const attributes = [...this.#parts.attributes].flatMap(([name, attribute]) => (name.startsWith(prefix) ? [[name.slice(prefix.length), attribute] as const] : []));
    return new Call({ ...this.#parts, op, inputs, attributes: new Map(attributes) });
  }

  #told(i: number): readonly Dim[] | undefined {
    const value = this.inputs[i];
    if (value !== undefined && value.known === undefined) throw new CannotImport('E3001', `input ${i} says a shape or a place, and depends on data`);
    return value?.known;
  }

  #attribute<K extends OnnxAttribute['kind']>(name: string, ...kinds: readonly K[]): Extract<OnnxAttribute, { kind: K }> | undefined {
    const found = this.#parts.attributes.get(name);
    if (found === undefined) return undefined;
    if (!(kinds as readonly string[]).includes(found.kind)) throw new CannotImport('E1003', `attribute \`${name}\` is not of kind ${kinds.join(' or ')}`);
    return found as Extract<OnnxAttribute, { kind: K }>;
  }
}

function needed<T>(name: string, value: T | undefined): T {
  if (value === undefined) throw new CannotImport('E1003', `attribute \`${name}\` is missing`);
  return value;
}

/** The graph's name of a data type, by ONNX' number. */
export function dtypeOf(code: number): DType {
  const type = dataTypes.get(code);
  if (type?.dtype === undefined) throw new CannotImport('E3001', `data type ${type?.name ?? code} is not computed with`);
  return type.dtype;
}
