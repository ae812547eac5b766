import type { Diagnostics, Origin } from '../../diagnostics/diagnostic.ts';
import { equalDims, equalShapes, parseDim, volumeOf } from '../dims.ts';
import { type Dim, isFloat, type TensorType, type ValueId } from '../types.ts';
import type { Weight } from '../weights.ts';
import { CustomLayerError } from './custom.ts';
import { broadcastShapes } from './infer-primitives.ts';
import { explicitKinds, inferResults, isTensorKind, roundingKinds } from './infer.ts';
import type { Block, GraphModule, GraphOp, OpOf } from './module.ts';
import type { OpKind } from './ops.ts';
import { printType } from './print.ts';

/**
 * Reports E5004 for every breach of the rules of the graph IR:
 *
 *  1. Every value is defined once; operands and yields are defined before, in the same block or one around it.
 *  2. Dimensions are canonical, sizes whole and not negative.
 *  3. Operands are as many and of such types as the op takes; results are what `inferResults` says, up to the dtype where the
 *     op rounds to it, and up to sizes that only the run can compare in ops on tensors.
 *  4. A loop's operands, parameters, yields and results agree in types; it runs at least once. So do a fused op's operands and parameters, its yields and results.
 *  5. A weight op names a weight of the module and has its type; a weight has one instance, or one for each iteration of
 *     the innermost loop that uses it. Names of weights are unique.
 *  6. Parameters pair with inputs (row lists are i32 [tokens]), yields with outputs (rows are tokens or samples).
 *  7. A cached attention names a cache of the module with its kvHeads and headDim, and a layer of it for each iteration; no two share one.
 *  8. A custom op names a layer of the module, which infers its result.
 */
export function verifyGraph(module: GraphModule, diagnostics: Diagnostics): void {
  const report = (message: string, origin: Origin): void => diagnostics.report({ code: 'E5004', message, origin });
  const check: Check = { module, report, weights: new Map(module.weights.map((weight) => [weight.name, weight])), seen: new Uint8Array(module.types.length), caches: new Map() };
  module.types.forEach((type, value) => {
    const wrong = type.shape.find((dim) => !isCanonical(dim));
    if (wrong !== undefined) report(`\`${wrong}\`, a dimension of %${value}, is not in canonical form`, none);
  });
  const names = new Set<string>();
  for (const { name } of module.weights) {
    if (names.has(name)) report(`two weights are named \`${name}\``, { kind: 'tensor', name });
    names.add(name);
  }
  verifyEnds(check);
  verifyBlock(module.body, check, []);
}

type Check = {
  readonly module: GraphModule;
  readonly report: (message: string, origin: Origin) => void;
  readonly weights: ReadonlyMap<string, Weight>;
  /** Of each value that has a type: 0 before it is defined, `inScope`, or `goneBy` after the end of its block. */
  readonly seen: Uint8Array;
  /** Cache name to the attention that uses it. */
  readonly caches: Map<string, GraphOp>;
};
const none: Origin = { kind: 'none' };

function isCanonical(dim: Dim): boolean {
  if (typeof dim === 'number') return Number.isSafeInteger(dim) && dim >= 0;
  try {
    return parseDim(dim) === dim;
  } catch {
    return false;
  }
}

function verifyEnds({ module, report }: Check): void {
  const { inputs, outputs, body } = module;
  if (inputs.length !== body.params.length) report(`${inputs.length} inputs pair with ${body.params.length} parameters`, none);
  if (outputs.length !== body.yields.length) report(`${outputs.length} outputs pair with ${body.yields.length} results`, none);
  inputs.forEach(({ name, feed }, i) => {
    const type = module.types[body.params[i] as ValueId];
    if (feed === 'tensor' || type === undefined) return;
    if (feed === 'rows') {
      if (!isFloat(type.dtype) || type.shape.length !== 2 || (type.shape[0] !== 'tokens' && type.shape[0] !== 'memory') || typeof type.shape[1] !== 'number') report(`input \`${name}\` is ${printType(type)}, not floats[tokens, features] or floats[memory, features]`, none);
    } else if (!(type.dtype === 'i32' && equalShapes(type.shape, ['tokens']))) report(`input \`${name}\` is ${printType(type)}, not i32[tokens]`, none);
  });
  outputs.forEach(({ name, rows }, i) => {
    const type = module.types[body.yields[i] as ValueId];
    if (rows !== 'tensor' && type !== undefined && type.shape[0] !== rows) report(`output \`${name}\` is ${printType(type)}, and has no row for each of ${rows}`, none);
  });
}

