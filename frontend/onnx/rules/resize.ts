import { divDims, mulDims } from '../../../ir/dims.ts';
import type { Dim } from '../../../ir/types.ts';
import type { Emitter } from '../emit.ts';
import { CannotImport, type Value, dimAt, knownValue } from '../value.ts';
import type { Call, Rules } from './rule.ts';

/** How the `from` elements of an axis become `to` elements, `scale` times as dense. */
type Scaling<Size = number> = { readonly axis: number; readonly from: Size; readonly to: Size; readonly scale: number };
/** How Resize reads between elements; definitions: onnx/docs/Operators.md. */
type Sampling = { readonly mode: string; readonly coordinates: string; readonly nearest: string; readonly cubic: number; readonly antialias: boolean; readonly inside: boolean };

/** An axis at a time: each new element is a sum of a few old ones, looked up and weighted. */
export const resizes: Rules = {
  Resize: (call, emit) => resize(call, emit, samplingOf(call)),
  Upsample: (call, emit) => resize(call, emit, { ...samplingOf(call), coordinates: 'asymmetric', nearest: 'floor' }),
};

function samplingOf(call: Call): Sampling {
  const old = call.opset < 11;
  return {
    mode: call.string('mode', 'nearest'),
    coordinates: call.string('coordinate_transformation_mode', old ? 'asymmetric' : 'half_pixel'),
    nearest: call.string('nearest_mode', old ? 'floor' : 'round_prefer_floor'),
    cubic: call.float('cubic_coeff_a', -0.75),
    antialias: call.int('antialias', 0) === 1,
    inside: call.int('exclude_outside', 0) === 1,
  };
}

function resize(call: Call, emit: Emitter, sampling: Sampling): Value {
  const x = call.input(0);
  const axes = call.ints('axes')?.map((axis) => emit.axis(axis, x)) ?? x.shape.map((_, axis) => axis);
  // Opset 11 put `roi` before the scales.
  const scales = call.floats('scales') ?? some(call.numbers(call.opset < 11 ? 1 : 2));
  const wanted = call.opset < 11 ? undefined : some(call.sizes(3));
  const given = scales ?? wanted;
  if (given?.length !== axes.length) throw new CannotImport('E1003', `${given?.length ?? 0} scales or sizes for ${axes.length} axes`);
  const policy = call.string('keep_aspect_ratio_policy', 'stretch');
  const common = wanted === undefined || policy === 'stretch' ? undefined : commonScale(axes.map((axis) => dimAt(x, axis)), wanted, policy);
  return axes.reduce((resized, axis, i) => {
    const from = dimAt(x, axis);
    const scaling = common === undefined ? (scales === undefined ? toSize(axis, from, given[i] as Dim) : byScale(axis, from, scales[i] as number, Math.floor)) : byScale(axis, from, common, Math.round);
    return resizeAxis(emit, resized, scaling, sampling);
  }, x);
}

const some = <T>(list: readonly T[] | undefined): readonly T[] | undefined => (list?.length === 0 ? undefined : list);

/** The one scale that keeps all axes within the sizes, or covers them. */
function commonScale(from: readonly Dim[], to: readonly Dim[], policy: string): number {
  const ratios = from.map((size, i) => Number(to[i]) / Number(size));
  if (ratios.some(Number.isNaN)) throw new CannotImport('E3001', 'a size to resize from or to cannot be told before the run');
  return policy === 'not_larger' ? Math.min(...ratios) : Math.max(...ratios);
}

function toSize(axis: number, from: Dim, to: Dim): Scaling<Dim> {
  const scale = typeof from === 'number' && typeof to === 'number' ? to / from : divDims(to, from);
  if (typeof scale !== 'number') throw new CannotImport('E3001', `an axis of ${from} is resized to ${to}, by a factor that cannot be told before the run`);
  return { axis, from, to, scale };
}

const byScale = (axis: number, from: Dim, scale: number, rounded: (size: number) => number): Scaling<Dim> => ({ axis, from, to: typeof from === 'number' ? rounded(from * scale) : mulDims(from, Math.floor(scale)), scale });

