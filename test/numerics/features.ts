/** Dot products that tell one arithmetic from another, with the FP32 result the specification has. Operands are codes. */
export type Feature = { readonly name: string; readonly format: 'e4m3' | 'bf16'; readonly a: readonly number[]; readonly b: readonly number[]; readonly want: string };

const ones = (format: 'e4m3' | 'bf16', count: number): number[] => Array<number>(count).fill(format === 'e4m3' ? 0x38 : 0x3f80);
const feature = (format: 'e4m3' | 'bf16', name: string, a: readonly number[], b: readonly number[], want: string): Feature => ({ name, format, a, b, want });
const plain = (format: 'e4m3' | 'bf16', name: string, a: readonly number[], want: string): Feature => feature(format, name, a, ones(format, a.length), want);

// E4M3: 0x38 1, 0xb8 -1, 0x7e 448, 0xfe -448, 0x01 2^-9, 0x08 2^-6, 0x7f NaN. BF16: 0x3f80 1, 0x4b80 2^24, 0x7f80 infinity.
const many = (code: number, count: number): number[] => Array<number>(count).fill(code);

/** 2^24 = 83 x 448 x 448 + 256 x 256 + 208 x 256. */
const upTo24 = [...many(0x7e, 83), 0x78, 0x75];
const from24 = [...many(0x7e, 83), 0x78, 0x78];

export const features: readonly Feature[] = [
  feature('e4m3', 'cancellation: what is left of large terms is the least one, to the bit', [0x7e, 0x01, 0xfe], [0x7e, 0x01, 0x7e], '36800000'),
  feature('e4m3', 'cancellation to nothing is +0', [0x7e, 0xfe], [0x7e, 0x7e], '00000000'),
  plain('e4m3', 'a sum of negative zeros is +0', [0x80, 0x80, 0x80], '00000000'),
  feature('e4m3', 'zero times negative is +0 in a sum', [0x00], [0xb8], '00000000'),
  feature('e4m3', 'subnormal times subnormal', [0x01], [0x01], '36800000'),
  feature('e4m3', 'subnormals count: seven and a half steps', [0x07, 0x01], [0x38, 0x30], '3c700000'),
  feature('e4m3', 'carry at 2^24: one more is a tie, to even', [...upTo24, 0x38], [...from24, 0x38], '4b800000'),
  feature('e4m3', 'carry at 2^24: one and the least step more rounds up', [...upTo24, 0x38, 0x01], [...from24, 0x38, 0x01], '4b800001'),
  feature('e4m3', 'carry at 2^24: three more, the next tie, to the other even', [...upTo24, 0x38, 0x38, 0x38], [...from24, 0x38, 0x38, 0x38], '4b800002'),
  feature('e4m3', 'a tie of the one rounding goes to even: 2^17 + 2^-7', [0x78, 0x78, 0x08], [0x78, 0x78, 0x30], '48000000'),
  feature('e4m3', 'and a step of 2^-18 beyond the tie goes up', [0x78, 0x78, 0x08, 0x01], [0x78, 0x78, 0x30, 0x01], '48000001'),
  feature('e4m3', 'an odd tie goes up to even: 2^17 + 2^-6 + 2^-7', [0x78, 0x78, 0x08, 0x08], [0x78, 0x78, 0x38, 0x30], '48000002'),
  plain('e4m3', 'NaN first', [0x7f, 0x38, 0x38], '7fc00000'),
  plain('e4m3', 'NaN last, negative', [0x38, 0x38, 0xff], '7fc00000'),
  feature('e4m3', 'NaN times zero is NaN', [0x38, 0x7f], [0x38, 0x00], '7fc00000'),
  feature('e4m3', 'the sum is wide: 256 of the largest and one of the least', [...many(0x7e, 256), 0x01], [...many(0x7e, 256), 0x01], '4c440000'),

  plain('bf16', 'carry at 2^24: one more is lost, a tie to even', [0x4b80, 0x3f80], '4b800000'),
  plain('bf16', 'carry at 2^24: again and again', [0x4b80, 0x3f80, 0x3f80, 0x3f80], '4b800000'),
  plain('bf16', 'the other order keeps them', [0x3f80, 0x3f80, 0x4b80], '4b800001'),
  plain('bf16', 'three at once round up to even', [0x4b80, 0x4040], '4b800002'),
  plain('bf16', 'cancellation in order', [0x4b80, 0x3f80, 0xcb80], '00000000'),
  plain('bf16', 'cancellation first keeps the small one', [0x4b80, 0xcb80, 0x3f80], '3f800000'),
  feature('bf16', 'the product is exact: (1 + 2^-7)^2 - 1', [0x3f81, 0xbf80], [0x3f81, 0x3f80], '3c808000'),
  feature('bf16', 'each addition rounds: 1 + 2^-24 is 1, twice', [0x3f80, 0x3980, 0x3980], [0x3f80, 0x3980, 0x3980], '3f800000'),
  feature('bf16', 'a product just above the tie rounds up', [0x3f80, 0x3981], [0x3f80, 0x3980], '3f800001'),
  feature('bf16', 'a subnormal times a power of two', [0x0001], [0x3f00], '00008000'),
  feature('bf16', 'a product below the subnormals is lost', [0x1f80, 0x0080], [0x2000, 0x0080], '00400000'),
  feature('bf16', 'half the least subnormal is 0, a tie to even', [0x1a00], [0x1a00], '00000000'),
  feature('bf16', 'three quarters of it are one', [0x1a40], [0x1a00], '00000001'),
  feature('bf16', 'one and a half of it are two, a tie to even', [0x1ac0], [0x1a00], '00000002'),
  feature('bf16', 'overflow is infinity', [0x7f7f], [0x4000], '7f800000'),
  plain('bf16', 'a sum that overflows stays infinite', [0x7f7f, 0x7f7f, 0xff7f], '7f800000'),
  plain('bf16', 'infinity keeps its sign', [0x3f80, 0xff80, 0x3f80], 'ff800000'),
  plain('bf16', 'infinity less infinity is NaN', [0x7f80, 0xff80], '7fc00000'),
  feature('bf16', 'infinity times zero is NaN', [0x3f80, 0x7f80], [0x3f80, 0x8000], '7fc00000'),
  plain('bf16', 'NaN first', [0x7fc0, 0x3f80], '7fc00000'),
  plain('bf16', 'NaN of another sign and payload, last', [0x3f80, 0xff81], '7fc00000'),
  plain('bf16', 'a sum of negative zeros is +0', [0x8000, 0x8000], '00000000'),
];
