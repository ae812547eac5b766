import type { Dim } from '../../ir/types.ts';
import type { DataType } from './dtypes.ts';

/** A model as its file says it, checked to be well formed: every name defined once and before its uses, every tensor complete. */
export type OnnxModel = {
  readonly irVersion: number;
  readonly producer: string;
  /** Domain ('' is ai.onnx) to operator set version. */
  readonly opsets: ReadonlyMap<string, number>;
  readonly graph: OnnxGraph;
  /** By `functionKey`. */
  readonly functions: ReadonlyMap<string, OnnxFunction>;
};

export type OnnxGraph = {
  readonly name: string;
  /** In an order in which every name is defined before it is used. */
  readonly nodes: readonly OnnxNode[];
  readonly initializers: ReadonlyMap<string, OnnxTensor>;
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
};

export type OnnxNode = {
  readonly name: string;
  readonly opType: string;
  readonly domain: string;
  readonly overload: string;
  /** '' stands for an optional input or output that is not there. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: ReadonlyMap<string, OnnxAttribute>;
};

export type OnnxAttribute =
  | { readonly kind: 'float'; readonly value: number }
  | { readonly kind: 'int'; readonly value: number }
  | { readonly kind: 'floats'; readonly value: readonly number[] }
  | { readonly kind: 'ints'; readonly value: readonly number[] }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'strings'; readonly value: readonly string[] }
  | { readonly kind: 'tensor'; readonly value: OnnxTensor }
  | { readonly kind: 'graph'; readonly value: OnnxGraph }
  /** In a function: the caller's attribute of that name. */
  | { readonly kind: 'reference'; readonly value: string }
  | { readonly kind: 'other'; readonly value: number };

export type OnnxFunction = {
  readonly name: string;
  readonly domain: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Values of the attributes a call need not give. */
  readonly defaults: ReadonlyMap<string, OnnxAttribute>;
  readonly opsets: ReadonlyMap<string, number>;
  readonly nodes: readonly OnnxNode[];
};

/** Type of an input or output: undefined dims are of unknown rank; a type that is no tensor has no data type. */
export type OnnxValue = { readonly name: string; readonly type: DataType | undefined; readonly dims: readonly (Dim | undefined)[] | undefined };

export type OnnxTensor = { readonly name: string; readonly type: DataType; readonly dims: readonly number[]; readonly data: OnnxData };

export type OnnxData =
  /** Little-endian elements, sub-byte ones packed low first. */
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'file'; readonly file: string; readonly offset: number; readonly length: number }
  | { readonly kind: 'values'; readonly values: readonly number[] }
  | { readonly kind: 'strings'; readonly values: readonly string[] };

/** What a node's domain, operator and overload name among the model's functions. */
export const functionKey = (domain: string, name: string, overload: string): string => `${domain === 'ai.onnx' ? '' : domain}\n${name}\n${overload}`;

/** Elements of a tensor of these dims. */
export const elementsOf = (dims: readonly number[]): number => dims.reduce((product, dim) => product * dim, 1);
