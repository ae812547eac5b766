import type { Dim, DType } from '../../../ir/types.ts';
import { dataTypes } from '../dtypes.ts';
import type { Emitter } from '../emit.ts';
import type { OnnxAttribute, OnnxGraph, OnnxTensor } from '../model.ts';
import { CannotImport, type Value } from '../value.ts';

/** What an operator means in primitives: its outputs, as many as its definition has or fewer if the last are not wanted. */
export type Rule = (call: Call, emit: Emitter) => Value | readonly Value[];
export type Rules = Readonly<Record<string, Rule>>;

/** A node as its rule sees it. Attributes fall back to the default of the operator's definition; without one they must be there. */
export type Call = {
  readonly op: string;
  /** Version of the node's operator set. */
  readonly opset: number;
  readonly inputs: readonly (Value | undefined)[];
  /** Names of the outputs somebody may read, '' where nobody does. */
  readonly outputs: readonly string[];
  /** The input of that number. */
  readonly input: (i: number) => Value;
  /** The tensors of an input that is a list of them. */
  readonly list: (i: number) => readonly Value[];
  /** Inputs from `from` on, all there. */
  readonly rest: (from: number) => readonly Value[];
  /** Elements of an input that has to be known before the run; undefined if the input is not there. */
  readonly sizes: (i: number) => readonly Dim[] | undefined;
  /** The same, numbers all. */
  readonly numbers: (i: number) => readonly number[] | undefined;
  /** The one element of an input. */
  readonly single: (i: number) => Dim;
  readonly has: (name: string) => boolean;
  readonly int: (name: string, otherwise?: number) => number;
  readonly float: (name: string, otherwise?: number) => number;
  readonly string: (name: string, otherwise?: string) => string;
  readonly ints: (name: string) => readonly number[] | undefined;
  readonly floats: (name: string) => readonly number[] | undefined;
  readonly tensor: (name: string) => OnnxTensor | undefined;
  /** A stored tensor as a value. */
  readonly stored: (tensor: OnnxTensor, hint: string) => Value;
  /** What an attribute that is a graph of one result makes of some inputs; undefined if there is none. */
  readonly graph: (name: string) => ((inputs: readonly Value[]) => Value) | undefined;
  /** Says that the node breaks a rule of ONNX, and is read as it must be meant (W1006). */
  readonly doubt: (why: string) => void;
};

export type CallParts = Pick<Call, 'op' | 'opset' | 'inputs' | 'outputs' | 'stored' | 'doubt'> & { readonly attributes: ReadonlyMap<string, OnnxAttribute>; readonly run: (graph: OnnxGraph, inputs: readonly Value[]) => Value | undefined };

export function callOf({ attributes, run, ...parts }: CallParts): Call {
  const attribute = <K extends OnnxAttribute['kind']>(name: string, ...kinds: readonly K[]): Extract<OnnxAttribute, { kind: K }> | undefined => {
    const found = attributes.get(name);
    if (found === undefined) return undefined;
    if (!(kinds as readonly string[]).includes(found.kind)) throw new CannotImport('E1003', `attribute \`${name}\` is not of kind ${kinds.join(' or ')}`);
    return found as Extract<OnnxAttribute, { kind: K }>;
  };
  const needed = <T>(name: string, value: T | undefined): T => {
    if (value === undefined) throw new CannotImport('E1003', `attribute \`${name}\` is missing`);
    return value;
  };
  const sizes = (i: number): readonly Dim[] | undefined => {
    const value = parts.inputs[i];
    if (value !== undefined && value.known === undefined) throw new CannotImport('E3001', `input ${i} says a shape or a place, and depends on data`);
    return value?.known;
  };
  return {
    ...parts,
    sizes,
    input: (i) => {
      const value = parts.inputs[i];
      if (value === undefined) throw new CannotImport('E1003', `input ${i} is missing`);
      if (value.parts !== undefined && parts.op !== 'Identity') throw new CannotImport('E1003', `input ${i} is a list of tensors`);
      return value;
    },
    list: (i) => {
      const list = parts.inputs[i]?.parts;
      if (list === undefined) throw new CannotImport('E1003', `input ${i} is not a list of tensors`);
      return list;
    },
    rest: (from) => parts.inputs.slice(from).filter((value) => value !== undefined),
    numbers: (i) =>
      sizes(i)?.map((each) => {
        if (typeof each !== 'number') throw new CannotImport('E3001', `input ${i} depends on the sizes of the run: ${each}`);
        return each;
      }),
    single: (i) => {
      const [only, more] = sizes(i) ?? [];
      if (only === undefined || more !== undefined) throw new CannotImport('E1003', `input ${i} is not a single number`);
      return only;
    },
    has: (name) => attributes.has(name),
    int: (name, otherwise) => needed(name, attribute(name, 'int')?.value ?? otherwise),
    float: (name, otherwise) => needed(name, attribute(name, 'float', 'int')?.value ?? otherwise),
    string: (name, otherwise) => needed(name, attribute(name, 'string')?.value ?? otherwise),
    ints: (name) => attribute(name, 'ints')?.value,
    floats: (name) => attribute(name, 'floats')?.value,
    tensor: (name) => attribute(name, 'tensor')?.value,
    graph: (name) => {
      const graph = attribute(name, 'graph')?.value;
      if (graph === undefined) return undefined;
      return (inputs) => {
        const result = run(graph, inputs);
        if (result === undefined) throw new CannotImport('E3001', `its \`${name}\` cannot be imported`);
        return result;
      };
    },
  };
}

/** The graph's name of a data type, by ONNX' number. */
export function dtypeOf(code: number): DType {
  const type = dataTypes.get(code);
  if (type?.dtype === undefined) throw new CannotImport('E3001', `data type ${type?.name ?? code} is not computed with`);
  return type.dtype;
}
