/**
 * A WebAssembly module from expressions: an expression is its bytes, operands first, so that code reads as the tree it computes.
 * Opcodes and layout are those of the WebAssembly core specification 2.0, chapter 5 (binary format).
 */
export type Code = readonly number[];
type ValueType = 'i32' | 'f64' | 'v128';

const typeCodes: { readonly [T in ValueType]: number } = { i32: 0x7f, f64: 0x7c, v128: 0x7b };

const unsigned = (value: number): Code => (value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)]);
const signed = (value: number): Code => (value >= -0x40 && value < 0x40 ? [value & 0x7f] : [(value & 0x7f) | 0x80, ...signed(value >> 7)]);
const vector = (items: readonly Code[]): Code => [...unsigned(items.length), ...items.flat()];
const text = (value: string): Code => vector(Array.from(value, (char) => [char.charCodeAt(0)]));

type Unary = (x: Code) => Code;
type Binary = (x: Code, y: Code) => Code;
type Load = (address: Code, offset?: number) => Code;
type Store = (address: Code, value: Code, offset?: number) => Code;

const scalar = (opcode: number): Binary => (x, y) => [...x, ...y, opcode];
const simd1 = (opcode: number): Unary => (x) => [...x, 0xfd, ...unsigned(opcode)];
const simd2 = (opcode: number): Binary => (x, y) => [...x, ...y, 0xfd, ...unsigned(opcode)];
/** Alignment is a hint; 0 is always right. */
const load = (...opcode: Code): Load => (address, offset = 0) => [...address, ...opcode, 0, ...unsigned(offset)];
const store = (...opcode: Code): Store => (address, value, offset = 0) => [...address, ...value, ...opcode, 0, ...unsigned(offset)];
/** Sixteen bytes of one value. */
const bytes16 = (byte: number): Code => Array.from({ length: 16 }, () => byte);

export const i32 = {
  load: load(0x28),
  const: (value: number): Code => [0x41, ...signed(value)],
  load8u: load(0x2d),
  load16u: load(0x2f),
  store: store(0x36),
  store16: store(0x3b),
  ltS: scalar(0x48),
  add: scalar(0x6a),
  sub: scalar(0x6b),
  mul: scalar(0x6c),
  and: scalar(0x71),
  or: scalar(0x72),
  shl: scalar(0x74),
  shrU: scalar(0x76),
  /** The lesser. Both are evaluated twice. */
  minS: (x: Code, y: Code): Code => [...x, ...y, ...x, ...y, 0x48, 0x1b],
  clz: (x: Code): Code => [...x, 0x67],
  ctz: (x: Code): Code => [...x, 0x68],
};

export const f64 = { load: load(0x2b), store: store(0x39), add: scalar(0xa0), mul: scalar(0xa2) };

export const v128 = {
  load: load(0xfd, 0x00),
  load8Splat: load(0xfd, 0x07),
  load32Splat: load(0xfd, 0x09),
  load64Splat: load(0xfd, 0x0a),
  store: store(0xfd, 0x0b),
  /** Stores the lower half. */
  store64Low: (address: Code, x: Code): Code => [...address, ...x, 0xfd, 0x5b, 0, 0, 0],
  const: (bytes: readonly number[]): Code => [0xfd, 0x0c, ...bytes],
  /** Byte i of the result is byte lanes[i] of x (0 to 15) or y (16 to 31). */
  shuffle: (x: Code, y: Code, lanes: readonly number[]): Code => [...x, ...y, 0xfd, 0x0d, ...lanes],
  load64Zero: load(0xfd, 0x5d),
  /** x with lane 1 of 64 bits from memory. */
  load64High: (address: Code, x: Code, offset = 0): Code => [...address, ...x, 0xfd, 0x57, 0, ...unsigned(offset), 1],
  and: simd2(0x4e),
  andNot: simd2(0x4f),
  or: simd2(0x50),
  xor: simd2(0x51),
  /** Bits of x where the mask has them, else of y. */
  select: (x: Code, y: Code, mask: Code): Code => [...x, ...y, ...mask, 0xfd, 0x52],
  /** Whether a bit is 1. */
  any: simd1(0x53),
};

/** One or two words, little-endian, all along a vector. */
const words = (values: ArrayLike<number>): Code => v128.const(Array.from({ length: 16 }, (_, i) => (values[(i >> 2) % values.length]! >>> (8 * (i & 3))) & 0xff));

export const i8x16 = {
  const: (byte: number): Code => v128.const(bytes16(byte)),
  swizzle: simd2(0x0e),
  eq: simd2(0x23),
  ltU: simd2(0x26),
  gtS: simd2(0x27),
  bitmask: simd1(0x64),
  shrU: simd2(0x6d),
  add: simd2(0x6e),
  sub: simd2(0x71),
  /** x - y, or 0. */
  subSatU: simd2(0x73),
  maxU: simd2(0x79),
  /** The lanes of x, then those of y, none beyond 255. */
  narrow: simd2(0x66),
};

