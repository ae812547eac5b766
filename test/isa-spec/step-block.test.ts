import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeStepBlock, encodeStepBlock, openStepBlock, StepBlockError, type StepTables } from '../../isa-spec/step-block.ts';

const step: StepTables = {
  entry: 1,
  counts: { tokens: 3, sequences: 2, samples: 2, memory: 0 },
  ids: [5, 7, -1], positions: [0, 1, 9], types: [0, 0, 0], slots: [0, 1, 41], samples: [1, 2], pages: [0, 5, 2], memorySlots: [64, 65], memoryPages: [2],
  memoryWorklist: [{ firstRow: 0, rows: 2, keys: 2, firstPosition: 0, firstPage: 0 }, { firstRow: 2, rows: 1, keys: 0, firstPosition: 9, firstPage: 1 }],
  worklist: [{ firstRow: 0, rows: 2, keys: 2, firstPosition: 0, firstPage: 0 }, { firstRow: 2, rows: 1, keys: 10, firstPosition: 9, firstPage: 1 }],
};

describe('step-control block', () => {
  it('decode(encode(s)) = s, absent tables too', () => {
    expect(decodeStepBlock(encodeStepBlock(step))).toEqual(step);
    const without = { ...step, types: [], pages: [], worklist: [] };
    expect(decodeStepBlock(encodeStepBlock(without))).toEqual(without);
  });

  it('opens to the bytes hostw copies', () => {
    const { tables, counts } = openStepBlock(encodeStepBlock(step));
    expect(counts).toEqual(step.counts);
    expect(tables.worklist.length).toBe(128);
    expect([...tables.samples]).toEqual([1, 0, 0, 0, 2, 0, 0, 0]);
  });

  it('damage is a StepBlockError or another step', () => {
    const bytes = encodeStepBlock(step);
    for (let length = 0; length < bytes.length; length++) expect(() => decodeStepBlock(bytes.subarray(0, length))).toThrow(StepBlockError);
    fc.assert(
      fc.property(fc.nat({ max: bytes.length - 1 }), fc.nat({ max: 255 }), (at, value) => {
        const damaged = bytes.slice();
        damaged[at] = value;
        try {
          decodeStepBlock(damaged);
        } catch (error) {
          if (!(error instanceof StepBlockError)) throw error;
        }
      }),
      { numRuns: 500 },
    );
  });
});
