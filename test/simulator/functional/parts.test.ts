import { describe, expect, test } from 'vitest';
import { decodeAll, encodeAll } from '../../../isa-spec/encoding.ts';
import { type Instruction, type InstructionOf, type Queue, queues } from '../../../isa-spec/instructions.ts';
import { tiny2 } from '../../../isa-spec/machines/tiny.ts';
import { encodeBf16, encodeE4m3 } from '../../../isa-spec/numerics.ts';
import type { Program } from '../../../isa-spec/program.ts';
import { encodeStepBlock, type WorkEntry } from '../../../isa-spec/step-block.ts';
import { readHbm } from '../../../simulator/functional/machine-state.ts';
import { runStep } from '../../../simulator/functional/run.ts';
import { early, late, randomSchedule, roundRobin, type Schedule } from '../../../simulator/functional/schedule.ts';
import { AttentionUnit, type Heads } from '../attention-unit.ts';
import { all, at, type Code, emptyStep, faultOf, hbmAt, Image, ins, numbers, programOf, runOnImage, stateOf, sync, token } from './harness.ts';

describe('however parts are divided, the bits are those of one instruction that takes them all', () => {
  const shapes: Readonly<Record<string, Heads>> = {
    'latents of e4m3': { format: 'e4m3', heads: 4, kvHeads: 1, headDim: 24, valueDim: 16, latent: true },
    'bf16, values narrower than keys': { format: 'bf16', heads: 4, kvHeads: 2, headDim: 12, valueDim: 5, latent: false },
  };
  /** 5 parts of one block; 1; 3, the rows on both sides of an edge; 2. */
  const sequences = [{ rows: 1, past: 512 }, { rows: 7, past: 0 }, { rows: 5, past: 254 }, { rows: 1, past: 200 }];
  const count = 5;

  describe.each(Object.entries(shapes))('%s', (_, heads) => {
    const next = numbers(31);
    const unit = new AttentionUnit(heads, sequences, () => (heads.format === 'e4m3' ? encodeE4m3(3 * next()) : 0x3f00 + Math.floor(0x100 * Math.abs(next())) + (next() < 0 ? 0x8000 : 0)), 'simd');
    const split = { splitBlocks: 1 } as const;
    /** Loads queries, attends to parts, and finishes. */
    const one = (parts: readonly Partial<InstructionOf<'attn'>['fields']>[], finish: Partial<InstructionOf<'afin'>['fields']> = {}): Uint32Array => {
      unit.load();
      parts.forEach((fields) => unit.attend({ ...split, ...fields }));
      return unit.finish(finish);
    };
    const storePart = (part: number, of: number, merge: Partial<InstructionOf<'afin'>['fields']> = {}): void => {
      unit.load();
      unit.attend({ ...split, firstPart: part, parts: 1 });
      unit.storePartial(part, of, merge);
    };
    const wanted = one([{}]);

    test('more parts than there are', () => expect(one([{ parts: 40 }])).toEqual(wanted));
    test('one instruction after another, in each of the 16 ways to divide 5 parts', () => {
      for (let cuts = 0; cuts < 16; cuts++) {
        const ends = [1, 2, 3, 4, 5].filter((end) => end === count || (cuts >> (end - 1)) & 1);
        const ranges = ends.map((end, i) => ({ firstPart: ends[i - 1] ?? 0, parts: end - (ends[i - 1] ?? 0) }));
        expect(one(ranges), JSON.stringify(ranges)).toEqual(wanted);
      }
      expect(one([{ parts: 2 }, { firstPart: 2 }])).toEqual(wanted);
    });
    test('a partial each, in any order, merged', () => {
      for (const part of [3, 0, 6, 4, 1, 5, 2]) storePart(part, 7);
      expect(one([], unit.partials(count, 7))).toEqual(wanted);
      // Parts nobody has keys in change nothing.
      expect(one([], unit.partials(7, 7))).toEqual(wanted);
    });
    test('partials, and the last part beside them', () => {
      for (const part of [0, 1, 2, 3]) storePart(part, 4);
      expect(one([{ firstPart: 4, parts: 1 }], unit.partials(4, 4))).toEqual(wanted);
    });
    test('a sum that is taken along from pass to pass', () => {
      unit.load();
      unit.attend({ ...split, parts: 2 });
      unit.storePartial(0, 1);
      for (const part of [2, 3]) {
        unit.load();
        unit.attend({ ...split, firstPart: part, parts: 1 });
        unit.storePartial(0, 1, unit.partials(1, 1));
      }
      expect(one([{ firstPart: 4, parts: 1 }], unit.partials(1, 1))).toEqual(wanted);
    });
    test('sums of parts from the middle on are other sums', () => {
      unit.load();
      unit.attend({ ...split, parts: 2 });
      unit.storePartial(0, 2);
      unit.load();
      unit.attend({ ...split, firstPart: 2 });
      unit.storePartial(1, 2);
      expect(one([], unit.partials(2, 2))).not.toEqual(wanted);
    });
    test('sequences of one part have the bits of keys that are not split', () => {
      const columns = heads.heads * heads.valueDim;
      const whole = one([{ splitBlocks: 5 }]);
      unit.load();
      unit.attend();
      const unsplit = unit.finish();
      expect(whole).toEqual(unsplit);
      expect(wanted.subarray(columns, 8 * columns)).toEqual(unsplit.subarray(columns, 8 * columns));
      expect(wanted).not.toEqual(unsplit);
    });
    test('with a sink', () => {
      const sinks = at(400000);
      unit.finish({ partial: true, out: sinks, pitch: unit.partLines });
      const sink = { sink: true, sinks };
      expect(one([{ parts: 3 }, { firstPart: 3 }], sink)).toEqual(one([{}], sink));
    });
  });
});