export const i16x8 = {
  /** The lanes of x, then those of y, none beyond 32767. */
  narrow: simd2(0x85),
  /** The lanes of x, then those of y, none below 0 or beyond 65535. */
  narrowU: simd2(0x86),
  shrS: simd2(0x8c),
  eq: simd2(0x2d),
  minU: simd2(0x97),
  maxU: simd2(0x99),
  add: simd2(0x8e),
  sub: simd2(0x91),
  extmulLowS: simd2(0x9c),
  extmulHighS: simd2(0x9d),
  const: (value: number): Code => v128.const(Array.from({ length: 16 }, (_, i) => (i % 2 === 0 ? value & 0xff : (value >> 8) & 0xff))),
};

export const i32x4 = {
  const: (value: number): Code => words([value]),
  gtS: simd2(0x3b),
  shl: simd2(0xab),
  shrS: simd2(0xac),
  shrU: simd2(0xad),
  add: simd2(0xae),
  sub: simd2(0xb1),
  minS: simd2(0xb6),
  dot: simd2(0xba),
  lane: (x: Code, lane: number): Code => [...x, 0xfd, 0x1b, lane],
};

export const i64x2 = { shl: simd2(0xcb) };

export const f32x4 = {
  const: (value: number): Code => words(new Uint32Array(new Float32Array([value]).buffer)),
  eq: simd2(0x41),
  lt: simd2(0x43),
  add: simd2(0xe4),
  sub: simd2(0xe5),
  mul: simd2(0xe6),
  div: simd2(0xe7),
  max: simd2(0xe9),
  /** y if x < y, else x: x if that is NaN. */
  pmax: simd2(0xeb),
  demoteZero: simd1(0x5e),
};

export const f64x2 = {
  splat: simd1(0x14),
  add: simd2(0xf0),
  mul: simd2(0xf2),
  sub: simd2(0xf1),
  floor: simd1(0x75),
  convertLowS: simd1(0xfe),
  promoteLow: simd1(0x5f),
  const: (value: number): Code => words(new Uint32Array(new Float64Array([value]).buffer)),
};

/** A parameter or local of a function. */
export type Local = { readonly get: Code; readonly set: Unary; readonly step: (by: number | Code) => Code };

const localOf = (index: number): Local => {
  const get = [0x20, ...unsigned(index)];
  const set: Unary = (value) => [...value, 0x21, ...unsigned(index)];
  return { get, set, step: (by) => set(i32.add(get, typeof by === 'number' ? i32.const(by) : by)) };
};

const emptyBlock = 0x40;

export const either = (condition: Code, then: Code, otherwise: Code): Code => [...condition, 0x04, emptyBlock, ...then, 0x05, ...otherwise, 0x0b];

/** Runs `body` while `condition` holds, tested before. Again after the body, for V8 takes constants out of a loop only from what runs in every turn. */
export const loopWhile = (condition: Code, body: Code): Code => [
  0x02, emptyBlock, ...condition, 0x45, 0x0d, 0,
  0x03, emptyBlock, ...body, ...condition, 0x0d, 0, 0x0b,
  0x0b,
];

/** `body` for `counter` from `from` while below `to`, by `by`. */
export const loopUp = (counter: Local, from: Code, to: Code, by: number, body: Code): Code => [
  ...counter.set(from), ...loopWhile(i32.ltS(counter.get, to), [...body, ...counter.step(by)]),
];

/** A function of 32-bit integers that returns none, or one if `build` leaves one on the stack (`returns`). */
export type Definition<Name extends string = string> = { readonly name: Name; readonly parameters: number; readonly returns: boolean; readonly locals: readonly ValueType[]; readonly body: Code };

/** N locals. */
type Locals<N extends number, T extends readonly Local[] = readonly []> = T['length'] extends N ? T : Locals<N, readonly [...T, Local]>;

export const locals = <const N extends number>(count: N, make: (index: number) => Local): Locals<N> => Array.from({ length: count }, (_, i) => make(i)) as readonly Local[] as Locals<N>;

/** Defines a function: `build` gets its parameters, and makes locals as it needs them. */
export const define = <const Name extends string, const N extends number>(
  name: Name, parameters: N, build: (args: Locals<N>, local: (type: ValueType) => Local) => Code, returns = false,
): Definition<Name> => {
  const types: ValueType[] = [];
  const body = build(locals(parameters, localOf), (type) => localOf(parameters + types.push(type) - 1));
  return { name, parameters, returns, locals: types, body };
};

/** The bytes of a module that exports the functions and imports its memory as `env.memory`. */
export const assemble = (functions: readonly Definition[]): Uint8Array => {
  const section = (id: number, items: readonly Code[]): Code => {
    const body = vector(items);
    return [id, ...unsigned(body.length), ...body];
  };
  const codeOf = ({ locals, body }: Definition): Code => {
    const whole = [...vector(locals.map((type) => [1, typeCodes[type]])), ...body, 0x0b];
    return [...unsigned(whole.length), ...whole];
  };
  return Uint8Array.from([
    0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, functions.map(({ parameters, returns }) => [0x60, ...vector(Array.from({ length: parameters }, () => [typeCodes.i32])), ...vector(returns ? [[typeCodes.i32]] : [])])),
    ...section(2, [[...text('env'), ...text('memory'), 0x02, 0x00, 1]]),
    ...section(3, functions.map((_, i) => unsigned(i))),
    ...section(7, functions.map(({ name }, i) => [...text(name), 0x00, ...unsigned(i)])),
    ...section(10, functions.map(codeOf)),
  ]);
};
