import { volumeOf } from '../../../ir/dims.ts';
import { binaryFunctions, blockActivations, moeScores, type OpKind, ropePairs, scatterReductions, unaryFunctions } from '../../../ir/graph/ops.ts';
import { activations, routeScores } from '../../../isa-spec/instructions.ts';
import type { Dim, TensorType, ValueId } from '../../../ir/types.ts';
import { tableRows, type Workshop } from './workshop.ts';

/** How to make an op of each kind from what is in scope; undefined when nothing there fits. */
export type Recipe = (shop: Workshop) => readonly ValueId[] | undefined;

const plain = { activation: 'none', gated: false, scaled: false, bias: false, residual: false } as const;
const floats: readonly string[] = ['f32', 'bf16', 'e4m3'];

/** A float matrix in scope with a row a token or a sample, and its columns. */
function matrix(shop: Workshop, rows: readonly Dim[] = ['tokens', 'samples']): { x: ValueId; width: number; rows: Dim; type: TensorType } | undefined {
  const fitting = shop.scope.filter((value) => {
    const { dtype, shape } = shop.type(value);
    return floats.includes(dtype) && shape.length === 2 && rows.includes(shape[0] as Dim) && typeof shape[1] === 'number';
  });
  if (fitting.length === 0) return undefined;
  const x = shop.tape.one(fitting);
  const type = shop.type(x);
  return { x, type, rows: type.shape[0] as Dim, width: type.shape[1] as number };
}

/** Any value of a rank. */
function value(shop: Workshop, leastRank = 0): { x: ValueId; type: TensorType } | undefined {
  const fitting = shop.scope.filter((candidate) => shop.type(candidate).shape.length >= leastRank);
  if (fitting.length === 0) return undefined;
  const x = shop.tape.one(fitting);
  return { x, type: shop.type(x) };
}

const divisors = (n: number): readonly number[] => Array.from({ length: n }, (_, i) => i + 1).filter((d) => n % d === 0);

/** An op of a matrix. */
const onMatrix = (make: (shop: Workshop, x: NonNullable<ReturnType<typeof matrix>>) => readonly ValueId[], rows?: readonly Dim[]): Recipe => (shop) => {
  const found = matrix(shop, rows);
  return found === undefined ? undefined : make(shop, found);
};
/** An op of any tensor. */
const onValue = (make: (shop: Workshop, x: NonNullable<ReturnType<typeof value>>) => ValueId, leastRank = 0): Recipe => (shop) => {
  const found = value(shop, leastRank);
  return found === undefined ? undefined : [make(shop, found)];
};
const axisOf = ({ tape }: Workshop, { shape }: TensorType): number => tape.below(shape.length);

