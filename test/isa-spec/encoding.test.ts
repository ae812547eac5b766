import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decode, decodeAll, decodeStrideSet, encode, encodeAll, encodeStrideSet, IllegalInstruction, move, still } from '../../isa-spec/encoding.ts';
import { type Instruction, instructions, mnemonics, type Queue, queues } from '../../isa-spec/instructions.ts';
import { common, layouts } from '../../isa-spec/layout.ts';
import { anyInstruction, anyStrideSet } from './arbitrary.ts';

const flip = (bytes: Uint8Array, bit: number): Uint8Array => {
  const flipped = bytes.slice();
  flipped[bit >>> 3]! ^= 1 << (bit & 7);
  return flipped;
};

describe('layout', () => {
  it('gives every bit of every word to one field or to none', () => {
    for (const m of mnemonics) {
      const owners = Array.from({ length: 256 }, () => 0);
      const claim = ({ at, bits }: { readonly at: number; readonly bits: number }): void => {
        for (let bit = at; bit < at + bits; bit++) owners[bit]!++;
      };
      Object.values(common).forEach(claim);
      layouts[m].reserved.forEach(claim);
      layouts[m].fields.forEach((field) => field.parts.forEach(claim));
      expect(owners, m).toEqual(Array.from({ length: 256 }, () => 1));
    }
  });

  it('gives every instruction its own opcode', () => {
    expect(new Set(mnemonics.map((m) => instructions[m].opcode)).size).toBe(mnemonics.length);
  });
});