/*
 * Two chips, each with half of the parts of every sequence: a partial of each part, gathered side by side, merged on both. Rows of
 * two windows of queries; 2 heads that share a latent of 8 elements, 4 of which are the value, so that a partial has 2 * (2 + 4) numbers:
 * 6 lines of 8 bytes.
 */
const [heads, headDim, valueDim, rowsMax, partLines] = [2, 8, 4, 3, 6];
const [worklistAt, pagesAt, queriesAt, minesAt, gatheredAt, outAt] = [0, 32, 64, 100, 200, 300];
const worklist: readonly WorkEntry[] = [
  { firstRow: 0, rows: 1, keys: 400, firstPosition: 399, firstPage: 0 },
  { firstRow: 1, rows: 3, keys: 260, firstPosition: 257, firstPage: 25 },
];
const pages = Array.from({ length: 25 + 17 }, (_, i) => 41 - i);
const next = numbers(47);
const latents = Uint8Array.from({ length: 42 * 16 * headDim }, () => encodeE4m3(3 * next()));
const queries = Uint8Array.from({ length: 4 * heads * headDim }, () => encodeE4m3(3 * next()));
const rows = { max: rowsMax, reg: 1, level: 1 };
const ring = { stride: 0, depth: 0, base: 0, steps: [0, 0, 0, 0] } as const;
const strideSets = { att: [{ strides: [0, 2 * rowsMax, 0, 0], ring }, { strides: [0, 4 * rowsMax, 0, 0], ring }] } as const;

const load = (waits: Instruction['waits'] = []): Instruction => ins('aq', { format: 'e4m3', q: at(queriesAt, 1), pitch: 2, worklist: worklistAt, heads, headDim, valueDim, scale: Math.fround(0.37), rows }, waits);
const attend = (parts: Partial<InstructionOf<'attn'>['fields']>): Instruction =>
  ins('attn', { format: 'e4m3', mask: 'causal', latent: true, kv: hbmAt('kv', 0), pages: pagesAt, pageRows: 16, kvLines: 1, kvHeads: 1, window: 0, splitBlocks: 1, ...parts });
const lists: Code = {
  ctl: [ins('hostw', { table: 'worklist', dst: at(worklistAt), bytes: 128 }), ins('hostw', { table: 'pages', dst: at(pagesAt), bytes: 4 * pages.length }, [], [token(1)])],
  dma0: [ins('dld', { src: hbmAt('io', 0), srcPitch: 2, dst: at(queriesAt), dstPitch: 2, lines: 2, rows: all(4) }, [], [token(2)])],
  dma1: [ins('dst', { src: at(outAt), srcPitch: 4, dst: hbmAt('io', 100), dstPitch: 4, lines: 4, rows: all(4) }, [token(5, 2)])],
};
/** For both windows of queries. */
const windows = (waits: Instruction['waits'], ...body: readonly Instruction[]): readonly Instruction[] => [ins('sreg', { reg: 1, count: 'tokens' }, waits), ins('loop', { level: 1, count: 2, body: body.length }), ...body];
const loaded = [token(1), token(2)];
const finish = (fields: Partial<InstructionOf<'afin'>['fields']> = {}): Instruction => ins('afin', { format: 'f32', out: at(outAt, 2), pitch: 4, rows, ...fields });

/** All parts in one instruction. */
const together: Code = { ...lists, att: windows(loaded, load(), attend({}), finish(), sync([], [token(5)])) };

/** Parts 2 * rank and 2 * rank + 1 on chip `rank`. */
const apart = (rank: number): Code => {
  const store = (i: number, posts: Instruction['posts'] = []): readonly Instruction[] =>
    [load(), attend({ firstPart: 2 * rank + i, parts: 1 }), ins('afin', { format: 'f32', partial: true, out: at(minesAt + i * partLines), pitch: 2 * partLines, rows }, [], posts)];
  return {
    ...lists,
    att: windows(
      loaded, ...store(0), ...store(1, [token(3)]),
      load([token(4)]), finish({ merge: 4, partials: at(gatheredAt), partialPitch: 4 * partLines }), sync([], [token(5)]),
    ),
    col: windows(
      [],
      ins('coll', { kind: 'allgather', src: at(minesAt), srcPitch: 2 * partLines, out: at(gatheredAt), outPitch: 4 * partLines, bytes: 2 * partLines * 8, tag: 1, rows }, [token(3)], [token(4)]),
    ),
  };
};

