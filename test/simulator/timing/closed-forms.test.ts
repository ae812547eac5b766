import { describe, expect, test } from 'vitest';
import { tiny, tiny2 } from '../../../isa-spec/machines/tiny.ts';
import { sohu } from '../../../isa-spec/machines/sohu.ts';
import type { Instruction, Queue } from '../../../isa-spec/instructions.ts';
import { codeOf, done, hbmAt, make, rows, stepOf, time } from './build.ts';

/*
 * Hand arithmetic on the tiny machine: 1 GHz; 4 arrays of 8 x 8, bf16 at half rate; lines of 8 bytes; HBM 64 B a cycle, latency 50;
 * attention 2 arrays of 8 x 8 that load 16 B a cycle; 8 exponentials, 16 lanes a cycle; links 16 B a cycle, latency 100; pipelines of 32.
 */
const alone = (queue: Queue, ...code: readonly Instruction[]): number => done(time(tiny, codeOf({ [queue]: code }))).cycles;
const together = (streams: Partial<Record<Queue, readonly Instruction[]>>): number => done(time(tiny, codeOf(streams))).cycles;

describe('an instruction alone takes its closed form', () => {
  test('control', () => {
    expect(alone('ctl', make('event'))).toBe(1);
    expect(alone('vec', make('sync'), make('sync'))).toBe(2);
    expect(alone('vec', make('sreg'), make('loop', { count: 5, body: 1 }), make('sync'))).toBe(5);
    expect(alone('mxu', make('nop'), make('trace'))).toBe(2);
    // 64 rows of 4 bytes fit 1024; 256 bytes in lines of 8.
    expect(alone('ctl', make('hostw', { bytes: 1024 }))).toBe(32);
    expect(alone('ctl', make('hostw', { bytes: 40 }))).toBe(5);
  });
  test('dma: bytes / (64 x efficiency) + latency', () => {
    // 64 rows of 8 lines, contiguous: 4096 B in one run at 0.9.
    expect(alone('dma0', make('dld', { lines: 8, srcPitch: 8, rows: rows(64) }))).toBe(Math.ceil(4096 / (64 * 0.9)) + 50);
    // The same apart: runs of 64 B at 0.3.
    expect(alone('dma0', make('dld', { lines: 8, srcPitch: 9, rows: rows(64) }))).toBe(Math.ceil(4096 / (64 * 0.3)) + 50);
    expect(alone('dma1', make('dst', { lines: 32, dstPitch: 40, rows: rows(8) }))).toBe(Math.ceil(2048 / (64 * 0.6)) + 50);
    expect(alone('dma0', make('dgat', { lines: 128, srcPitch: 128, rows: rows(4) }))).toBe(Math.ceil(4096 / (64 * 0.85)) + 50);
    expect(alone('dma1', make('dsct', { lines: 8, dstPitch: 8, rows: rows(64) }))).toBe(Math.ceil(4096 / (64 * 0.3)) + 50);
    // One after the other: the second's latency hides the first's.
    expect(alone('dma0', make('dld', { lines: 8, srcPitch: 8, rows: rows(64) }), make('dld', { lines: 8, srcPitch: 8, rows: rows(64) }))).toBe(2 * 72 + 50);
  });
  test('dcp: a line a cycle', () => {
    expect(alone('dma0', make('dcp', { lines: 8, rows: rows(5) }))).toBe(40);
    expect(alone('dma1', make('dcp', { fill: true, lines: 3, rows: rows(1) }))).toBe(3);
  });
  test('matrix', () => {
    expect(alone('wld', make('wld', { kTiles: 3 }))).toBe(24);
    expect(alone('wld', make('wld', { kTiles: 3, format: 'bf16' }))).toBe(48);
    const pair = (kTiles: number, count: number, split = 0, format: 'e4m3' | 'bf16' = 'e4m3'): number =>
      together({ wld: [make('wld', { kTiles, split, format })], mxu: [make('mm', { kTiles, split, format, rows: rows(count) })] });
    // Load 8, then a k-tile takes max(rows, load), the last its rows; then 2A - 2 to drain.
    expect(pair(1, 20)).toBe(8 + 20 + 14);
    expect(pair(3, 20)).toBe(8 + 3 * 20 + 14);
    expect(pair(3, 5)).toBe(8 + 2 * 8 + 5 + 14);
    expect(pair(10, 20)).toBe(8 + 10 * 20 + 14);
    expect(pair(10, 3)).toBe(8 + 9 * 8 + 3 + 14);
    expect(pair(3, 20, 1)).toBe(8 + 3 * 10 + 14);
    expect(pair(3, 20, 0, 'bf16')).toBe(16 + 3 * 40 + 14);
    // E5M2 at the rate of FP8; any mixture with BF16 at its rate, weights loading at their own.
    const mixed = (format: 'e4m3' | 'e5m2' | 'bf16', weightFormat: 'e4m3' | 'e5m2' | 'bf16'): number =>
      together({ wld: [make('wld', { kTiles: 3, format: weightFormat })], mxu: [make('mm', { kTiles: 3, format, weightFormat, rows: rows(20) })] });
    expect(mixed('e5m2', 'e4m3')).toBe(8 + 3 * 20 + 14);
    expect(mixed('bf16', 'e5m2')).toBe(8 + 3 * 40 + 14);
    expect(mixed('e4m3', 'bf16')).toBe(16 + 3 * 40 + 14);
    expect(together({ wld: [make('wld', { kTiles: 4, scaling: 'mx' })], mxu: [make('mm', { kTiles: 4, scaling: 'mx', rows: rows(20) })] })).toBe(8 + 4 * 20 + 14);
    // Two in a row: the pipe is not empty between them.
    const two = { wld: [make('wld', { kTiles: 2 }), make('wld', { kTiles: 2 })], mxu: [make('mm', { kTiles: 2, rows: rows(20) }), make('mm', { kTiles: 2, rows: rows(20) })] };
    expect(together(two)).toBe(8 + 4 * 20 + 14);
    expect(alone('epi', make('epi', { rows: rows(20) }))).toBe(20 + 32);
    expect(alone('epi', make('epi', { rows: rows(20), nTiles: 2, split: 1 }))).toBe(10 + 32);
  });
  test('matrix, arrays sharing k: as many tiles a step, and a level of adders a cycle', () => {
    expect(alone('wld', make('wld', { kTiles: 7, kSplit: 1 }))).toBe(4 * 8);
    expect(alone('wld', make('wld', { kTiles: 7, kSplit: 2 }))).toBe(2 * 8);
    const pair = (kTiles: number, count: number, kSplit: number, split = 0): number =>
      together({ wld: [make('wld', { kTiles, kSplit, split })], mxu: [make('mm', { kTiles, kSplit, split, rows: rows(count) })] });
    expect(pair(1, 20, 2)).toBe(8 + 20 + 14 + 2);
    expect(pair(4, 20, 2)).toBe(8 + 20 + 14 + 2);
    expect(pair(5, 20, 2)).toBe(8 + 2 * 20 + 14 + 2);
    expect(pair(5, 20, 1)).toBe(8 + 3 * 20 + 14 + 1);
    expect(pair(5, 20, 1, 1)).toBe(8 + 3 * 10 + 14 + 1);
    // Rows fewer than a tile's load; none: a step goes by in a cycle, and no sum is on the way.
    expect(pair(5, 3, 1)).toBe(8 + 2 * 8 + 3 + 14 + 1);
    expect(pair(5, 3, 2)).toBe(8 + 8 + 3 + 14 + 2);
    expect(together({ wld: [make('wld', { kTiles: 5, kSplit: 1 })], mxu: [make('sreg', { reg: 1, count: 'samples' }), make('mm', { kTiles: 5, kSplit: 1, rows: rows(20, 1) })] })).toBe(8 + 2 * 8 + 1);
    expect(together({ wld: [make('wld', { kTiles: 5, kSplit: 1, scaling: 'block' })], mxu: [make('mm', { kTiles: 5, kSplit: 1, scaling: 'block', rows: rows(20) })] })).toBe(8 + 3 * 20 + 14 + 1);
    // Sums of no product overtake those before: one of fewer levels waits the difference.
    const two = (first: number, second: number): number =>
      together({ wld: [make('wld', { kTiles: 4, kSplit: first }), make('wld', { kTiles: 4, kSplit: second })], mxu: [make('mm', { kTiles: 4, kSplit: first, rows: rows(20) }), make('mm', { kTiles: 4, kSplit: second, rows: rows(20) })] });
    expect(two(1, 1)).toBe(8 + 4 * 20 + 14 + 1);
    expect(two(0, 2)).toBe(8 + 5 * 20 + 14 + 2);
    expect(two(2, 0)).toBe(8 + 5 * 20 + 14 + 2);
  });
  test('vector: elements x passes / 16 + 32', () => {
    expect(alone('vec', make('vmap', { columns: 40, rows: rows(3) }))).toBe(8 + 32);
    expect(alone('vec', make('vmap', { function: 'silu', columns: 40, rows: rows(3) }))).toBe(30 + 32);
    expect(alone('vec', make('vmap', { function: 'silu', second: 'multiply', columns: 40, rows: rows(3) }))).toBe(Math.ceil((120 * 5) / 16) + 32);
    expect(alone('vec', make('vmap', { second: 'square', third: 'rsqrt', columns: 40, rows: rows(3) }))).toBe(Math.ceil((120 * 5) / 16) + 32);
    expect(alone('vec', make('vmap3', { columns: 40, rows: rows(3) }))).toBe(15 + 32);
    expect(alone('vec', make('vnorm', { columns: 40, rows: rows(3) }))).toBe(30 + 32);
    expect(alone('vec', make('vnorm', { kind: 'layer', columns: 40, rows: rows(3) }))).toBe(Math.ceil(840 / 16) + 32);
    expect(alone('vec', make('vrope', { headDim: 8, rotary: 4, heads: 2, rows: rows(3) }))).toBe(6 + 32);
    expect(alone('vec', make('vqnt', { columns: 40, rows: rows(3) }))).toBe(Math.ceil(360 / 16) + 32);
    expect(alone('vec', make('vqnt', { mode: 'given', columns: 40, rows: rows(3) }))).toBe(15 + 32);
    expect(alone('vec', make('vqblk', { columns: 40, rows: rows(3) }))).toBe(Math.ceil(360 / 16) + 32);
    expect(alone('vec', make('vred', { columns: 40, rows: rows(3) }))).toBe(8 + 32);
    expect(alone('vec', make('vred', { reduce: 'meanSquare', columns: 40, rows: rows(3) }))).toBe(15 + 32);
    expect(alone('vec', make('sample', { columns: 40, rows: rows(3) }))).toBe(8 + 32);
    expect(alone('vec', make('sample', { mode: 'draw', columns: 40, rows: rows(3) }))).toBe(120 + 32);
    expect(alone('vec', make('route', { experts: 8, k: 2, rows: rows(6) }))).toBe((48 * (4 + 2 + 2)) / 16 + 32);
    expect(alone('vec', make('perm', { columns: 40, k: 2, rows: rows(3) }))).toBe(240 / 16 + 32);
    expect(alone('vec', make('perm', { direction: 'combine', columns: 40, k: 2, rows: rows(3) }))).toBe(480 / 16 + 32);
  });
  test('all-gather: a chip sends its part to every other', () => {
    const code = codeOf({ col: [make('coll', { bytes: 4 * 8, rows: rows(6) })] });
    for (const simulated of [1, 2]) expect(done(time(tiny2, code, stepOf(64), 2, simulated)).cycles).toBe(192 / 16 + 100);
    const cycles = (kind: 'allreduce' | 'reducescatter' | 'broadcast' | 'send' | 'exchange' | 'collect'): number => done(time(tiny2, codeOf({ col: [make('coll', { kind, bytes: 4 * 8, rows: rows(6) })] }), stepOf(64), 2, 2)).cycles;
    expect([cycles('allreduce'), cycles('reducescatter'), cycles('broadcast'), cycles('send')]).toEqual([192 / 16 + 100, 96 / 16 + 100, 192 / 16 + 100, 192 / 16 + 100]);
    // Of six rows each chip has three: it sends the other so many, or its columns of them.
    expect([cycles('exchange'), cycles('collect')]).toEqual([96 / 16 + 100, 96 / 16 + 100]);
    expect(done(time(tiny, code)).cycles).toBe(1);
  });
});

