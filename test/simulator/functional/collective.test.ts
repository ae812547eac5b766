import { describe, expect, test } from 'vitest';
import type { InstructionOf } from '../../../isa-spec/instructions.ts';
import { tiny, tiny2 } from '../../../isa-spec/machines/tiny.ts';
import { encodeBf16, toBf16 } from '../../../isa-spec/numerics.ts';
import { encodeStepBlock } from '../../../isa-spec/step-block.ts';
import { readHbm } from '../../../simulator/functional/machine-state.ts';
import { runStep } from '../../../simulator/functional/run.ts';
import { all, at, type Code, emptyStep, hbmAt, ins, numbers, programOf, stateOf, token } from './harness.ts';

const { fround } = Math;
const next = numbers(41);
type Fields = Partial<InstructionOf<'coll'>['fields']>;

/** Three rows of 16 bytes a chip go in, what is in three rows of four lines comes out. */
const run = (chips: number, fields: Fields, inputs: readonly Uint8Array[], others: Fields = fields): readonly Uint8Array[] => {
  const code = (own: Fields): Code => ({
    dma0: [ins('dld', { src: hbmAt('io', 0), srcPitch: 2, dst: at(0), dstPitch: 2, lines: 2, rows: all(3) }, [], [token(1)])],
    col: [ins('coll', { kind: 'allreduce', src: at(0), srcPitch: 2, out: at(100), outPitch: 4, bytes: 16, tag: 5, rows: all(3), ...own }, [token(1)], [token(2)])],
    dma1: [ins('dst', { src: at(100), srcPitch: 4, dst: hbmAt('io', 100), dstPitch: 4, lines: 4, rows: all(3) }, [token(2)])],
  });
  const state = stateOf(programOf(Array.from({ length: chips }, (_, rank) => code(rank === 0 ? fields : others)), { machine: { ...(chips === 2 ? tiny2 : tiny), chips } }));
  state.chips.forEach(({ hbm, rank }) => hbm.io!.write(0, inputs[rank]!));
  runStep(state, [encodeStepBlock(emptyStep)]);
  return state.chips.map((_, rank) => readHbm(state, rank, 'io', 800, 96));
};

const chips = 3;
const values = Array.from({ length: chips }, (_, rank) => Array.from({ length: 24 }, (__, i) => toBf16(next() * 8 ** ((i + 3 * rank) % 5))));
const bf16 = values.map((row) => new Uint8Array(Uint16Array.from(row.map(encodeBf16)).buffer));
const row = (bytes: Uint8Array, r: number, count: number): number[] => Array.from(new Uint16Array(bytes.slice(32 * r, 32 * r + 2 * count).buffer));
const untouched = (bytes: Uint8Array, from: number): boolean => bytes.slice(from, 32).every((byte) => byte === 0xff);
const sums = values[0]!.map((x, i) => encodeBf16(fround(fround(x + values[1]![i]!) + values[2]![i]!)));

describe('reductions add up in rank order and round once', () => {
  test('allreduce', () => {
    for (const bytes of run(chips, { format: 'bf16' }, bf16)) {
      for (let r = 0; r < 3; r++) expect(row(bytes, r, 8)).toEqual(sums.slice(8 * r, 8 * r + 8));
      expect(untouched(bytes, 16)).toBe(true);
    }
    // Rounding after each addition would be something else.
    expect(sums).not.toEqual(values[0]!.map((x, i) => encodeBf16(toBf16(x + values[1]![i]!) + values[2]![i]!)));
  });
  test('allreduce of f32, the format that is absent', () => {
    const [a, b] = [1, 2].map(() => Array.from({ length: 12 }, () => fround(next()))) as [number[], number[]];
    const out = run(2, {}, [a, b].map((list) => new Uint8Array(Float32Array.from(list).buffer)));
    for (const bytes of out) for (let r = 0; r < 3; r++) expect([...new Float32Array(bytes.slice(32 * r, 32 * r + 16).buffer)]).toEqual(a.slice(4 * r, 4 * r + 4).map((x, i) => fround(x + b[4 * r + i]!)));
  });
  test('reducescatter: chip q keeps part q', () => {
    const two = values.slice(0, 2);
    run(2, { kind: 'reducescatter', format: 'bf16' }, bf16).forEach((bytes, rank) => {
      for (let r = 0; r < 3; r++) expect(row(bytes, r, 4)).toEqual([0, 1, 2, 3].map((i) => encodeBf16(fround(two[0]![8 * r + 4 * rank + i]! + two[1]![8 * r + 4 * rank + i]!))));
      expect(untouched(bytes, 8)).toBe(true);
    });
    expect(() => run(3, { kind: 'reducescatter', format: 'bf16' }, bf16)).toThrow('16 bytes are not 3 equal parts of bf16');
  });
});