const [inScope, goneBy] = [1, 2];

/** Values of a block go out of scope with it, but are not defined again. */
function verifyBlock(block: Block, check: Check, trips: readonly number[]): void {
  const { report, seen } = check;
  const define = (values: readonly ValueId[], origin: Origin): void => {
    for (const value of values) {
      if (seen[value] === undefined) report(`%${value} has no type`, origin);
      else if (seen[value] !== 0) report(`%${value} is defined twice`, origin);
      seen[value] = inScope;
    }
  };
  const read = (values: readonly ValueId[], origin: Origin): boolean => {
    const unknown = values.filter((value) => seen[value] !== inScope);
    for (const value of unknown) report(`%${value} is read where it is not defined`, origin);
    return unknown.length === 0;
  };
  define(block.params, none);
  for (const op of block.ops) {
    const isReadable = read(op.operands, op.origin);
    if (op.body !== undefined) verifyBlock(op.body, check, op.kind === 'loop' ? [...trips, op.attrs.trip] : trips);
    define(op.results, op.origin);
    if (isReadable) verifyOp(op, check, trips);
  }
  read(block.yields, none);
  for (const value of block.params) seen[value] = goneBy;
  for (const { results } of block.ops) for (const value of results) seen[value] = goneBy;
}

function verifyOp(op: GraphOp, check: Check, trips: readonly number[]): void {
  const { module } = check;
  const typesOf = (values: readonly ValueId[]): readonly TensorType[] => values.map((value) => module.types[value]).filter((type) => type !== undefined);
  const operands = typesOf(op.operands);
  const results = typesOf(op.results);
  const fault = (message: string): void => check.report(`\`${op.kind}\`${op.results.map((value) => ` %${value}`).join('')}: ${message}`, op.origin);
  if (op.kind === 'weight') return verifyWeight(op, results, trips, { weight: check.weights.get(op.attrs.name), fault });
  if (op.kind === 'loop') verifyLoop(op, typesOf, fault);
  if (op.kind === 'fused') return verifyFused(op, typesOf, fault);
  if (op.kind === 'attention') verifyCache(op, check, trips, fault);
  const expected = expectedResults(op, operands, results, module);
  if (typeof expected === 'string') return fault(expected);
  if (expected.length !== results.length) return fault(`${results.length} results, not ${expected.length}`);
  results.forEach((result, i) => {
    const wanted = expected[i] as TensorType;
    const shape = isTensorKind(op.kind) ? comparable(result.shape, wanted.shape) : equalShapes(result.shape, wanted.shape);
    const dtype = result.dtype === wanted.dtype || (roundingKinds.has(op.kind) && floats.has(result.dtype));
    if (!shape || !dtype) fault(`the result is ${printType(result)}, not ${printType(wanted)}`);
  });
}

const floats: ReadonlySet<string> = new Set(['f64', 'f32', 'f16', 'bf16', 'e4m3', 'e5m2']);

/** The types results must have, or what is wrong with the operands. */
function expectedResults(op: GraphOp, operands: readonly TensorType[], results: readonly TensorType[], module: GraphModule): readonly TensorType[] | string {
  try {
    if (op.kind === 'custom') {
      const layer = module.customLayers.find(({ name }) => name === op.attrs.layer);
      return layer === undefined ? `the module has no custom layer \`${op.attrs.layer}\`` : [layer.infer(operands, op.attrs.attrs)];
    }
    if (!explicitKinds.has(op.kind)) return inferResults(op.kind, op.attrs, operands);
    return explicitProblem(op, operands, results) ?? results;
  } catch (error) {
    if (error instanceof CustomLayerError) throw error;
    return error instanceof Error ? error.message : String(error);
  }
}

