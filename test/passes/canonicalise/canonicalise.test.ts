import { expect, it } from 'vitest';
import { GraphBuilder } from '../../../ir/graph/build.ts';
import { inferResults } from '../../../ir/graph/infer.ts';
import type { GraphModule } from '../../../ir/graph/module.ts';
import type { TensorType, ValueId } from '../../../ir/types.ts';
import { broadcasts } from '../../../passes/canonicalise/broadcasts.ts';
import { comparisons } from '../../../passes/canonicalise/comparisons.ts';
import { dropIdentity } from '../../../passes/canonicalise/drop-identity.ts';
import { foldConstants } from '../../../passes/canonicalise/fold-constants.ts';
import { mergeViews } from '../../../passes/canonicalise/merge-views.ts';
import { shareEqual } from '../../../passes/canonicalise/share-equal.ts';
import { sinkTransposes } from '../../../passes/canonicalise/sink-transposes.ts';
import { softmax } from '../../../passes/canonicalise/softmax.ts';
import { unflatten } from '../../../passes/canonicalise/unflatten.ts';
import { variance } from '../../../passes/canonicalise/variance.ts';
import { writtenWhole } from '../../../passes/canonicalise/written-whole.ts';

const f32 = (...shape: TensorType['shape']): TensorType => ({ dtype: 'f32', shape });

/** A module of x: f32[n, 4] whose results `fill` makes. */
function moduleOf(fill: (build: GraphBuilder, x: ValueId) => readonly ValueId[]): GraphModule {
  const build = new GraphBuilder(inferResults);
  const body = build.block([f32('n', 4)], ([x]) => fill(build, x as ValueId));
  return {
    name: 'm', family: 'onnx', inputs: [{ name: 'x', feed: 'tensor' }], outputs: body.yields.map((_, i) => ({ name: `y${i}`, rows: 'tensor' })),
    caches: [], weights: [], customLayers: [], types: build.types, body,
    source: { interface: { inputs: [], outputs: [] }, nodes: [], parameters: 0, layers: 0, maxPositions: 0 },
  };
}

const said = (module: GraphModule): readonly unknown[] => module.body.ops.map(({ kind, attrs }) => [kind, attrs]);
const number = (build: GraphBuilder, value: number): ValueId => build.op('pconst', { values: [value] }, [], f32());

it('folds f(constants), and leaves what depends on a size', () => {
  const module = moduleOf((build, x) => {
    const three = build.op('pbinary', { fn: 'add' }, [number(build, 1), number(build, 2)]);
    const size = build.op('psizes', { sizes: ['n'] }, []);
    return [build.op('pbinary', { fn: 'mul' }, [x, build.op('punary', { fn: 'neg' }, [three])]), size];
  });
  expect(said(foldConstants(module))).toEqual([['psizes', { sizes: ['n'] }], ['pconst', { values: [-3] }], ['pbinary', { fn: 'mul' }]]);
});

it('merges views, and drops those that end where they began', () => {
  const module = moduleOf((build, x) => {
    const flat = build.op('preshape', {}, [x], f32('4*n'));
    const back = build.op('preshape', {}, [flat], f32('n', 4));
    return [build.op('ptranspose', { perm: [1, 0] }, [build.op('ptranspose', { perm: [1, 0] }, [back])])];
  });
  expect(said(dropIdentity(mergeViews(module)))).toEqual([]);
});

it('composes permutations in the order they are applied', () => {
  const module = moduleOf((build, x) => {
    const cube = build.op('preshape', {}, [x], f32('n', 2, 2));
    return [build.op('ptranspose', { perm: [2, 0, 1] }, [build.op('ptranspose', { perm: [1, 0, 2] }, [cube])])];
  });
  const merged = mergeViews(module);
  expect(said(merged)).toEqual([['preshape', {}], ['ptranspose', { perm: [2, 1, 0] }]]);
  expect(merged.types[merged.body.yields[0] as ValueId]?.shape).toEqual([2, 2, 'n']);
});

it('picks parts of an axis where it lies, not turned to the front and back', () => {
  const module = moduleOf((build, x) => {
    const cube = build.op('preshape', {}, [x], f32('n', 2, 2));
    const front = build.op('ptranspose', { perm: [2, 0, 1] }, [cube]);
    const places = build.op('pconst', { values: [1, 0] }, [], { dtype: 'i64', shape: [2] });
    const picked = build.op('pgather', { axis: 0 }, [front, places]);
    return [build.op('ptranspose', { perm: [1, 2, 0] }, [picked])];
  });
  const sunk = sinkTransposes(module);
  expect(said(sunk)).toEqual([['preshape', {}], ['pconst', { values: [1, 0] }], ['pgather', { axis: 2 }]]);
  expect(sunk.types[sunk.body.yields[0] as ValueId]?.shape).toEqual(['n', 2, 2]);
});

