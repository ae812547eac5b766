import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { decodeBf16, decodeE4m3, exp2f } from '../../isa-spec/numerics.ts';
import { sample } from '../../isa-spec/numerics-sampling.ts';
import { fromSingleBits, singleBits } from './bits.ts';
import { onInterpreter } from './on-interpreter.ts';
import { onSimulator } from './on-simulator.ts';
import { digest, makers, type Packs, pack, packText, unpack } from './vectors.ts';

const folder = new URL('../../isa-spec/vectors/', import.meta.url);
type Pack<O extends keyof Packs> = { readonly op: O; readonly version: number; readonly sha256: string; readonly cases: readonly Packs[O][] };
const read = <O extends keyof Packs>(op: O): Pack<O> => JSON.parse(readFileSync(new URL(`${op}.json`, folder), 'utf8')) as Pack<O>;
const ops = Object.keys(makers) as readonly (keyof Packs)[];

describe('packs', () => {
  /** `vitest -u` writes them anew. */
  it.each(ops)('%s is what the oracle says', async (op) => {
    await expect(packText(op, makers[op]())).toMatchFileSnapshot(`../../isa-spec/vectors/${op}.json`);
  });

  it.each(ops)('%s has the hash it states', (op) => {
    const { sha256, cases } = read(op);
    expect(digest(cases)).toBe(sha256);
  });
});

const machines = [['interpreter', onInterpreter], ['simulator', onSimulator]] as const;
const f32 = (codes: readonly number[]): string => pack('f32', codes);

describe.each(machines)('%s', (machine, on) => {
  it.each(read('dot').cases)('dot, $format: $name', (one) => expect(f32(on.dot(one))).toBe(one.sum));
  it.each(read('norm').cases)('norm, $kind: $name', (one) => expect(f32(on.norm(one))).toBe(one.out));
  it.each(read('rope').cases)('rope, interleaved $interleaved: $name', (one) => expect(f32(on.rope(one))).toBe(one.out));
  it.each(read('attention').cases)('attention, $format: $name', (one) => expect(f32(on.attention(one))).toBe(one.out));

  it.each(read('quantise').cases)('quantise: $name', (one) => {
    const { codes, scale } = on.quantise(one);
    expect([pack('e4m3', codes), f32(scale)]).toEqual([one.codes, one.scale]);
  });

  it.each(read('functions').cases.filter(({ name }) => name !== 'exp2'))('$name', (one) => expect(f32(on.functions(one) ?? [])).toBe(one.out));

  it.each(read('convert').cases)('to $name', (one) => {
    // The interpreter's results are numbers, the simulator's are codes.
    const decode = one.name === 'bf16' ? decodeBf16 : decodeE4m3;
    const values = machine === 'simulator' ? on.convert(one).map((code) => singleBits(decode(code))) : on.convert(one);
    expect(f32(values)).toBe(f32(unpack(one.out).map((code) => singleBits(decode(code)))));
  });
});

it('exp2, which only attention uses', () => {
  const [one] = read('functions').cases.filter(({ name }) => name === 'exp2');
  expect(f32(unpack(one!.x).map((code) => singleBits(exp2f(fromSingleBits(code)))))).toBe(one!.out);
});

describe('products', () => {
  it.each(read('product').cases)('$format by $weightFormat, $scaling scales: $name', (one) => expect(f32(onSimulator.product(one))).toBe(one.sum));
});

describe('scales', () => {
  it.each(read('scales').cases)('$mode, $format, powers of two $pow2: $name', (one) => {
    const { codes, scales } = onSimulator.scales(one);
    expect([pack(one.format, codes), pack(one.mode === 'mx' ? 'ue8m0' : 'f32', scales)]).toEqual([one.codes, one.scales]);
  });
});

describe('chains of micro-operations', () => {
  it.each(read('map').cases)('$name', (one) => expect(f32(onSimulator.chain(one))).toBe(one.out));
});

describe('attention in parts, which a graph does not have', () => {
  it.each(read('parts').cases)('$format: $name', (one) => expect(f32(onSimulator.parts(one))).toBe(one.out));
});

describe('sample, which a graph does not have', () => {
  it.each(read('sample').cases)('$name', (one) => {
    const number = (code: string): number => fromSingleBits(unpack(code)[0]!);
    expect(sample(unpack(one.logits).map(fromSingleBits), { ...one, temperature: number(one.temperature), topP: number(one.topP) }, one.position)).toBe(one.token);
    expect(onSimulator.sample(one)).toBe(one.token);
  });
});