export const recipes: { readonly [K in OpKind]: Recipe } = {
  weight: (shop) => [shop.weight([1 + shop.tape.below(3), 2 * (1 + shop.tape.below(3))])],
  embed: (shop) => [shop.build.op('embed', {}, [shop.ids, shop.weight([tableRows, shop.tape.one([4, 8])])])],
  norm: onMatrix(({ build, tape, weight }, { x, width }) => {
    const norm = tape.one(['rms', 'layer'] as const);
    const parameters = Array.from({ length: tape.below(norm === 'rms' ? 2 : 3) }, () => weight([width]));
    return [build.op('norm', { norm, groups: tape.one(divisors(width)), epsilon: tape.one([1e-5, 0.1]) }, [x, ...parameters])];
  }),
  linear: onMatrix(({ build, tape, weight, scope, type }, { x, width, rows }) => {
    const n = 2 * (1 + tape.below(4));
    const attrs = { activation: tape.one(activations), gated: tape.below(2) === 1, scaled: tape.below(4) === 1, bias: tape.below(2) === 1, residual: tape.below(2) === 1 };
    const [codes, scales] = attrs.scaled ? build.ops('quantise', { blocks: tape.below(2) === 1 }, [x]) : [x];
    const residuals = scope.filter((candidate) => type(candidate).shape.length === 2 && type(candidate).shape[0] === rows && type(candidate).shape[1] === (attrs.gated ? n / 2 : n) && floats.includes(type(candidate).dtype));
    const residual = attrs.residual && residuals.length > 0 ? [tape.one(residuals)] : [];
    const operands = [codes as ValueId, weight([n, width]), ...(attrs.scaled ? [scales as ValueId, weight([n])] : []), ...(attrs.bias ? [weight([n])] : []), ...residual];
    return [build.op('linear', { ...attrs, residual: residual.length > 0 }, operands)];
  }),
  rope: onMatrix(({ build, tape, positions }, { x, width }) => {
    const headDim = tape.one(divisors(width));
    const pairs = tape.below(Math.floor(headDim / 2) + 1);
    const frequencies = Array.from({ length: pairs }, (_, i) => 10000 ** (-i / (pairs + 1)));
    return [build.op('rope', { headDim, frequencies, amplitude: tape.one([1, 0.7]), interleaved: tape.below(2) === 1, positions: 64 }, [x, positions])];
  }, ['tokens']),
  attention: onMatrix(({ build, tape, weight, caches, trips }, { x, width }) => {
    const headDim = tape.one(divisors(width));
    const heads = width / headDim;
    const kvHeads = tape.one(divisors(heads));
    const [k, v] = [0, 1].map(() => build.op('linear', plain, [x, weight([kvHeads * headDim, width])])) as [ValueId, ValueId];
    const cache = tape.below(2) === 1 ? `kv ${caches.length}` : '';
    if (cache !== '') caches.push({ name: cache, layers: trips.reduce((product, trip) => product * trip, 1), kvHeads, headDim });
    const mask = tape.one(['causal', 'full'] as const);
    const [sinks, slopes] = [0, 1].map(() => (tape.below(4) === 1 ? [weight([heads])] : [])) as [ValueId[], ValueId[]];
    return [build.op('attention', { heads, kvHeads, headDim, scale: 1 / Math.sqrt(headDim), softCap: tape.one([0, 0, 30]), sinks: sinks.length > 0, slopes: slopes.length > 0, mask, window: tape.one([0, 0, 2]), cache }, [x, k, v, ...sinks, ...slopes])];
  }, ['tokens']),
  experts: onMatrix(({ build, tape, weight }, { x, width }) => {
    const [experts, inner] = [1 + tape.below(3), 1 + tape.below(2)];
    const attrs = { experts, k: 1 + tape.below(experts), scores: tape.one(routeScores), normalise: tape.below(2) === 1, activation: tape.one(activations), scaled: tape.below(2) === 1, biased: tape.below(2) === 1, bias: tape.below(2) === 1, parts: 1, whole: false };
    const logits = build.op('linear', plain, [x, weight([experts, width])]);
    const perRow = (present: boolean): readonly ValueId[] => (present ? [weight([experts * 2 * inner]), weight([experts * width])] : []);
    return [build.op('experts', attrs, [x, logits, weight([experts * 2 * inner, width]), weight([experts * width, inner]), ...perRow(attrs.scaled), ...(attrs.biased ? [weight([experts])] : []), ...perRow(attrs.bias)])];
  }),
  sampleRows: onMatrix(({ build }, { x }) => [build.op('sampleRows', {}, [x])], ['tokens']),
  activate: onMatrix(({ build, tape }, { x }) => [build.op('activate', { activation: tape.one(activations) }, [x])]),
  add: onMatrix((shop, { x, type }) => [shop.build.op('add', {}, [x, alike(shop, type) ?? x])]),
  multiply: onMatrix((shop, { x, type }) => [shop.build.op('multiply', {}, [x, alike(shop, type) ?? x])]),
  scale: onMatrix(({ build, tape, weight }, { x, width }) => [build.op('scale', {}, [x, weight([tape.one([1, width])])])]),
  columns: onMatrix(({ build, tape }, { x, width }) => {
    const start = tape.below(width);
    return [build.op('columns', { start, end: start + 1 + tape.below(width - start) }, [x])];
  }),
  quantise: onMatrix(({ build, tape }, { x }) => build.ops('quantise', { blocks: tape.below(2) === 1 }, [x]).slice(0, 1)),
  convert: onMatrix(({ build, tape }, { x, type }) => [build.op('convert', {}, [x], { ...type, dtype: tape.one(['f32', 'bf16'] as const) })]),
  allgather: onMatrix(({ build, tape }, { x, width }) => [build.op('allgather', { parts: 1 + tape.below(2), strips: tape.one([1, width]) }, [x])]),
  take: ({ build, tape }) => [build.op('take', { value: 0 }, [], { dtype: 'bf16', shape: ['tokens', tape.one([4, 8])] })],
  give: onMatrix(({ build }, { x }) => [build.op('give', { value: 0 }, [x])]),
  loop: (shop) => {
    const carried = [matrix(shop)?.x, matrix(shop)?.x].slice(0, 1 + shop.tape.below(2)).filter((x) => x !== undefined);
    if (shop.trips.length > 0 || carried.length === 0) return undefined;
    const trip = 1 + shop.tape.below(3);
    return shop.build.loop(trip, carried, (params) => {
      const inside = shop.inside(trip, params);
      return params.map((param) => alike(inside, shop.type(param)) ?? param);
    });
  },
  fused: (shop) => {
    const operands = [matrix(shop)?.x, matrix(shop)?.x].slice(0, 1 + shop.tape.below(2)).filter((x) => x !== undefined);
    if (operands.length === 0) return undefined;
    return shop.build.fused(operands, (params) => {
      const inside = shop.inside(undefined, params);
      return [inside.scope.at(-1) as ValueId, ...params].slice(0, 1 + shop.tape.below(2));
    });
  },
  custom: onMatrix(({ build }, { x, type }) => [build.op('custom', { layer: 'triple', attrs: { alpha: 0.5, name: 'a "b"', list: [1, -2, Infinity] } }, [x], type)]),
  pconst: ({ build, tape }) => [build.op('pconst', { values: tape.one([[0, -1, 2.5], [NaN, -Infinity, 1e300], [7]]) }, [], { dtype: 'f32', shape: [3] })],
  punary: onValue(({ build, tape }, { x }) => build.op('punary', { fn: tape.one(unaryFunctions) }, [x])),
  pbinary: onValue((shop, { x, type }) => shop.build.op('pbinary', { fn: shop.tape.one(binaryFunctions) }, [x, alike(shop, type) ?? x])),
  pwhere: onValue(({ build }, { x }) => build.op('pwhere', {}, [build.op('pbinary', { fn: 'less' }, [x, x]), x, x])),
  pmatmul: onValue((shop, { x, type }) => {
    const k = type.shape.at(-1) as Dim;
    return shop.build.op('pmatmul', {}, [x, typeof k === 'number' && k < 100 ? shop.weight([k, 2]) : shop.build.op('ptranspose', { perm: type.shape.map((_, i) => i).with(-1, type.shape.length - 2).with(-2, type.shape.length - 1) }, [x])]);
  }, 2),
  preduce: onValue((shop, { x, type }) => shop.build.op('preduce', { fn: shop.tape.one(['sum', 'mean', 'max', 'min', 'prod'] as const), axes: [axisOf(shop, type)], keepDims: shop.tape.below(2) === 1 }, [x]), 1),
  psoftmax: onValue((shop, { x, type }) => shop.build.op('psoftmax', { axis: axisOf(shop, type) }, [x]), 1),
  ptranspose: onValue(({ build }, { x, type }) => build.op('ptranspose', { perm: type.shape.map((_, i) => i).toReversed() }, [x])),
  preshape: onValue(({ build }, { x, type }) => build.op('preshape', {}, [x], { ...type, shape: [volumeOf(type.shape), 1] })),
  pexpand: onValue(({ build, tape }, { x, type }) => (type.shape.length > 3 ? x : build.op('pexpand', {}, [x], { ...type, shape: [1 + tape.below(2), ...type.shape] }))),
  pslice: onValue((shop, { x, type }) => {
    const axis = axisOf(shop, type);
    const size = type.shape[axis] as Dim;
    const start = typeof size === 'number' ? shop.tape.below(size) : 0;
    return shop.build.op('pslice', { axis, start: String(start), end: String(size), step: 1 }, [x]);
  }, 1),
  pconcat: onValue((shop, { x, type }) => shop.build.op('pconcat', { axis: axisOf(shop, type) }, [x, x]), 1),
  pgather: onValue((shop, { x, type }) => (type.shape.length > 3 ? x : shop.build.op('pgather', { axis: axisOf(shop, type) }, [x, shop.build.op('pconst', { values: [0, -1] }, [], { dtype: 'i64', shape: [1, 2] })])), 1),
  pcast: onValue(({ build, tape }, { x, type }) => build.op('pcast', {}, [x], { ...type, dtype: tape.one(['f32', 'i64', 'bool', 'e2m1', 'u4'] as const) })),
  piota: ({ build, tape }) => [build.op('piota', { start: tape.one(['0', '-2*tokens + 1']), step: tape.one([1, -2]) }, [], { dtype: 'i64', shape: [tape.one(['tokens', 'floor((tokens + 1)/2)'])] })],
  ptrilu: onValue(({ build, tape }, { x }) => build.op('ptrilu', { upper: tape.below(2) === 1, k: tape.one(['0', 'tokens - 1']) }, [x]), 2),
  pcumsum: onValue((shop, { x, type }) => shop.build.op('pcumsum', { axis: axisOf(shop, type) }, [x]), 1),
  ppick: onValue((shop, { x, type }) => {
    const axis = axisOf(shop, type);
    return shop.build.op('ppick', { axis }, [x, shop.build.op('pconst', { values: [0, -1] }, [], { dtype: 'i64', shape: type.shape.map(() => 1).with(axis, 2) })]);
  }, 1),
  pscatter: onValue((shop, { x, type }) => {
    const axis = axisOf(shop, type);
    const index = shop.build.op('pconst', { values: [0] }, [], { dtype: 'i64', shape: type.shape.map(() => 1) });
    return shop.build.op('pscatter', { axis, reduction: shop.tape.one(scatterReductions) }, [x, index, x]);
  }, 1),
  ptopk: onValue((shop, { x, type }) => {
    const axis = axisOf(shop, type);
    return shop.build.op('ptopk', { axis, k: String(shop.tape.one([1, type.shape[axis] as Dim])), largest: shop.tape.below(2) === 1 }, [x]);
  }, 1),
  psizes: ({ build }) => [build.op('psizes', { sizes: ['2*tokens', '3'] }, [])],
  tnorm: onValue((shop, { x, type }) => {
    const norm = shop.tape.one(['rms', 'layer'] as const);
    const axis = axisOf(shop, type);
    const parameters = Array.from({ length: shop.tape.below(norm === 'rms' ? 2 : 3) }, () => shop.weight([1]));
    return shop.build.op('tnorm', { norm, axes: [axis], epsilon: shop.tape.one([1e-5, 0]) }, [x, ...parameters]);
  }, 1),
  tactivate: onValue(({ build, tape }, { x }) => build.op('tactivate', { activation: tape.one(blockActivations), slope: tape.one([1, 1.702]) }, [x])),
  trope: onValue((shop, { x, type }) => {
    const width = type.shape.at(-1) as Dim;
    if (typeof width !== 'number' || width < 2) return x;
    const [cos, sin] = [0, 1].map(() => shop.weight([1, Math.floor(width / 2)])) as [ValueId, ValueId];
    return shop.build.op('trope', { pairs: shop.tape.one(ropePairs) }, [x, cos, sin]);
  }, 2),
  tmoe: onValue((shop, { x, type }) => {
    const width = type.shape.at(-1) as Dim;
    if (typeof width !== 'number' || width > 16) return x;
    const { tape, build, weight } = shop;
    const [biased, expertBias] = [tape.below(2) === 1, tape.below(2) === 1];
    const logits = build.op('pmatmul', {}, [x, weight([width, 3])]);
    const experts = [weight([3, width, 2]), weight([3, width, 2]), weight([3, 2, width])];
    const biases = expertBias ? [weight([3, 2]), weight([3, 2]), weight([3, width])] : [];
    const attrs = { k: 1 + tape.below(3), scores: tape.one(moeScores), normalise: tape.below(2) === 1, factor: 1, groups: 1, kept: 1, judged: 1, activation: 'silu', slope: 1, limit: tape.one([0, 7]), shift: 0, biased, expertBias } as const;
    return build.op('tmoe', attrs, [x, logits, ...(biased ? [weight([3])] : []), ...experts, ...biases]);
  }, 2),
  tattention: onValue((shop, { x }) => {
    const [biased, sinks] = [shop.tape.below(2) === 1, shop.tape.below(2) === 1];
    const extra = [...(biased ? [shop.weight([1, 1])] : []), ...(sinks ? [shop.weight([1, 1])] : [])];
    return shop.build.op('tattention', { scale: shop.tape.one([1, 0.5]), softCap: shop.tape.one([0, 30]), biased, sinks }, [x, x, x, ...extra]);
  }, 2),
};

/** Another value of the same type, the newest most likely. */
function alike(shop: Workshop, type: TensorType): ValueId | undefined {
  const found = shop.scope.filter((candidate) => JSON.stringify(shop.type(candidate)) === JSON.stringify(type));
  return found.length === 0 ? undefined : (found.at(-1 - shop.tape.below(Math.min(2, found.length))) as ValueId);
}