it('sets side by side what is written into all of an axis turned to the front, and not what leaves some of it', () => {
  const written = (places: readonly (readonly number[])[]): GraphModule => moduleOf((build, x) => {
    const front = build.op('ptranspose', { perm: [1, 0] }, [x]);
    const all = places.reduce((data, list) => {
      const part = build.op('pslice', { axis: 1, start: '0', end: String(list.length), step: 1 }, [build.op('punary', { fn: 'neg' }, [x])]);
      const index = build.op('pconst', { values: list }, [], { dtype: 'i64', shape: [list.length, 1] });
      return build.op('pscatter', { axis: 0, reduction: 'none' }, [data, index, build.op('ptranspose', { perm: [1, 0] }, [part])]);
    }, front);
    return [build.op('ptranspose', { perm: [1, 0] }, [all])];
  });
  const kinds = (places: readonly (readonly number[])[]): readonly string[] => sinkTransposes(writtenWhole(written(places))).body.ops.map(({ kind }) => kind);
  expect(kinds([[2, 3], [0, 1]])).toEqual(['punary', 'pslice', 'punary', 'pslice', 'pconcat']);
  expect(kinds([[2, 3], [0]]).filter((kind) => kind === 'pscatter')).toHaveLength(2);
  expect(kinds([[1, 2, 3], [0, 1]]).filter((kind) => kind === 'pscatter')).toHaveLength(2);
});

it('drops what does nothing, not what broadcasts', () => {
  const same = moduleOf((build, x) => [build.op('pbinary', { fn: 'mul' }, [build.op('pbinary', { fn: 'add' }, [number(build, 0), x]), number(build, 1)])]);
  expect(said(dropIdentity(same))).toEqual([]);
  const wider = moduleOf((build, x) => [build.op('pbinary', { fn: 'add' }, [x, build.op('pconst', { values: [0] }, [], f32(2, 1, 1))])]);
  expect(said(dropIdentity(wider)).length).toBe(2);
});

it('shares what is computed twice, but keeps -0 and 0, NaN and infinity apart', () => {
  const module = moduleOf((build, x) => [0, -0, 0, NaN, Infinity].map((value) => build.op('pbinary', { fn: 'div' }, [x, number(build, value)])));
  const shared = shareEqual(module);
  expect(shared.body.ops.filter(({ kind }) => kind === 'pconst').length).toBe(4);
  expect(shared.body.yields[0]).toBe(shared.body.yields[2]);
});

it('0 times a constant is 0 whatever its size; a constant of one number is that number', () => {
  const module = moduleOf((build) => {
    const zeros = build.op('pconst', { values: [0] }, [], f32('n', 4));
    return [build.op('pbinary', { fn: 'mul' }, [zeros, number(build, 3)]), build.op('pbinary', { fn: 'mul' }, [zeros, number(build, Infinity)]), build.op('pexpand', {}, [number(build, 2)], f32(2, 2))];
  });
  expect(foldConstants(module).body.ops.map(({ kind, attrs }) => (kind === 'pconst' ? attrs : kind))).toEqual([{ values: [0] }, { values: [0] }, { values: [Infinity] }, 'pbinary', { values: [2] }]);
});

it('a choice between x and a bound it is compared with is the larger or the smaller of the two', () => {
  const compare = (build: GraphBuilder, fn: 'less' | 'greater' | 'equal', x: ValueId, y: ValueId): ValueId => build.op('pbinary', { fn }, [x, y]);
  const module = moduleOf((build, x) => {
    const bound = number(build, 3);
    return [
      build.op('pwhere', {}, [compare(build, 'less', x, bound), bound, x]),
      build.op('pwhere', {}, [compare(build, 'less', bound, x), bound, x]),
      build.op('pwhere', {}, [compare(build, 'less', x, bound), x, bound]),
      build.op('pbinary', { fn: 'or' }, [compare(build, 'greater', x, bound), compare(build, 'equal', x, bound)]),
    ];
  });
  const made = comparisons(module);
  const makers = new Map(made.body.ops.map((op) => [op.results[0] as ValueId, op]));
  expect(made.body.yields.map((value) => makers.get(value)?.attrs)).toEqual([{ fn: 'max' }, { fn: 'min' }, {}, { fn: 'greaterEqual' }]);
});

it('z - log(sum(exp(z))) is log(softmax(z)), with a maximum taken off or not', () => {
  const module = moduleOf((build, x) => {
    const z = build.op('pbinary', { fn: 'sub' }, [x, build.op('preduce', { fn: 'max', axes: [1], keepDims: true }, [x])]);
    const total = build.op('preduce', { fn: 'sum', axes: [1], keepDims: true }, [build.op('punary', { fn: 'exp' }, [z])]);
    return [build.op('pbinary', { fn: 'sub' }, [z, build.op('punary', { fn: 'log' }, [total])])];
  });
  expect(said(softmax(module))).toEqual([['psoftmax', { axis: 1 }], ['punary', { fn: 'log' }]]);
});