describe('attention', () => {
  const attend = (work: { rows: number; keys: number }, fields = {}, query = {}, finish = {}) => {
    const entry = { firstRow: 0, rows: work.rows, keys: work.keys, firstPosition: work.keys - work.rows, firstPage: 0 };
    const code = codeOf({ att: [make('aq', { heads: 2, headDim: 8, rows: rows(64), ...query }), make('attn', fields), make('afin', { rows: rows(64), ...finish })] });
    return done(time(tiny, code, stepOf(work.rows, [entry])));
  };
  // aq and afin: rows x heads x 8 / (2 x 8) each, here 64 rows whatever the step has.
  const around = 2 * 64;

  test('decode is bound by the load of keys and values: 4 cycles a tile of 8 x 8', () => {
    // 200 keys: blocks of 128 and 72, 16 + 9 tiles for QK and as many for PV, over 2 arrays; HBM latency is not waited for.
    const result = attend({ rows: 1, keys: 200 });
    expect(result.cycles).toBe(64 + Math.max((50 * 4) / 2, Math.ceil((2 * 202) / 8), Math.ceil((200 * 16) / (64 * 0.6))) + 64 + 0);
    const chip = result.perChip[0]!;
    expect(chip.hbmBytes.kv).toBe(200 * 16);
    expect(chip.usefulAttentionFlops).toBe(4 * 8 * 2 * 200);
  });
  test('a window of queries is bound by exponentials here; blocks above the diagonal are skipped', () => {
    // 64 rows at positions 192 to 255 of 256: both blocks for all.
    const result = attend({ rows: 64, keys: 256 });
    const arrays = (2 * 32 * 128) / 2;
    const softmax = (64 * 2 * 258) / 8;
    expect(result.cycles).toBe(around + Math.max(arrays, softmax));
    // 64 rows at positions 96 to 159: the second block (of 32 keys) is seen by the 32 rows from 128 on.
    const skipped = attend({ rows: 64, keys: 160 });
    expect(skipped.cycles).toBe(around + Math.max(Math.ceil((2 * (16 * 128 + 4 * 64)) / 2), (2 * (64 * 129 + 32 * 33)) / 8));
    const pairs = Array.from({ length: 64 }, (_, i) => 97 + i).reduce((sum, n) => sum + n, 0);
    expect(skipped.perChip[0]!.usefulAttentionFlops).toBe(4 * 8 * 2 * pairs);
  });
  test('a sliding window leaves out the blocks before it', () => {
    const result = attend({ rows: 1, keys: 512 }, { window: 100 });
    expect(result.perChip[0]!.hbmBytes.kv).toBe(128 * 16);
    expect(result.perChip[0]!.usefulAttentionFlops).toBe(4 * 8 * 2 * 100);
    const full = attend({ rows: 4, keys: 300 }, { mask: 'full' });
    expect(full.perChip[0]!.usefulAttentionFlops).toBe(4 * 8 * 2 * 4 * 300);
  });
  test('bf16 keys take half rate and twice the bytes', () => {
    const result = attend({ rows: 1, keys: 128 }, { format: 'bf16', kvLines: 2 });
    expect(result.cycles).toBe(64 + Math.max((32 * 8) / 2, Math.ceil((128 * 32) / (64 * 0.6))) + 64);
    expect(attend({ rows: 1, keys: 200 }, { format: 'e5m2' }).cycles).toBe(attend({ rows: 1, keys: 200 }).cycles);
  });
  test('latents are read once, and loaded twice: for as many tiles as keys have elements, and for as many as values', () => {
    // Keys of 24 elements (3 lines), values of 16: a block of 128 keys is 16 x 3 tiles for QK and 16 x 2 for PV; pages of 16 keys are runs of 384 B.
    const result = attend({ rows: 1, keys: 128 }, { latent: true, kvLines: 3 }, { headDim: 24, valueDim: 16, rows: rows(1) }, { rows: rows(1) });
    // The last keys' round trip outlasts the two cycles of afin.
    expect(result.cycles).toBe(3 + Math.max((80 * 4) / 2, Math.ceil((128 * 24) / (64 * 0.6))) + 50);
    expect(result.perChip[0]!.hbmBytes.kv).toBe(128 * 24);
    expect(result.perChip[0]!.usefulAttentionFlops).toBe(2 * (24 + 16) * 2 * 128);
    // The same with values of their own: another plane, and one run of both.
    const apart = attend({ rows: 1, keys: 128 }, { kvLines: 3 }, { headDim: 24, valueDim: 16, rows: rows(1) }, { rows: rows(1) });
    expect(apart.perChip[0]!.hbmBytes.kv).toBe(2 * 128 * 24);
    expect(apart.perChip[0]!.usefulAttentionFlops).toBe(result.perChip[0]!.usefulAttentionFlops);
  });
  test('parts: only their keys, and two exponentials a part more', () => {
    // 4 rows at positions 636 to 639 of 640: 5 blocks, parts of 2 blocks, the middle one.
    const part = attend({ rows: 4, keys: 640 }, { splitBlocks: 2, firstPart: 1, parts: 1 }, { rows: rows(4) }, { rows: rows(4) });
    expect(part.perChip[0]!.hbmBytes.kv).toBe(256 * 16);
    expect(part.perChip[0]!.usefulAttentionFlops).toBe(4 * 8 * 2 * 4 * 256);
    const softmax = (blocks: number, parts: number): number => (4 * 2 * (blocks * 129 + parts * 2)) / 8;
    expect(part.cycles).toBe(4 + Math.max((2 * 32 * 4) / 2, softmax(2, 1)) + 50);
    const whole = attend({ rows: 4, keys: 640 }, { splitBlocks: 2 }, { rows: rows(4) }, { rows: rows(4) });
    expect(whole.cycles).toBe(4 + softmax(5, 3) + 50);
    const each = [0, 1, 2].map((firstPart) => attend({ rows: 4, keys: 640 }, { splitBlocks: 2, firstPart, parts: 1 }, { rows: rows(4) }, { rows: rows(4) }).perChip[0]!);
    expect(each.reduce((sum, chip) => sum + chip.hbmBytes.kv, 0)).toBe(whole.perChip[0]!.hbmBytes.kv);
    expect(each.reduce((sum, chip) => sum + chip.usefulAttentionFlops, 0)).toBe(whole.perChip[0]!.usefulAttentionFlops);
    // A part nobody has keys in.
    expect(attend({ rows: 4, keys: 640 }, { splitBlocks: 2, firstPart: 3 }, { rows: rows(4) }, { rows: rows(4) }).cycles).toBe(4 + 1 + 4);
  });
  test('partials: m and l beside O, written once and read once', () => {
    // 64 rows of 2 heads of 8 + 2 numbers, 16 a cycle.
    const finish = (fields: object): number => attend({ rows: 64, keys: 64 }, {}, {}, fields).cycles - attend({ rows: 64, keys: 64 }).cycles + 64;
    expect(finish({ partial: true, format: 'f32' })).toBe((64 * 2 * 10) / 16);
    expect(finish({ merge: 3 })).toBe((64 * 2 * (3 * 10 + 8)) / 16);
    expect(finish({ merge: 3, partial: true, format: 'f32' })).toBe((64 * 2 * (3 * 10 + 10)) / 16);
  });
});

test('the described chip: one 8192 x 8192 e4m3 product of 1024 rows', () => {
  const chunks = 32;
  const groups = 1;
  const code = codeOf({
    wld: [make('wld', { kTiles: chunks, nTiles: 32, split: 1 })],
    mxu: [make('mm', { kTiles: chunks, kLast: 256, nTiles: 32, split: 1, rows: rows(1024) }, [], [1])],
    epi: [make('epi', { nTiles: 32, nLast: 256, split: 1, rows: rows(1024) }, [1])],
  });
  const result = done(time(sohu, code));
  expect(result.cycles).toBe(256 + groups * chunks * 512 + 510 + 20 + 512 + 32);
  expect(result.perChip[0]!.usefulMatrixFlops).toBe(2 * 1024 * 8192 * 8192);
  expect(hbmAt(1).base).toBe(1);
});