describe('encoding', () => {
  it('decode(encode(i)) = i', () => {
    fc.assert(
      fc.property(anyInstruction, ({ instruction, queue }) => {
        expect(decode(encode(instruction, queue), 0, queue)).toEqual(instruction);
      }),
      { numRuns: 2000 },
    );
  });

  it('encode(decode(b)) = b, or b is an IllegalInstruction: near misses', () => {
    fc.assert(
      fc.property(anyInstruction, fc.array(fc.nat({ max: 255 }), { maxLength: 3 }), ({ instruction, queue }, bits) => {
        const bytes = bits.reduce(flip, encode(instruction, queue));
        try {
          expect(encode(decode(bytes, 0, queue), queue)).toEqual(bytes);
        } catch (error) {
          if (!(error instanceof IllegalInstruction)) throw error;
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('encode(decode(b)) = b, or b is an IllegalInstruction: random words', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.constantFrom(...queues), (bytes, queue) => {
        try {
          expect(encode(decode(bytes, 0, queue), queue)).toEqual(bytes);
        } catch (error) {
          if (!(error instanceof IllegalInstruction)) throw error;
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('rejects every reserved bit of every instruction', () => {
    const samples = fc.sample(anyInstruction, { numRuns: 400, seed: 7 });
    expect(new Set(samples.map(({ instruction }) => instruction.op)).size).toBe(mnemonics.length);
    for (const { instruction, queue } of samples) {
      const bytes = encode(instruction, queue);
      for (const range of layouts[instruction.op].reserved) {
        for (let bit = range.at; bit < range.at + range.bits; bit++) {
          expect(() => decode(flip(bytes, bit), 0, queue)).toThrow(`does not use bit ${bit}`);
        }
      }
    }
  });

  it('rejects unknown opcodes, wrong queues, codes without meaning, odd tokens, and words cut short', () => {
    const event = encode({ op: 'event', waits: [{ semaphore: 3, count: 2 }], posts: [], fields: { tag: 5 } }, 'ctl');
    const patched = (bit: number, value: number): Uint8Array => {
      const bytes = event.slice();
      bytes[bit >>> 3] = value;
      return bytes;
    };
    expect(() => decode(patched(0, 0xff), 0, 'ctl')).toThrow('word at byte 0: no instruction has opcode 0xff');
    expect(() => decode(event, 0, 'mxu')).toThrow('event is for queue ctl, found in mxu');
    expect(() => decode(patched(8, queues.indexOf('mxu')), 0, 'mxu')).toThrow('event cannot be in queue mxu');
    expect(() => decode(patched(32, 0), 0, 'ctl')).toThrow('waits semaphore 0 with count 2');
    expect(() => decode(patched(64, 0), 0, 'ctl')).toThrow('waits semaphore 3 with count 0');
    expect(() => decode(event, 1, 'ctl')).toThrow('the code ends at byte 32');
    expect(() => decode(event, 32, 'ctl')).toThrow(IllegalInstruction);
    const sreg = encode({ op: 'sreg', waits: [], posts: [], fields: { reg: 1, count: 'tokens' } }, 'vec');
    expect(() => decode(flip(sreg, layouts.sreg.fields[1]!.parts[0]!.at + 3), 0, 'vec')).toThrow('`count` has no meaning for code 8');
    const second = event.slice();
    second[5] = 9;
    second[4] = 0;
    second[8] = 0x20;
    expect(() => decode(second, 0, 'ctl')).toThrow('the second of its waits is used');
  });

  it('refuses to encode what does not fit', () => {
    const loop = (count: number, body: number): Instruction => ({ op: 'loop', waits: [], posts: [], fields: { level: 0, count, body } });
    expect(() => encode(loop(0, 1), 'vec')).toThrow('internal: count of loop is -1');
    expect(() => encode(loop(2 ** 20 + 1, 1), 'vec')).toThrow(RangeError);
    expect(() => encode(loop(1, 1.5), 'vec')).toThrow(RangeError);
    expect(() => encode({ op: 'event', waits: [], posts: [], fields: { tag: 0 } }, 'vec')).toThrow('event cannot be in queue vec');
    expect(() => encode({ ...loop(1, 1), waits: [{ semaphore: 1, count: 0 }] }, 'vec')).toThrow(RangeError);
    expect(() => encode({ ...loop(1, 1), posts: [{ semaphore: 256, count: 1 }] }, 'vec')).toThrow(RangeError);
    const query: Instruction = {
      op: 'aq', waits: [], posts: [],
      fields: { format: 'bf16', q: { addr: 0, ss: 0 }, pitch: 1, worklist: 0, heads: 1, headDim: 8, scale: 0.1, rows: { max: 1, reg: 0, level: 0 } },
    };
    expect(() => encode(query, 'att')).toThrow('scale of aq cannot be 0.1');
  });

  it('keeps whole queues', () => {
    const code = fc.sample(anyInstruction, { numRuns: 60, seed: 3 }).filter(({ queue }) => queue === 'vec').map(({ instruction }) => instruction);
    expect(decodeAll(encodeAll(code, 'vec'), 'vec')).toEqual(code);
    expect(() => decodeAll(new Uint8Array(33), 'vec')).toThrow(IllegalInstruction);
  });
});

describe('golden encodings', () => {
  const lines = readFileSync(new URL('../../isa-spec/golden-encodings.jsonl', import.meta.url), 'utf8').trimEnd().split('\n');
  const golden = lines.map((line) => JSON.parse(line) as { readonly queue: Queue; readonly hex: string; readonly instruction: Instruction });

  it('words keep their meaning for ever', () => {
    for (const { queue, hex, instruction } of golden) {
      expect(Buffer.from(encode(instruction, queue)).toString('hex')).toBe(hex);
      expect(decode(Buffer.from(hex, 'hex'), 0, queue)).toEqual(instruction);
    }
  });

  it('has every instruction', () => {
    expect([...new Set(golden.map(({ instruction }) => instruction.op))].toSorted()).toEqual(mnemonics.toSorted());
  });
});

describe('stride sets', () => {
  it('decode(encode(s)) = s', () => {
    fc.assert(
      fc.property(anyStrideSet, (set) => {
        expect(decodeStrideSet(encodeStrideSet(set), 0)).toEqual(set);
      }),
    );
  });

  it('are the bytes they always were', () => {
    const set = { strides: [1, -2, 0x01020304, -(2 ** 31)], ring: { stride: 0xfffefdfc, depth: 0x1122, base: 0x3344, steps: [5, 6, 7, 0xffff] } } as const;
    expect(Buffer.from(encodeStrideSet(set)).toString('hex')).toBe('01000000feffffff0403020100000080fcfdfeff22114433050006000700ffff');
  });

  it('move by strides and turn their ring', () => {
    expect(move(still, [5, 6, 7, 8])).toBe(0);
    const set = { strides: [1000, 0, -10, 1], ring: { stride: 64, depth: 3, base: 1, steps: [4, 1, 0, 0] } } as const;
    expect(move(set, [0, 0, 0, 0])).toBe(64);
    expect(move(set, [0, 1, 0, 0])).toBe(128);
    expect(move(set, [0, 2, 0, 0])).toBe(0);
    expect(move(set, [2, 0, 3, 4])).toBe(2000 - 30 + 4 + 64 * ((1 + 8) % 3));
  });
});
