/**
 * A dimension: a number, or an expression over named sizes in canonical form (`tokens`, `2*batch*sequence + past`).
 * `tokens` is the step's row count, `samples` the rows the step asks outputs for; a source graph brings its own names.
 */
export type Dim = number | string;

export const dtypes = ['f64', 'f32', 'f16', 'bf16', 'e4m3', 'e5m2', 'i64', 'i32', 'i16', 'i8', 'u64', 'u32', 'u16', 'u8', 'bool'] as const;
export type DType = (typeof dtypes)[number];

export type TensorType = { readonly dtype: DType; readonly shape: readonly Dim[] };

declare const brand: unique symbol;
/** Names a value of one graph module: its index in `module.types`. */
export type ValueId = number & { readonly [brand]: 'ValueId' };
