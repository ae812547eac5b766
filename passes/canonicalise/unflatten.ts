import { equalDims, equalShapes, volumeOf } from '../../ir/dims.ts';
import { axisOf } from '../../ir/graph/infer-primitives.ts';
import type { GraphModule, OpOf } from '../../ir/graph/module.ts';
import type { Dim, TensorType, ValueId } from '../../ir/types.ts';
import { type Near, rewrite } from '../rewrite.ts';

/** reshape(f(reshape(x))) = f(x), f elementwise or of whole axes, where the first view makes one axis of several and the second takes it apart again. */
export const unflatten = (module: GraphModule): GraphModule =>
  rewrite(module, 'unflatten', {
    preshape: (op, near) => {
      const value = viewedFirst(op, near);
      const [flat, { shape }] = [near.type(value).shape, near.type(op.results[0] as ValueId)];
      const values = shape.length > flat.length || extent(shape) > extent(flat) ? between(value, near) : undefined;
      if (values === undefined) return undefined;
      const views = values.map(near.definition).filter((made) => made?.kind === 'preshape').map((view) => ({ flat: near.type(view.results[0] as ValueId).shape, shape: near.type(view.operands[0] as ValueId).shape }));
      for (const whole of [...views, { flat, shape }]) {
        const groups = groupsOf(whole);
        if (groups === undefined || !equalShapes(apart(flat, groups), shape) || !values.every((each) => fits(each, whole.flat, near))) continue;
        return [rebuilt(value, groups, near)];
      }
      return undefined;
    },
  });

/** How many axes have more than one element. */
const extent = (shape: readonly Dim[]): number => shape.filter((size) => size !== 1).length;

/** What the first of a chain of views looks at. */
function viewedFirst(op: OpOf<'preshape'>, near: Near): ValueId {
  const value = op.operands[0] as ValueId;
  const inner = near.definition(value);
  return inner?.kind === 'preshape' ? viewedFirst(inner, near) : value;
}

type Whole = { readonly flat: readonly Dim[]; readonly shape: readonly Dim[] };
/** For each axis of what is flat, the axes it is made of: where the first is, and the sizes. */
type Group = { readonly first: number; readonly sizes: readonly Dim[] };

/** Values between two views. */
const most = 32;

type Through = OpOf<'punary' | 'pbinary' | 'pwhere' | 'pcast' | 'preduce'>;

function through(value: ValueId, near: Near): Through | undefined {
  const op = near.definition(value);
  if (op?.kind === 'punary' || op?.kind === 'pbinary' || op?.kind === 'pwhere' || op?.kind === 'pcast') return op;
  return op?.kind === 'preduce' && op.attrs.keepDims ? op : undefined;
}

/** A value and what it is computed from, back to what is not elementwise; undefined if it is not computed so, or from too much. */
function between(value: ValueId, near: Near): readonly ValueId[] | undefined {
  if (through(value, near) === undefined) return undefined;
  const seen = new Set([value]);
  for (const at of seen) {
    for (const operand of through(at, near)?.operands ?? []) seen.add(operand);
    if (seen.size > most) return undefined;
  }
  return [...seen];
}

/** Whether a value is, axis for axis, of the flat size or of one, and no view is needed that is not there if it is whole. */
function fits(value: ValueId, flat: readonly Dim[], near: Near): boolean {
  const { shape } = near.type(value);
  const op = through(value, near);
  if (shape.length > flat.length || (op !== undefined && shape.length !== flat.length && shape.length > 0)) return false;
  const wanted = flat.slice(flat.length - shape.length);
  const isWhole = equalShapes(shape, flat);
  return shape.every((size, i) => size === 1 || equalDims(size, wanted[i] as Dim)) && (!isWhole || op !== undefined || near.definition(value)?.kind === 'preshape');
}

/** Axes in order, as many for each flat one as make up its size. */
function groupsOf({ flat, shape }: Whole): readonly Group[] | undefined {
  let at = 0;
  const groups = flat.map((size, i): Group => {
    const first = at;
    if (size === 1 && shape[at] === 1) at++;
    while (at < shape.length && !equalDims(volumeOf(shape.slice(first, at)), size)) at++;
    if (i === flat.length - 1) at = shape.length;
    return { first, sizes: shape.slice(first, at) };
  });
  return groups.every(({ sizes }, i) => equalDims(volumeOf(sizes), flat[i] as Dim)) ? groups : undefined;
}

/** A flat shape taken apart, axes of one element into axes of one. */
const apart = (flat: readonly Dim[], groups: readonly Group[]): readonly Dim[] => groups.slice(groups.length - flat.length).flatMap(({ sizes }, i) => (flat[i] === 1 ? sizes.map(() => 1) : sizes));

function rebuilt(value: ValueId, groups: readonly Group[], near: Near): ValueId {
  const made = new Map<ValueId, ValueId>();
  const now = (of: ValueId): ValueId => {
    const known = made.get(of);
    if (known !== undefined) return known;
    const { dtype, shape } = near.type(of);
    const type = { dtype, shape: apart(shape, groups) };
    const op = through(of, near);
    const result = op === undefined ? viewed(of, type, near) : near.build.op(op.kind, (op.kind === 'preduce' ? { ...op.attrs, axes: axesOf(op.attrs.axes, groups) } : op.attrs) as never, op.operands.map(now), type);
    made.set(of, result);
    return result;
  };
  return now(value);
}

function viewed(of: ValueId, type: TensorType, near: Near): ValueId {
  return equalShapes(type.shape, near.type(of).shape) ? near.now(of) : near.build.op('preshape', {}, [near.now(of)], type);
}

const axesOf = (axes: readonly number[], groups: readonly Group[]): readonly number[] =>
  axes.map((axis) => groups[axisOf(axis, groups.length)] as Group).flatMap(({ first, sizes }) => sizes.map((_, i) => first + i)).toSorted((a, b) => a - b);
