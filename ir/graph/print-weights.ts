import { tensorsOf, withParts } from '../weight-expr.ts';
import type { WeightExpr } from '../weights.ts';
import { printNumber, quote } from './text.ts';

/** `expr`; `template for 0..80` where instances differ only in one counting number of their tensors' names; else `{ expr; expr }`. */
export function printInstances(instances: readonly WeightExpr[]): string {
  if (instances.length === 1) return printExpr(instances[0] as WeightExpr);
  const counted = templateOf(instances);
  if (counted !== undefined) return `${printExpr(counted.template)} for ${counted.first}..${counted.first + instances.length}`;
  return `{ ${instances.map(printExpr).join('; ')} }`;
}

/** The expression with `{}` in tensor names replaced by a number. */
export function instantiate(template: WeightExpr, value: number): WeightExpr {
  return renamed(template, (name) => name.replaceAll('{}', String(value)));
}

function printExpr(expr: WeightExpr): string {
  const call = (name: string, numbers: readonly number[], of: readonly WeightExpr[]): string => `${name}${list(numbers)}(${of.map(printExpr).join(', ')})`;
  switch (expr.kind) {
    case 'tensor':
      return quote(expr.name);
    case 'values':
      return `values${list(expr.shape)}(${expr.values.map(printNumber).join(', ')})`;
    case 'transpose':
      return `transpose(${printExpr(expr.of)})`;
    case 'reshape':
      return call('reshape', expr.shape, [expr.of]);
    case 'slice':
      return call('slice', [expr.axis, expr.start, expr.end], [expr.of]);
    case 'concat':
      return call('concat', [expr.axis], expr.of);
    case 'scale':
      return call('scale', [expr.by], [expr.of]);
    case 'unpack':
      return call('unpack', [expr.bits], [expr.of]);
    case 'dequantise':
      return call('dequantise', expr.block, [expr.of, expr.scale, ...(expr.zeroPoint === undefined ? [] : [expr.zeroPoint])]);
    case 'shard':
      return call('shard', [expr.axis, expr.parts], [expr.of]);
    case 'rope':
      return `rope${list([expr.positions, expr.amplitude])}(${expr.frequencies.map(printNumber).join(', ')})`;
  }
}

const list = (numbers: readonly number[]): string => `[${numbers.map(printNumber).join(', ')}]`;

/** The template is guessed from the first two instances and believed only if it makes all of them. */
function templateOf(instances: readonly WeightExpr[]): { readonly template: WeightExpr; readonly first: number } | undefined {
  const [zero, one] = instances;
  if (zero === undefined || one === undefined) return undefined;
  const names = tensorsOf(one);
  let first: number | undefined;
  let at = 0;
  const template = renamed(zero, (name) => {
    const parts = name.split(/(\d+)/);
    const others = (names[at++] ?? '').split(/(\d+)/);
    return parts.map((part, i) => {
      if (part === others[i] || i % 2 === 0) return part;
      first ??= Number(part);
      return part === String(first) ? '{}' : part;
    }).join('');
  });
  const start = first ?? 0;
  const fits = instances.every((instance, i) => printExpr(instantiate(template, start + i)) === printExpr(instance));
  return fits ? { template, first: start } : undefined;
}

const renamed = (expr: WeightExpr, rename: (name: string) => string): WeightExpr =>
  expr.kind === 'tensor' ? { ...expr, name: rename(expr.name) } : withParts(expr, (part) => renamed(part, rename));