describe('from one chip', () => {
  test('broadcast', () => {
    for (const bytes of run(chips, { kind: 'broadcast', root: 2 }, bf16)) for (let r = 0; r < 3; r++) expect(bytes.slice(32 * r, 32 * r + 16)).toEqual(bf16[2]!.slice(16 * r, 16 * r + 16));
  });
  test('send: only the peer gets it', () => {
    const out = run(chips, { kind: 'send', root: 2, peer: 1 }, bf16);
    for (let r = 0; r < 3; r++) expect(out[1]!.slice(32 * r, 32 * r + 16)).toEqual(bf16[2]!.slice(16 * r, 16 * r + 16));
    for (const rank of [0, 2]) expect(out[rank]!.every((byte) => byte === 0xff)).toBe(true);
  });
  test('shift: each chip takes as many rows as it has of what the one before brought', () => {
    const [first, second, third] = run(chips, { kind: 'shift' }, bf16) as [Uint8Array, Uint8Array, Uint8Array];
    expect(first.every((byte) => byte === 0xff)).toBe(true);
    for (let r = 0; r < 3; r++) expect(second.slice(32 * r, 32 * r + 16)).toEqual(bf16[0]!.slice(16 * r, 16 * r + 16));
    for (let r = 0; r < 3; r++) expect(third.slice(32 * r, 32 * r + 16)).toEqual(bf16[1]!.slice(16 * r, 16 * r + 16));
  });
  test('exchange: chip q has whole rows, those of its share; zeros where there are no more', () => {
    const out = run(2, { kind: 'exchange', bytes: 16 }, bf16);
    const whole = (r: number): number[] => [...bf16[0]!.slice(16 * r, 16 * r + 16), ...bf16[1]!.slice(16 * r, 16 * r + 16)];
    const same = (byte: number): number[] => Array.from({ length: 32 }, () => byte);
    expect(out.map((bytes) => [0, 32, 64].map((at) => Array.from(bytes.subarray(at, at + 32))))).toEqual([[whole(0), whole(1), same(255)], [whole(2), same(0), same(255)]]);
  });
  test('collect: the rows of all shares are below one another, on every chip', () => {
    const inputs = [1, 2].map((rank) => Uint8Array.from({ length: 96 }, (_, i) => 16 * rank + Math.floor(i / 16)));
    for (const bytes of run(2, { kind: 'collect' }, inputs)) expect([0, 32, 64].map((at) => [bytes[at], bytes[at + 15], bytes[at + 16]])).toEqual([[16, 16, 255], [17, 17, 255], [32, 32, 255]]);
  });
  test('collectlist: the elements of a row list', () => {
    const lists = [[10, 11, 12], [20, 21, 22]].map((list) => new Uint8Array(Int32Array.from({ length: 24 }, (_, i) => list[i] ?? 0).buffer));
    for (const bytes of run(2, { kind: 'collectlist', bytes: 4, srcPitch: 0, outPitch: 0 }, lists)) expect([...new Int32Array(bytes.slice(0, 16).buffer)]).toEqual([10, 11, 20, -1]);
  });
  test('of groups, each by itself: of what its own chips brought', () => {
    const inputs = [1, 2, 3, 4].map((rank) => new Uint8Array(96).fill(rank));
    const firsts = (fields: Fields): readonly number[][] => run(4, { group: 2, ...fields }, inputs).map((bytes) => [bytes[0]!, bytes[16]!]);
    expect(firsts({ kind: 'allgather' })).toEqual([[1, 2], [1, 2], [3, 4], [3, 4]]);
    expect(firsts({ kind: 'broadcast', root: 1 })).toEqual([[2, 255], [2, 255], [4, 255], [4, 255]]);
    expect(firsts({ kind: 'send', root: 1 })).toEqual([[2, 255], [255, 255], [4, 255], [255, 255]]);
    expect(firsts({ kind: 'shift' })).toEqual([[255, 255], [255, 255], [1, 255], [2, 255]]);
    expect(() => run(3, { kind: 'allgather', group: 2 }, bf16)).toThrow('3 chips are not groups of 2');
  });
  test('chips that do not agree, or are not there', () => {
    expect(() => run(chips, { kind: 'send', root: 2, peer: 1 }, bf16, { kind: 'send', root: 2 })).toThrow('collective: brings');
    expect(() => run(chips, { kind: 'broadcast', root: 7 }, bf16)).toThrow('names chip 7 of 3');
  });
});
