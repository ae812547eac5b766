import { evaluateDim, parseDim, type SizeEnv } from '../../dims.ts';
import type { DType } from '../../types.ts';
import { volume } from '../../weight-expr.ts';
import { axisOf } from '../infer-primitives.ts';
import type { PrimitiveAttrs } from '../ops.ts';
import { casts, isWide } from './casts.ts';
import { plainDots } from './dots.ts';
import { binary, broadcastIndex, broadcastSizes, expand, pick, stridedIndex, stridesOf, unary, zip } from './elementwise.ts';
import { pickAlong, scatterAlong, topOf } from './selection.ts';
import { map, type Tensor } from './tensor.ts';

/** What a primitive may need beside its operands: the sizes, and its result's shape and dtype. */
export type Around = { readonly env: SizeEnv; readonly shape: readonly number[]; readonly dtype: DType };

type Rule<K extends keyof PrimitiveAttrs> = (attrs: PrimitiveAttrs[K], operands: readonly [Tensor, Tensor, Tensor], around: Around) => Tensor;

/** The primitives on concrete tensors, as NumPy and ONNX mean them, in double precision. */
export const primitives: { readonly [K in keyof PrimitiveAttrs]: Rule<K> } = {
  pconst: ({ values }, _, { shape }) => {
    const data = Float64Array.from(values);
    return { shape, data: data.length === 1 ? new Float64Array(volume(shape)).fill(data[0] as number) : data };
  },
  punary: ({ fn }, [x]) => map(x, unary[fn]),
  pbinary: ({ fn }, [x, y], { dtype }) => {
    const whole = integers.has(dtype);
    const apply = binary[fn];
    return zip([x, y], (a, b) => apply(a, b, whole));
  },
  pwhere: (_, [condition, x, y]) => zip([condition, x, y], (c, a, b) => (c === 0 ? b : a)),
  pmatmul: (_, [x, y]) => matmul(x, y),
  preduce: ({ fn, axes, keepDims }, [x], { dtype }) => {
    const reduced = reduce(fn, axes.map((axis) => axisOf(axis, x.shape.length)), keepDims, x);
    // The largest of no truths is false, the smallest true.
    return dtype === 'bool' ? map(reduced, (value) => (value > 0 ? 1 : 0)) : reduced;
  },
  psoftmax: ({ axis }, [x]) =>
    alongAxis(x, axis, (line) => {
      const most = line.reduce((a, b) => Math.max(a, b), -Infinity);
      const powers = line.map((value) => Math.exp(value - most));
      const sum = powers.reduce((a, b) => a + b, 0);
      return powers.map((value) => value / sum);
    }),
  pcumsum: ({ axis }, [x]) => {
    return alongAxis(x, axis, (line) => {
      let sum = 0;
      return line.map((value) => (sum += value));
    });
  },
  ptranspose: ({ perm }, [x]) => {
    const strides = stridesOf(x.shape);
    const shape = perm.map((axis) => x.shape[axis] as number);
    return pick(x, stridedIndex(shape, perm.map((axis) => strides[axis] as number), 0), shape);
  },
  preshape: (_, [x], { shape }) => {
    if (volume(shape) !== x.data.length) throw new Error(`[${x.shape.join(', ')}] cannot be reshaped to [${shape.join(', ')}]`);
    return { shape, data: x.data };
  },
  pexpand: (_, [x], { shape }) => expand(x, broadcastSizes([x.shape, shape])),
  pslice: ({ axis, start, step }, [x], { env, shape }) => {
    const at = axisOf(axis, x.shape.length);
    const strides = stridesOf(x.shape);
    const stride = strides[at] as number;
    return pick(x, stridedIndex(shape, strides.with(at, stride * step), evaluateDim(parseDim(start), env) * stride), shape);
  },
  pconcat: ({ axis }, operands) => concat(operands, axisOf(axis, operands[0].shape.length)),
  pgather: ({ axis }, [data, indices]) => {
    const at = axisOf(axis, data.shape.length);
    const size = data.shape[at] as number;
    const outer = volume(data.shape.slice(0, at));
    const inner = volume(data.shape.slice(at + 1));
    const shape = [...data.shape.slice(0, at), ...indices.shape, ...data.shape.slice(at + 1)];
    const result = new Float64Array(volume(shape));
    for (let o = 0, to = 0; o < outer; o++) {
      for (const index of indices.data) {
        const row = index < 0 ? index + size : index;
        if (!(row >= 0 && row < size)) throw new Error(`index ${index} of an axis of ${size}`);
        result.set(data.data.subarray((o * size + row) * inner, (o * size + row + 1) * inner), to);
        to += inner;
      }
    }
    return { shape, data: result };
  },
  pcast: (_, [x], { dtype }) => (isWide(dtype) ? x : map(x, casts[dtype])),
  piota: ({ start, step }, _, { env, shape }) => {
    const first = evaluateDim(parseDim(start), env);
    return { shape, data: Float64Array.from({ length: volume(shape) }, (_value, i) => first + i * step) };
  },
  ptrilu: ({ upper, k }, [x], { env }) => {
    const offset = evaluateDim(parseDim(k), env);
    const [rows, columns] = x.shape.slice(-2) as [number, number];
    return map(x, (value, i) => {
      const above = (i % columns) - (Math.floor(i / columns) % rows) - offset;
      return upper ? (above >= 0 ? value : 0) : above <= 0 ? value : 0;
    });
  },
  ppick: ({ axis }, [data, indices]) => pickAlong(data, indices, axisOf(axis, data.shape.length)),
  pscatter: ({ axis, reduction }, [data, indices, updates]) => scatterAlong(data, indices, updates, { axis: axisOf(axis, data.shape.length), reduction }),
  ptopk: ({ axis, k, largest }, [x], { env }) => {
    const count = evaluateDim(parseDim(k), env);
    return alongAxis(x, axis, (line) => topOf(line, count, largest), count);
  },
  psizes: ({ sizes }, _, { env }) => ({ shape: [sizes.length], data: Float64Array.from(sizes, (size) => evaluateDim(parseDim(size), env)) }),
};