const made = { machine: tiny2, strideSets, regions: [{ base: 'io', bytes: 4096 }, { base: 'kv', bytes: latents.length }] } as const;
const chips = [apart(0), apart(1)];
/** A chip's pool: pages of the other chip's parts, 8 pages a part, are NaN. */
const held = (rank: number): Uint8Array =>
  latents.map((code, i) => {
    const listed = pages.indexOf(Math.floor(i / (16 * headDim)));
    const part = Math.floor((listed < 25 ? listed : listed - 25) / 8);
    return Math.floor(part / 2) === rank ? code : 0x7f;
  });
/** The results of all rows on each chip. */
const run = (program: Program, schedule: Schedule = roundRobin, poolOf: (rank: number) => Uint8Array = held): readonly Uint8Array[] => {
  const state = stateOf(program);
  for (const { hbm, rank } of state.chips) {
    hbm.io!.write(0, queries);
    hbm.kv!.write(0, poolOf(rank));
  }
  runStep(state, [encodeStepBlock({ ...emptyStep, counts: { tokens: 4, sequences: 2, samples: 0, memory: 0 }, worklist, pages })], schedule, undefined, { races: true, instructions: 1000 });
  return state.chips.map(({ rank }) => readHbm(state, rank, 'io', 800, 4 * heads * valueDim * 4));
};

describe('parts on several chips', () => {
  const [wanted] = run(programOf([together, together], made), roundRobin, () => latents);

  test.each(Object.entries({ roundRobin, early, late, random: randomSchedule(3), 'random, another': randomSchedule(8) }))('%s: merged on both they are what one chip has by itself', (_, schedule) => {
    expect(run(programOf(chips, made), schedule)).toEqual([wanted, wanted]);
  });

  test('whichever wait is taken out, something is noticed: that for the gathered partials is a race', () => {
    const program = programOf(chips, made);
    const without = (queue: Queue, n: number): Program => {
      const strip = (words: Uint8Array): Uint8Array => {
        let seen = 0;
        return encodeAll(decodeAll(words, queue).map((one) => ({ ...one, waits: one.waits.filter(() => seen++ !== n) }) as Instruction), queue);
      };
      return { ...program, code: program.code.map((all) => all.map((chip) => ({ ...chip, [queue]: { ...chip[queue], words: strip(chip[queue].words) } }))) };
    };
    for (const queue of queues) {
      const count = decodeAll(program.code[0]![0]![queue].words, queue).reduce((sum, { waits }) => sum + waits.length, 0);
      const kinds = Array.from({ length: count }, (_, n) => faultOf(() => run(without(queue, n))).kind);
      for (const kind of kinds) expect(['race', 'unbalanced']).toContain(kind);
      if (queue === 'att') expect(kinds.at(-1)).toBe('race');
    }
  });
});

test('a partial is m of each head, l of each head, then O', () => {
  const image = new Image();
  // Scores are exponents of two: queries 1 and 2 on keys 3 and 2, of values 5 and 7.
  image.codes16(0, [1, 2].map(encodeBf16));
  const pool = new Uint16Array(16);
  [3, 2, 5, 7].forEach((x, row) => (pool[4 * row] = encodeBf16(x)));
  const att = [
    ins('aq', { format: 'bf16', q: at(0), pitch: 1, worklist: 16, heads: 2, headDim: 1, scale: Math.fround(Math.LN2), rows: all(1) }, [token(5)]),
    ins('attn', { format: 'bf16', mask: 'causal', kv: hbmAt('kv', 0), pages: 24, pageRows: 2, kvLines: 1, kvHeads: 1, window: 0, splitBlocks: 1 }),
    ins('afin', { format: 'f32', partial: true, out: at(32), pitch: 3, rows: all(1) }, [], [token(10)]),
  ];
  const ctl = [ins('hostw', { table: 'worklist', dst: at(16), bytes: 64 }), ins('hostw', { table: 'pages', dst: at(24), bytes: 4 }, [], [token(5)])];
  const step = { counts: { tokens: 1, sequences: 1, samples: 0, memory: 0 }, worklist: [{ firstRow: 0, rows: 1, keys: 2, firstPosition: 1, firstPage: 0 }], pages: [0] };
  expect(runOnImage(image, ['att', 'ctl'], { att, ctl }, step, { kv: new Uint8Array(pool.buffer) }).image.readF32(32, 6)).toEqual([3, 6, 1 + 1 / 2, 1 + 1 / 4, 5 + 7 / 2, 5 + 7 / 4]);
});

test('values wider than the latents they are part of', () => {
  const wide = ins('aq', { format: 'e4m3', q: at(queriesAt, 1), pitch: 2, worklist: worklistAt, heads, headDim, valueDim: 9, scale: 1, rows });
  const code: Code = { ...lists, att: windows(loaded, wide, attend({}), finish(), sync([], [token(5)])) };
  expect(faultOf(() => run(programOf([code, code], made))).reason).toBe('values of 9 elements are to be part of keys of 8');
});
