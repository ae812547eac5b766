import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ProgramError, readContainer, writeContainer } from '../../isa-spec/container.ts';
import { crc32c } from '../../isa-spec/crc32c.ts';
import { still } from '../../isa-spec/encoding.ts';
import { strideSetsMax } from '../../isa-spec/fields.ts';
import { canonicalJson } from '../../isa-spec/json.ts';
import { sampleProgram } from './sample-program.ts';
import { isCheck } from '../sweep.ts';

const bytes = writeContainer(sampleProgram);

/** Puts every checksum right, so that the checks behind them are reached. */
const resealed = (damaged: Uint8Array): Uint8Array => {
  const view = new DataView(damaged.buffer);
  const sections = Math.min(view.getUint32(8, true), Math.floor((damaged.length - 64) / 64));
  for (let at = 64; at < 64 + 64 * sections; at += 64) {
    const offset = Number(view.getBigUint64(at + 16, true));
    view.setUint32(at + 12, crc32c(damaged.subarray(offset, offset + Number(view.getBigUint64(at + 24, true)))), true);
  }
  const head = damaged.slice(0, 64 + 64 * sections);
  head.fill(0, 60, 64);
  view.setUint32(60, crc32c(head), true);
  return damaged;
};

describe('container', () => {
  it('readContainer(writeContainer(p)) = p, and the bytes again', () => {
    expect(readContainer(bytes)).toEqual(sampleProgram);
    expect(writeContainer(readContainer(bytes))).toEqual(bytes);
  });

  it('has as many stride sets of a queue as the last frame reaches, and no more', () => {
    const set = { strides: [1, 0, 0, 0], ring: { stride: 0, depth: 0, base: 0, steps: [0, 0, 0, 0] } } as const;
    const withSets = (count: number): typeof sampleProgram => ({
      ...sampleProgram, chips: 1, entries: sampleProgram.entries.slice(0, 1), code: [[{ ...sampleProgram.code[0]![0]!, vec: { words: new Uint8Array(0), strideSets: [still, ...Array.from({ length: count }, () => set)] } }]],
    });
    expect(readContainer(writeContainer(withSets(strideSetsMax))).code[0]![0]!.vec.strideSets.length).toBe(strideSetsMax + 1);
    expect(() => writeContainer(withSets(strideSetsMax + 1))).toThrow('`still` and up to 65598 others');
  });

  it('stores what chips share once', () => {
    const alone = writeContainer({ ...sampleProgram, chips: 1, code: sampleProgram.code.map((chips) => chips.slice(0, 1)) });
    const shared = writeContainer({ ...sampleProgram, code: sampleProgram.code.map((chips) => [chips[0]!, chips[0]!]) });
    expect(shared.length - alone.length).toBe(2 * 9 * 2 * 64);
  });

  it('refuses every truncation and every flipped bit', () => {
    for (let length = 0; length < bytes.length; length += 13) expect(() => readContainer(bytes.subarray(0, length))).toThrow(ProgramError);
    fc.assert(
      fc.property(fc.nat({ max: bytes.length - 1 }), fc.nat({ max: 7 }), (at, bit) => {
        const damaged = bytes.slice();
        damaged[at]! ^= 1 << bit;
        expect(() => readContainer(damaged)).toThrow(ProgramError);
      }),
      { numRuns: isCheck ? 100 : 400 },
    );
  });

  it('refuses or reads back to the byte what was damaged and sealed again', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat({ max: bytes.length - 1 }), fc.nat({ max: 255 })), { minLength: 1, maxLength: 3 }), (patches) => {
        const damaged = bytes.slice();
        for (const [at, value] of patches) damaged[at] = value;
        resealed(damaged);
        try {
          expect(writeContainer(readContainer(damaged))).toEqual(damaged);
        } catch (error) {
          if (!(error instanceof ProgramError)) throw error;
        }
      }),
      { numRuns: isCheck ? 100 : 600 },
    );
  });

  it('says what is wrong, and where', () => {
    const patched = (at: number, value: number): Uint8Array => {
      const damaged = bytes.slice();
      damaged[at] = value;
      return damaged;
    };
    expect(() => readContainer(new Uint8Array(10))).toThrow('program, byte 10: ends within its header');
    expect(() => readContainer(patched(0, 0))).toThrow('does not start with SOHU');
    expect(() => readContainer(patched(4, 9))).toThrow('has format version 9, this is version 1');
    expect(() => readContainer(patched(16, 3))).toThrow('3 entries on 2 chips take 117');
    expect(() => readContainer(patched(70, 1))).toThrow('does not match its checksum');
    expect(() => readContainer(resealed(patched(Buffer.from(bytes).indexOf('{"compiler"'), 0x5b)))).toThrow('`meta` is not JSON');
  });

  it('refuses a program whose parts disagree', () => {
    expect(() => writeContainer({ ...sampleProgram, chips: 1 })).toThrow('internal: code is not that of every entry and chip');
  });
});

describe('canonical JSON', () => {
  it('does not depend on the order of keys', () => {
    expect(canonicalJson({ b: 1, a: [{ d: null, c: 'x' }] })).toBe('{"a":[{"c":"x","d":null}],"b":1}');
    expect(() => canonicalJson({ a: NaN })).toThrow(TypeError);
  });

  it('parses back', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => {
        const text = canonicalJson(value as never);
        expect(canonicalJson(JSON.parse(text))).toBe(text);
      }),
    );
  });
});

describe('crc32c', () => {
  it('is that of RFC 3720', () => {
    expect(crc32c(new TextEncoder().encode('123456789'))).toBe(0xe3069283);
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
  });
});