/** What is wrong with an op whose result type is its maker's word. */
function explicitProblem(op: GraphOp, operands: readonly TensorType[], results: readonly TensorType[]): string | undefined {
  const [x] = operands;
  const [result] = results;
  const takes = takesNone.has(op.kind) ? 0 : 1;
  if (operands.length !== takes) return `${operands.length} operands where ${takes} are wanted`;
  if (result === undefined || results.length !== 1) return `${results.length} results, not 1`;
  if (op.kind === 'pconst' && op.attrs.values.length !== 1 && op.attrs.values.length !== volumeOf(result.shape)) return `${op.attrs.values.length} values of ${printType(result)}`;
  if (op.kind === 'take' && !(result.shape.length === 2 && result.shape[0] === 'tokens')) return `the result is ${printType(result)}, not rows of tokens`;
  if (op.kind === 'piota' && result.shape.length !== 1) return `the result is ${printType(result)}, not a list`;
  if (x === undefined) return undefined;
  const unless = (holds: boolean): string | undefined => (holds ? undefined : `an operand ${printType(x)} cannot become ${printType(result)}`);
  if (op.kind === 'convert') return unless(equalShapes(x.shape, result.shape));
  if (op.kind === 'pcast') return unless(comparable(x.shape, result.shape));
  if (x.dtype !== result.dtype) return unless(false);
  if (op.kind === 'preshape') return unless(!isStatic(x.shape) || !isStatic(result.shape) || volumeOf(x.shape) === volumeOf(result.shape));
  return unless(comparable(broadcastShapes(x.shape, result.shape), result.shape));
}

const takesNone: ReadonlySet<OpKind> = new Set<OpKind>(['pconst', 'piota', 'take']);

const isStatic = (shape: readonly Dim[]): boolean => shape.every((dim) => typeof dim === 'number');

/** Whether two shapes may be one when the sizes are known. */
const comparable = (a: readonly Dim[], b: readonly Dim[]): boolean =>
  a.length === b.length && a.every((dim, i) => typeof dim === 'string' || typeof b[i] === 'string' || equalDims(dim, b[i] as Dim));

type Fault = (message: string) => void;

function verifyWeight(op: OpOf<'weight'>, results: readonly TensorType[], trips: readonly number[], { weight, fault }: { readonly weight: Weight | undefined; readonly fault: Fault }): void {
  const [result] = results;
  const trip = trips.at(-1) ?? 1;
  if (op.operands.length > 0 || result === undefined || results.length > 1) return fault('a weight has no operands and one result');
  if (weight === undefined) return fault(`the module has no weight \`${op.attrs.name}\``);
  if (result.dtype !== weight.dtype || !equalShapes(result.shape, weight.shape)) fault(`the result is ${printType(result)}, the weight ${printType(weight)}`);
  if (weight.instances.length !== 1 && weight.instances.length !== trip) fault(`\`${weight.name}\` has ${weight.instances.length} instances for ${trip} iterations`);
}

function verifyLoop(op: OpOf<'loop'>, typesOf: (values: readonly ValueId[]) => readonly TensorType[], fault: Fault): void {
  if (!(Number.isSafeInteger(op.attrs.trip) && op.attrs.trip > 0)) fault(`${op.attrs.trip} iterations`);
  const carried = typesOf(op.operands).map(printType).join(', ');
  for (const [what, values] of [['parameters', op.body.params], ['yields', op.body.yields]] as const) {
    const types = typesOf(values).map(printType).join(', ');
    if (types !== carried) fault(`the body's ${what} are (${types}), not (${carried})`);
  }
}

function verifyFused(op: OpOf<'fused'>, typesOf: (values: readonly ValueId[]) => readonly TensorType[], fault: Fault): void {
  const told = (values: readonly ValueId[]): string => `(${typesOf(values).map(printType).join(', ')})`;
  if (told(op.body.params) !== told(op.operands)) fault(`the body's parameters are ${told(op.body.params)}, not ${told(op.operands)}`);
  if (told(op.results) !== told(op.body.yields)) fault(`the results are ${told(op.results)}, not ${told(op.body.yields)}`);
}

function verifyCache(op: OpOf<'attention'>, { module, caches }: Check, trips: readonly number[], fault: Fault): void {
  const { cache: name, kvHeads, headDim } = op.attrs;
  if (name === '') return;
  const cache = module.caches.find((candidate) => candidate.name === name);
  if (cache === undefined) return fault(`the module has no cache \`${name}\``);
  const layers = trips.reduce((product, trip) => product * trip, 1);
  if (cache.kvHeads !== kvHeads || cache.headDim !== headDim) fault(`cache \`${name}\` has ${cache.kvHeads} heads of ${cache.headDim}, not ${kvHeads} of ${headDim}`);
  if (cache.layers !== layers) fault(`cache \`${name}\` has ${cache.layers} layers for ${layers} iterations`);
  if (caches.has(name)) fault(`cache \`${name}\` is another attention's too`);
  caches.set(name, op);
}
