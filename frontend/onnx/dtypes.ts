import type { DType } from '../../ir/types.ts';

/**
 * TensorProto.DataType: code -> name, bits of one element, and the graph's name for it where it has one. Source:
 * onnx/onnx.proto, IR 14.
 */
export const dataTypes: ReadonlyMap<number, DataType> = new Map(
  (
    [
      [1, 'FLOAT', 32, 'f32'],
      [2, 'UINT8', 8, 'u8'],
      [3, 'INT8', 8, 'i8'],
      [4, 'UINT16', 16, 'u16'],
      [5, 'INT16', 16, 'i16'],
      [6, 'INT32', 32, 'i32'],
      [7, 'INT64', 64, 'i64'],
      [8, 'STRING', 0, undefined],
      [9, 'BOOL', 8, 'bool'],
      [10, 'FLOAT16', 16, 'f16'],
      [11, 'DOUBLE', 64, 'f64'],
      [12, 'UINT32', 32, 'u32'],
      [13, 'UINT64', 64, 'u64'],
      [14, 'COMPLEX64', 64, undefined],
      [15, 'COMPLEX128', 128, undefined],
      [16, 'BFLOAT16', 16, 'bf16'],
      [17, 'FLOAT8E4M3FN', 8, 'e4m3'],
      [18, 'FLOAT8E4M3FNUZ', 8, 'e4m3fnuz'],
      [19, 'FLOAT8E5M2', 8, 'e5m2'],
      [20, 'FLOAT8E5M2FNUZ', 8, 'e5m2fnuz'],
      [21, 'UINT4', 4, 'u4'],
      [22, 'INT4', 4, 'i4'],
      [23, 'FLOAT4E2M1', 4, 'e2m1'],
      [24, 'FLOAT8E8M0', 8, 'e8m0'],
      [25, 'UINT2', 2, 'u2'],
      [26, 'INT2', 2, 'i2'],
      [27, 'FLOAT6E2M3', 6, undefined],
      [28, 'FLOAT6E3M2', 6, undefined],
    ] as const
  ).map(([code, name, bits, dtype]) => [code, { code, name, bits, dtype }]),
);

export type DataType = { readonly code: number; readonly name: string; readonly bits: number; readonly dtype: DType | undefined };