function resizeAxis(emit: Emitter, x: Value, scaling: Scaling<Dim>, sampling: Sampling): Value {
  const { axis, from, to, scale } = scaling;
  if (scale === 1) return x;
  if (typeof from === 'number' && typeof to === 'number') return interpolate(emit, x, { axis, from, to, scale }, sampling);
  const { mode, coordinates, nearest } = sampling;
  const isRepeat = mode === 'nearest' && Number.isInteger(scale) && ((coordinates === 'asymmetric' && nearest === 'floor') || (coordinates.endsWith('half_pixel') && nearest.startsWith('round')));
  if (!isRepeat) throw new CannotImport('E3001', `an axis of ${from}, a size of the run, is resized to other than each element ${scale} times`);
  const apart = emit.reshape(x, x.shape.toSpliced(axis + 1, 0, 1));
  return emit.reshape(emit.expand(apart, x.shape.toSpliced(axis + 1, 0, scale)), x.shape.with(axis, to));
}

function interpolate(emit: Emitter, x: Value, scaling: Scaling, sampling: Sampling): Value {
  const { axis, to } = scaling;
  const rows = Array.from({ length: to }, (_, i) => [...weightsAt(sourceOf(i, scaling, sampling.coordinates), scaling, sampling)]);
  const taps = Math.max(0, ...rows.map((row) => row.length));
  const terms = Array.from({ length: taps }, (_, tap) => {
    const looked = emit.gather(x, knownValue('i64', [to], rows.map((row) => row[tap]?.[0] ?? 0)), axis);
    const weights = rows.map((row) => row[tap]?.[1] ?? 0);
    if (weights.every((weight) => weight === 1)) return looked;
    return emit.binary('mul', looked, knownValue(x.dtype, x.shape.slice(axis).map((_size, i) => (i === 0 ? to : 1)), weights));
  });
  const [first, ...rest] = terms;
  return first === undefined ? emit.slice(x, axis, 0, 0) : rest.reduce((sum, term) => emit.binary('add', sum, term), first);
}

/** Where between the old elements a new one lies. */
function sourceOf(i: number, { from, to, scale }: Scaling, coordinates: string): number {
  const length = scale * from;
  switch (coordinates) {
    case 'half_pixel':
      return (i + 0.5) / scale - 0.5;
    case 'half_pixel_symmetric':
      return (from / 2) * (1 - to / length) + (i + 0.5) / scale - 0.5;
    case 'pytorch_half_pixel':
      return length === 1 ? -0.5 : (i + 0.5) / scale - 0.5;
    case 'align_corners':
      return length === 1 ? 0 : (i * (from - 1)) / (length - 1);
    case 'asymmetric':
      return i / scale;
    default:
      throw new CannotImport('E3001', `resizing by coordinates \`${coordinates}\` is not computed`);
  }
}

const roundings: ReadonlyMap<string, (x: number) => number> = new Map([
  ['round_prefer_floor', (x) => Math.ceil(x - 0.5)],
  ['round_prefer_ceil', (x) => Math.floor(x + 0.5)],
  ['floor', Math.floor],
  ['ceil', Math.ceil],
]);

/** Old elements and their shares of a new one at `at`; what lies outside is the element at the edge. */
function weightsAt(at: number, { from, scale }: Scaling, { mode, nearest, cubic, antialias, inside }: Sampling): ReadonlyMap<number, number> {
  const clamped = (place: number): number => Math.min(Math.max(place, 0), from - 1);
  if (mode === 'nearest') {
    const rounded = roundings.get(nearest);
    if (rounded === undefined) throw new CannotImport('E1003', `there is no rounding \`${nearest}\``);
    return new Map([[clamped(rounded(at)), 1]]);
  }
  const linear = mode === 'linear' || mode === 'bilinear' || mode === 'trilinear';
  if (!linear && mode !== 'cubic') throw new CannotImport('E1003', `there is no resizing \`${mode}\``);
  // Going down, an antialiased kernel is as wide as the elements it comes to.
  const density = antialias ? Math.min(scale, 1) : 1;
  const reach = (linear ? 1 : 2) / density;
  const kernel = linear ? tent : (distance: number): number => keys(distance, cubic);
  const shares: (readonly [number, number])[] = [];
  for (let place = Math.floor(at - reach); place <= Math.ceil(at + reach); place++) {
    const share = kernel(Math.abs(place - at) * density);
    if (share !== 0 && !(inside && place !== clamped(place))) shares.push([place, share]);
  }
  const total = antialias || inside ? shares.reduce((sum, [, share]) => sum + share, 0) : 1;
  const weights = new Map<number, number>();
  for (const [place, share] of shares) weights.set(clamped(place), (weights.get(clamped(place)) ?? 0) + share / total);
  return weights;
}

const tent = (distance: number): number => Math.max(0, 1 - distance);

/** Keys' cubic convolution kernel (IEEE ASSP 29, 1981). */
function keys(x: number, a: number): number {
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}
