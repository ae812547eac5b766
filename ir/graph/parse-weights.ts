import type { WeightExpr } from '../weights.ts';
import type { At, ExprSyntax } from './grammar.ts';
import { instantiate } from './print-weights.ts';

/** Something the text says that does not make sense, and where. */
export class TextError extends Error {
  readonly at: At;
  constructor(message: string, at: At) {
    super(message);
    this.at = at;
  }
}

/** Instances of a weight from what is printed of them; `range`: from, to (exclusive) of the number `{}` stands for. */
export function instancesOf(exprs: readonly ExprSyntax[], range: readonly [number, number] | undefined, at: At): readonly WeightExpr[] {
  const read = exprs.map((expr) => exprOf(expr, at));
  const [template] = read;
  if (range === undefined || template === undefined) return read;
  const [first, end] = range;
  if (!(end - first >= 0 && end - first <= mostInstances)) throw new TextError(`${first}..${end} is not a range of at most ${mostInstances}`, at);
  return Array.from({ length: end - first }, (_, i) => instantiate(template, first + i));
}

const mostInstances = 100_000;

type Call = Extract<ExprSyntax, { kind: 'call' }>;

function exprOf(syntax: ExprSyntax, at: At): WeightExpr {
  if (syntax.kind === 'text') return { kind: 'tensor', name: syntax.text };
  if (syntax.kind === 'number') throw new TextError(`${syntax.value} is not a weight`, at);
  const make = (makers as Readonly<Record<string, ((call: Call) => WeightExpr) | undefined>>)[syntax.name];
  if (make === undefined) throw new TextError(`\`${syntax.name}\` is none of ${Object.keys(makers).join(', ')}`, syntax.at);
  return make(syntax);
}

const makers: { readonly [K in Exclude<WeightExpr['kind'], 'tensor'>]: (call: Call) => WeightExpr } = {
  values: (call) => ({ kind: 'values', shape: call.numbers, values: numbers(call) }),
  transpose: (call) => ({ kind: 'transpose', of: one(call) }),
  reshape: (call) => ({ kind: 'reshape', of: one(call), shape: call.numbers }),
  slice: (call) => ({ kind: 'slice', of: one(call), axis: at(call, 0), start: at(call, 1), end: at(call, 2) }),
  concat: (call) => ({ kind: 'concat', axis: at(call, 0), of: call.args.map((arg) => exprOf(arg, call.at)) }),
  scale: (call) => ({ kind: 'scale', of: one(call), by: at(call, 0) }),
  unpack: (call) => ({ kind: 'unpack', of: one(call), bits: at(call, 0) }),
  dequantise: (call) => {
    const [of, scale, zeroPoint, ...more] = call.args.map((arg) => exprOf(arg, call.at));
    if (of === undefined || scale === undefined || more.length > 0) throw new TextError('`dequantise` is of a weight, its scales and perhaps its zero points', call.at);
    return { kind: 'dequantise', of, scale, zeroPoint, block: call.numbers };
  },
  shard: (call) => ({ kind: 'shard', of: one(call), axis: at(call, 0), parts: at(call, 1) }),
  rope: (call) => ({ kind: 'rope', frequencies: numbers(call), positions: at(call, 0), amplitude: at(call, 1) }),
};

function one(call: Call): WeightExpr {
  const [of] = call.args;
  if (of === undefined || call.args.length > 1) throw new TextError(`\`${call.name}\` is of one weight`, call.at);
  return exprOf(of, call.at);
}

function at(call: Call, i: number): number {
  const number = call.numbers[i];
  if (number === undefined) throw new TextError(`\`${call.name}\` has too few numbers`, call.at);
  return number;
}

const numbers = (call: Call): readonly number[] =>
  call.args.map((arg) => {
    if (arg.kind !== 'number') throw new TextError(`\`${call.name}\` is of numbers`, call.at);
    return arg.value;
  });