const integers: ReadonlySet<DType> = new Set(['i64', 'i32', 'i16', 'i8', 'i4', 'i2', 'u64', 'u32', 'u16', 'u8', 'u4', 'u2']);

function matmul(x: Tensor, y: Tensor): Tensor {
  const [rows, k] = x.shape.slice(-2) as [number, number];
  const [inner, columns] = y.shape.slice(-2) as [number, number];
  if (inner !== k) throw new Error(`a product of [${x.shape.join(', ')}] and [${y.shape.join(', ')}]`);
  const batches = [x.shape.slice(0, -2), y.shape.slice(0, -2)] as const;
  const batch = broadcastSizes(batches);
  const [fromX, fromY] = batches.map((shape) => broadcastIndex(shape, batch)) as [Int32Array, Int32Array];
  const data = new Float64Array(volume(batch) * rows * columns);
  const turned = pick(y, stridedIndex([...batches[1], columns, k], [...stridesOf(y.shape).slice(0, -2), 1, columns], 0), [...batches[1], columns, k]);
  fromX.forEach((from, i) => {
    const to = fromY[i] as number;
    const out = { data: data.subarray(i * rows * columns, (i + 1) * rows * columns), pitch: columns, column: 0 };
    plainDots(x.data.subarray(from * rows * k, (from + 1) * rows * k), turned.data.subarray(to * columns * k, (to + 1) * columns * k), k, out);
  });
  return { shape: [...batch, rows, columns], data };
}

const folds = {
  sum: [0, (a: number, b: number) => a + b],
  mean: [0, (a: number, b: number) => a + b],
  max: [-Infinity, (a: number, b: number) => Math.max(a, b)],
  min: [Infinity, (a: number, b: number) => Math.min(a, b)],
  prod: [1, (a: number, b: number) => a * b],
} as const;

function reduce(fn: PrimitiveAttrs['preduce']['fn'], axes: readonly number[], keepDims: boolean, x: Tensor): Tensor {
  const kept = x.shape.map((size, axis) => (axes.includes(axis) ? 1 : size));
  const [start, fold] = folds[fn];
  const data = new Float64Array(volume(kept)).fill(start);
  broadcastIndex(kept, x.shape).forEach((to, i) => {
    data[to] = fold(data[to] as number, x.data[i] as number);
  });
  const count = x.data.length / data.length;
  const shape = keepDims ? kept : kept.filter((_, axis) => !axes.includes(axis));
  return { shape, data: fn === 'mean' ? data.map((value) => value / count) : data };
}

/** Applies a function to every line along an axis; `length` is that of its results. */
function alongAxis(x: Tensor, axis: number, f: (line: Float64Array) => Float64Array, length = x.shape[axisOf(axis, x.shape.length)] as number): Tensor {
  const at = axisOf(axis, x.shape.length);
  const shape = x.shape.with(at, length);
  const stride = stridesOf(x.shape)[at] as number;
  const size = x.shape[at] as number;
  const data = new Float64Array(volume(shape));
  const starts = stridedIndex(x.shape.with(at, 1), stridesOf(shape), 0);
  stridedIndex(x.shape.with(at, 1), stridesOf(x.shape), 0).forEach((from, line) => {
    const to = starts[line] as number;
    f(Float64Array.from({ length: size }, (_, i) => x.data[from + i * stride] as number)).forEach((value, i) => {
      data[to + i * stride] = value;
    });
  });
  return { shape, data };
}

function concat(parts: readonly Tensor[], axis: number): Tensor {
  const [first] = parts as readonly [Tensor, ...Tensor[]];
  const shape = first.shape.with(axis, parts.reduce((sum, part) => sum + (part.shape[axis] as number), 0));
  const data = new Float64Array(volume(shape));
  const outer = volume(shape.slice(0, axis));
  let to = 0;
  for (let o = 0; o < outer; o++) {
    for (const part of parts) {
      const run = part.data.length / outer;
      data.set(part.data.subarray(o * run, (o + 1) * run), to);
      to += run;
    }
  }
  return { shape, data };
}