it('gives what is broadcast no axes it does not need, and puts it on the right', () => {
  const module = moduleOf((build, x) => {
    const row = build.op('pconst', { values: [1, 2, 3, 4] }, [], f32(4));
    return [build.op('pbinary', { fn: 'mul' }, [build.op('preshape', {}, [row], f32(1, 4)), x]), build.op('pbinary', { fn: 'sub' }, [build.op('pconst', { values: [1] }, [], f32(1)), x])];
  });
  const narrow = broadcasts(module);
  const [x] = narrow.body.params;
  expect(said(narrow)).toEqual([['pconst', { values: [1, 2, 3, 4] }], ['pbinary', { fn: 'mul' }], ['pconst', { values: [1] }], ['pbinary', { fn: 'sub' }]]);
  expect(narrow.body.ops[1]?.operands).toEqual([x, narrow.body.ops[0]?.results[0]]);
  expect(narrow.types[narrow.body.ops[2]?.results[0] as ValueId]?.shape).toEqual([]);
  const wider = moduleOf((build, x) => [build.op('pbinary', { fn: 'mul' }, [x, build.op('pconst', { values: [2] }, [], f32(1, 1, 1))])]);
  expect(broadcasts(wider)).toBe(wider);
});

it('takes rows for what they were before they were one axis', () => {
  const flattened = (turn: (build: GraphBuilder, flat: ValueId) => ValueId, ...shape: TensorType['shape']): GraphModule =>
    moduleOf((build, x) => {
      const cube = build.op('punary', { fn: 'neg' }, [build.op('preshape', {}, [x], f32('n', 2, 2))]);
      return [build.op('preshape', {}, [turn(build, build.op('preshape', {}, [cube], f32('n', 4)))], f32(...shape))];
    });
  const mean = mergeViews(unflatten(flattened((build, flat) => build.op('preduce', { fn: 'mean', axes: [1], keepDims: true }, [flat]), 'n', 1, 1)));
  expect(said(dropIdentity(mean))).toEqual([['preshape', {}], ['punary', { fn: 'neg' }], ['preduce', { fn: 'mean', axes: [1, 2], keepDims: true }]]);
  const scaled = unflatten(flattened((build, flat) => build.op('pbinary', { fn: 'mul' }, [flat, build.op('pconst', { values: [1, 2, 3, 4] }, [], f32(4))]), 'n', 2, 2));
  expect(scaled.types[scaled.body.ops.at(-2)?.results[0] as ValueId]?.shape).toEqual([2, 2]);
  const viewedTwice = flattened((build, flat) => build.op('preshape', {}, [build.op('punary', { fn: 'exp' }, [flat])], f32('n', 1, 4)), 'n', 2, 2);
  expect(said(dropIdentity(mergeViews(unflatten(viewedTwice))))).toEqual([['preshape', {}], ['punary', { fn: 'neg' }], ['punary', { fn: 'exp' }]]);
  const turned = flattened((build, flat) => build.op('ptranspose', { perm: [1, 0] }, [flat]), 2, 2, 'n');
  expect(unflatten(turned)).toBe(turned);
});

it('takes one row for what it was, though it has as many axes', () => {
  const build = new GraphBuilder(inferResults);
  const body = build.block([f32(3, 4)], ([x]) => [build.op('preshape', {}, [build.op('punary', { fn: 'exp' }, [build.op('preshape', {}, [x as ValueId], f32(1, 12))])], f32(3, 4))]);
  expect(said(dropIdentity(mergeViews(unflatten({ ...moduleOf((_, x) => [x]), types: build.types, body }))))).toEqual([['punary', { fn: 'exp' }]]);
});

it('computes a variance from what is apart from the mean', () => {
  const spread = (meanOf: (x: ValueId, square: ValueId) => ValueId): GraphModule =>
    moduleOf((build, x) => {
      const mean = (of: ValueId): ValueId => build.op('preduce', { fn: 'mean', axes: [1], keepDims: true }, [of]);
      const square = build.op('pbinary', { fn: 'mul' }, [x, x]);
      const first = mean(meanOf(x, square));
      return [build.op('pbinary', { fn: 'sub' }, [mean(square), build.op('pbinary', { fn: 'mul' }, [first, first])])];
    });
  expect(said(variance(spread((x) => x)))).toEqual([['preduce', { fn: 'mean', axes: [1], keepDims: true }], ['pbinary', { fn: 'sub' }], ['pbinary', { fn: 'mul' }], ['preduce', { fn: 'mean', axes: [1], keepDims: true }]]);
  const other = spread((_, square) => square);
  expect(variance(other)).toBe(other);
});
