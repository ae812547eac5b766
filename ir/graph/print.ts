import type { Origin } from '../../diagnostics/diagnostic.ts';
import { parseDim } from '../dims.ts';
import type { Dim, TensorType, ValueId } from '../types.ts';
import type { Weight } from '../weights.ts';
import { type AttributeKind, attributesOf, type AttributeValue } from './attributes.ts';
import { allOps, type Block, type GraphModule, type GraphOp } from './module.ts';
import { printInstances } from './print-weights.ts';
import { printNumber, quote } from './text.ts';

/** A module as text; `parseGraph` reads it back, all but `source`. */
export function printGraph(module: GraphModule): string {
  const lines = [
    `module ${quote(module.name)} family ${quote(module.family)}`,
    ...module.customLayers.map(({ name }) => `custom ${quote(name)}`),
    ...module.inputs.map(({ name, feed }) => `input ${quote(name)}: ${feed}`),
    ...module.outputs.map(({ name, rows }) => `output ${quote(name)}: ${rows}`),
    ...module.caches.map(({ name, layers, kvHeads, headDim }) => `cache ${quote(name)}: layers ${layers}, kvHeads ${kvHeads}, headDim ${headDim}`),
    ...module.weights.map(printWeight),
    ...undefinedValues(module).map((value) => `value ${typed(value, module)}`),
    '',
    `body ${printParams(module.body, module)} {`,
    ...printBlock(module.body, 'return', module).map((line) => `  ${line}`),
    '}',
  ];
  return `${lines.join('\n')}\n`;
}

export const printType = ({ dtype, shape }: TensorType): string => `${dtype}[${shape.map(printDim).join(', ')}]`;

const printDim = (dim: Dim): string => String(typeof dim === 'number' ? dim : parseDim(dim));
const printWeight = (weight: Weight): string => `weight ${quote(weight.name)}: ${printType(weight)} = ${printInstances(weight.instances)}`;
const typed = (value: ValueId, module: GraphModule): string => `%${value}: ${printType(module.types[value] as TensorType)}`;
const printParams = (block: Block, module: GraphModule): string => `(${block.params.map((param) => typed(param, module)).join(', ')})`;
const printValues = (values: readonly ValueId[]): string => values.map((value) => `%${value}`).join(', ');

function printBlock(block: Block, end: 'return' | 'yield', module: GraphModule): readonly string[] {
  const ops = block.ops.flatMap((op) => {
    const from = printFrom(op.origin);
    if (op.body === undefined) return [printHead(op, module) + from];
    return [`${printHead(op, module)} ${printParams(op.body, module)} {`, ...printBlock(op.body, 'yield', module).map((line) => `  ${line}`), `}${from}`];
  });
  return [...ops, `${end} ${printValues(block.yields)}`.trimEnd()];
}

function printHead(op: GraphOp, module: GraphModule): string {
  const results = op.results.map((value) => typed(value, module)).join(', ');
  const attrs: Readonly<Record<string, AttributeValue>> = op.attrs;
  const printed = Object.entries(attributesOf(op.kind)).flatMap(([name, kind]) => printAttribute(name, kind, attrs[name]));
  return `${results} = ${op.kind}(${printValues(op.operands)})${printed.length === 0 ? '' : ` {${printed.join(', ')}}`}`;
}

/** A flag is its name where it holds and nothing where it does not. */
function printAttribute(name: string, kind: AttributeKind, value: AttributeValue | undefined): readonly string[] {
  if (kind === 'flag') return value === true ? [name] : [];
  if (value === undefined) return [];
  return [`${name} ${typeof kind === 'object' ? String(value) : printValue(value)}`];
}

function printValue(value: AttributeValue): string {
  if (typeof value === 'number') return printNumber(value);
  if (typeof value === 'string') return quote(value);
  if (typeof value === 'boolean') return String(value);
  if (isList(value)) return `[${value.map(printValue).join(', ')}]`;
  return `{${Object.entries(value).map(([key, of]) => `${quote(key)} ${printValue(of)}`).join(', ')}}`;
}

const isList = (value: AttributeValue): value is readonly number[] | readonly string[] => Array.isArray(value);

const printFrom = (origin: Origin): string => (origin.kind === 'none' ? '' : ` ; from ${printOrigin(origin)}`);

function printOrigin(origin: Origin): string {
  switch (origin.kind) {
    case 'onnx':
      return `onnx ${quote(origin.node)} ${quote(origin.op)}`;
    case 'config':
      return `config ${quote(origin.path)}`;
    case 'tensor':
      return `tensor ${quote(origin.name)}`;
    case 'file':
      return `file ${quote(origin.path)}${origin.offset === undefined ? '' : ` ${origin.offset}`}`;
    case 'text':
      return `text ${quote(origin.file)} ${origin.line} ${origin.column}`;
    case 'derived':
      return `${quote(origin.by)}(${origin.from.map(printOrigin).join(', ')})`;
    case 'none':
      return 'none';
  }
}

/** Values no op and no block defines; modules that passes have compacted have none. */
function undefinedValues(module: GraphModule): readonly ValueId[] {
  const defined = new Set<ValueId>(module.body.params);
  for (const op of allOps(module.body)) {
    for (const value of [...op.results, ...(op.body?.params ?? [])]) defined.add(value);
  }
  return module.types.map((_, value) => value as ValueId).filter((value) => !defined.has(value));
}
