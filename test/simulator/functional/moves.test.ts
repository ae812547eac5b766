import { describe, expect, test } from 'vitest';
import { encodeStepBlock } from '../../../isa-spec/step-block.ts';
import { readHbm } from '../../../simulator/functional/machine-state.ts';
import type { InstructionOf } from '../../../isa-spec/instructions.ts';
import { runStep } from '../../../simulator/functional/run.ts';
import { all, at, emptyStep, hbmAt, Image, ins, programOf, runProgram, stateOf, token } from './harness.ts';

/** SRAM after copies of `image`, all in one queue. */
const copied = (image: Image, copies: readonly Partial<InstructionOf<'dcp'>['fields']>[]): Image => {
  const none = { fill: false, src: at(0), srcPitch: 0, dst: at(0), dstPitch: 0, lines: 1, value: 0, rows: all(1) };
  const whole = { lines: 1024, rows: all(1) };
  const state = stateOf(programOf([{
    dma0: [
      ins('dld', { src: hbmAt('io', 0), srcPitch: 0, dst: at(0), dstPitch: 0, ...whole }), ...copies.map((fields) => ins('dcp', { ...none, ...fields })),
      ins('dst', { src: at(0), srcPitch: 0, dst: hbmAt('io', 1024), dstPitch: 0, ...whole }),
    ],
  }]));
  state.chips[0]!.hbm.io!.write(0, image.bytes);
  runStep(state, [encodeStepBlock(emptyStep)]);
  const after = new Image();
  after.bytes.set(readHbm(state, 0, 'io', 8192, 8192));
  return after;
};

const filled = (): Image => {
  const image = new Image();
  image.codes8(0, Array.from({ length: 512 }, (_, i) => i % 251));
  return image;
};

describe('dcp', () => {
  test('copies rows, ascending, each as it was', () => {
    const image = filled();
    const before = image.read8(0, 512);
    const after = copied(image, [{ src: at(1), srcPitch: 3, dst: at(40), dstPitch: 2, lines: 2, rows: all(3) }, { src: at(2), dst: at(3), lines: 4 }]);
    for (let r = 0; r < 3; r++) expect(after.read8(40 + 2 * r, 16)).toEqual(before.slice(8 * (1 + 3 * r), 8 * (1 + 3 * r) + 16));
    expect(after.read8(3, 32)).toEqual(before.slice(16, 48));
    expect(after.read8(46, 8)).toEqual(before.slice(46 * 8, 47 * 8));
  });

  test('fills rows with four bytes', () => {
    const image = filled();
    const before = image.read8(0, 512);
    const after = copied(image, [{ fill: true, dst: at(10), dstPitch: 3, lines: 2, value: 0x7f80c3a1, rows: all(2) }]);
    const four = [0xa1, 0xc3, 0x80, 0x7f];
    expect(after.read8(10, 48)).toEqual([...four, ...four, ...four, ...four, ...before.slice(96, 104), ...four, ...four, ...four, ...four, ...before.slice(120, 128)]);
  });
});

test('nop waits and posts', () => {
  const { result } = runProgram([{ vec: [ins('nop', {}, [token(1)], [token(2, 3)])], ctl: [ins('nop', {}, [], [token(1)]), ins('nop', {}, [token(2, 3)]), ins('event', { tag: 4 })] }]);
  expect(result.events).toEqual([[4]]);
  expect(() => runProgram([{ vec: [ins('nop', {}, [token(1)])] }])).toThrow('semaphore 1 to hold 1, it holds 0');
});

test('trace asserts bounds of a register', () => {
  const run = (least: number, most: number, tokens: number) => (): unknown =>
    runProgram([{ vec: [ins('sreg', { reg: 3, count: 'tokens' }), ins('trace', { kind: 'assert', tag: 77, reg: 3, least, most })] }], {}, { counts: { tokens, sequences: 0, samples: 0, memory: 0 } });
  expect(run(2, 5, 2)).not.toThrow();
  expect(run(2, 5, 5)).not.toThrow();
  expect(run(2, 5, 1)).toThrow('assert: assertion 77: R3 is 1, not from 2 to 5');
  expect(run(2, 5, 6)).toThrow('assertion 77');
  expect(() => runProgram([{ ctl: [ins('trace', { kind: 'timestamp', tag: 1, reg: 0, least: 0, most: 0 })] }])).not.toThrow();
});
