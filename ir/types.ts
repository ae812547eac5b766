/**
 * A dimension: a number, or an expression over named sizes in canonical form (`tokens`, `2*batch*sequence + past`, `floor(samples/5)`, `min(past/4095)`).
 * `tokens` is the step's row count, `samples` the rows the step asks outputs for, `memory` the rows its sequences attend to besides their own; a source graph brings its own names.
 */
export type Dim = number | string;

/** Numbers, as sources store them. `fnuz`: no infinities, one NaN in the place of -0. `e8m0`: powers of two, the scales of MX blocks. */
export const dtypes = ['f64', 'f32', 'f16', 'bf16', 'e4m3', 'e5m2', 'e4m3fnuz', 'e5m2fnuz', 'e2m1', 'e8m0', 'i64', 'i32', 'i16', 'i8', 'i4', 'i2', 'u64', 'u32', 'u16', 'u8', 'u4', 'u2', 'bool'] as const;
export type DType = (typeof dtypes)[number];

export const isFloat = (dtype: DType): boolean => /^(f|bf|e)/.test(dtype);

export type TensorType = { readonly dtype: DType; readonly shape: readonly Dim[] };

declare const brand: unique symbol;
/** Names a value of one graph module: its index in `module.types`. */
export type ValueId = number & { readonly [brand]: 'ValueId' };
