import { describe, expect, it } from 'vitest';
import type { Json } from '../../isa-spec/json.ts';
import { verify } from '../../verifier/verify.ts';
import { programOf } from './programs.ts';

/** A buffer of SRAM, or of the accumulators, and which ops touch it whole: by what field, and whose values they must see. */
type Touch = { readonly op: number; readonly field: string; readonly does: 'defines' | 'uses'; readonly from?: number };
type Given = { readonly name: string; readonly role: 'weights' | 'value' | 'list'; readonly format: string; readonly rows: number; readonly columns: number; readonly at: number; readonly pitch: number; readonly touches: readonly Touch[]; readonly space?: 'acc' };

const bufferOf = ({ touches, space = 'sram' as Given['space'], ...shape }: Given): Json => ({
  ...shape, space: space ?? 'sram', base: 'none', depth: 1, size: shape.pitch * shape.rows, slot: 0,
  accesses: touches.map(({ from, ...touch }) => ({ ...touch, slot: [], row: [], column: [], rows: shape.rows, columns: shape.columns, from: from === undefined ? [] : [[from, -1]] })),
});

const found = (code: string, ops: readonly { readonly queue: string; readonly pc: number; readonly computes?: { readonly [field: string]: Json } }[], buffers: readonly Given[]): readonly string[] => {
  const life = [{ ops: ops.map((op) => ({ max: 2, of: 'all', computes: {}, ...op })), loops: [], buffers: buffers.map(bufferOf) }];
  return verify({ ...programOf(code), life: life as unknown as Json }).filter(({ rule }) => rule === 'V12' || rule === 'V14').map(({ rule, message }) => `${rule} ${message}`);
};

const weights = (op: number): readonly Given[] => [
  { name: 'w', role: 'weights', format: 'e4m3', rows: 16, columns: 64, at: 400, pitch: 8, touches: [{ op, field: 'src', does: 'uses' }] },
  { name: 'w.scales', role: 'weights', format: 'f32', rows: 1, columns: 1, at: 600, pitch: 1, touches: [{ op, field: 'scales', does: 'uses' }] },
];
const epi = 'epi format=bf16 activation=none split=0 acc=0 out=@700 pitch=2 params=@0 residualAt=@0 rowScale=0 nTiles=1 nLast=8 rows=2 wait(s6)';

describe('V14, scales of blocks', () => {
  const quantise = (out: number, scales: number): string => `vqblk xFormat=f32 format=e4m3 scaling=block x=@0 xPitch=64 out=@${out} outPitch=16 scales=@${scales} scalePitch=1 columns=128 rows=2`;
  /** Rows are quantised twice; a product takes the first and the scales at a line. */
  const program = (scaling: string, load: string, drain = epi, fill: readonly string[] = []): string => [
    ...fill,
    '.queue vec', quantise(200, 300), `${quantise(240, 310)} post(s5)`,
    '.queue wld', `wld format=e4m3 ${load}`,
    '.queue mxu', `mm format=e4m3 accumulate=no split=0 ${scaling} wait(s5) post(s6)`,
    '.queue epi', drain, '',
  ].join('\n');
  const inBlocks = (scales: number): readonly [string, string] => [`scaling=block a=@200 pitch=16 acc=0 kTiles=16 kLast=8 nTiles=1 rows=2 scales=@${scales} scalePitch=1`, 'scaling=block src=@400 kTiles=16 nTiles=1 split=0 scales=@600'];
  const scaled = (scales: number): string => program(...inBlocks(scales));
  /** What goes on to be scaled by columns, and by rows in a list filled with a number. */
  const scaledAfter = (bits: number): string =>
    program(...inBlocks(300), 'epi format=bf16 activation=none scale split=0 acc=0 out=@700 pitch=2 params=@620 residualAt=@0 rowScale=350 nTiles=1 nLast=8 rows=2 wait(s6, s7)', ['.queue dma0', `dcp fill src=@0 srcPitch=0 dst=@350 dstPitch=1 lines=1 value=${bits} rows=1 post(s7)`]);
  const plain = program('a=@200 pitch=16 acc=0 kTiles=16 kLast=8 nTiles=1 rows=2', 'src=@400 kTiles=16 nTiles=1 split=0');
  const ops = (computes: { readonly [field: string]: Json }) => [{ queue: 'vec', pc: 0 }, { queue: 'vec', pc: 1 }, { queue: 'wld', pc: 0, max: 0 }, { queue: 'mxu', pc: 0, computes }, { queue: 'epi', pc: 0 }];
  /** `scales`: which of the two quantisations' scales the product reads, if any. */
  const buffers = (scales: 0 | 1 | undefined, format = 'f32'): readonly Given[] => [
    { name: 'x', role: 'weights', format: 'f32', rows: 2, columns: 128, at: 0, pitch: 64, touches: [0, 1].map((op) => ({ op, field: 'x', does: 'uses' })) },
    ...[0, 1].flatMap((op): readonly Given[] => [
      { name: `codes${op}`, role: 'value', format: 'e4m3', rows: 2, columns: 128, at: 200 + 40 * op, pitch: 16, touches: [{ op, field: 'out', does: 'defines' }, ...(op === 0 ? [{ op: 3, field: 'a', does: 'uses', from: 0 } as const] : [])] },
      { name: `scales${op}`, role: 'value', format, rows: 2, columns: 1, at: 300 + 10 * op, pitch: 1, touches: [{ op, field: 'scales', does: 'defines' }, ...(op === scales ? [{ op: 3, field: 'scales', does: 'uses', from: op } as const] : [])] },
    ]),
    ...weights(2).slice(0, scales === undefined ? 1 : 2),
    { name: 'sums', role: 'value', format: 'f32', rows: 2, columns: 8, at: 0, pitch: 1, space: 'acc', touches: [{ op: 3, field: 'acc', does: 'defines' }, { op: 4, field: 'acc', does: 'uses', from: 3 }] },
    { name: 'y', role: 'value', format: 'bf16', rows: 2, columns: 8, at: 700, pitch: 2, touches: [{ op: 4, field: 'out', does: 'defines' }] },
  ];

  it('are those of the operand', () => {
    expect(found(scaled(300), ops({}), buffers(0))).toEqual([]);
    expect(found(scaled(310), ops({}), buffers(1))).toEqual(['V14 mxu:0 scales blocks by what vec:1 found']);
    expect(found(plain, ops({}), buffers(undefined))).toEqual(['V14 mxu:0 leaves out the scales of its operand\'s blocks']);
  });

  it('leave ones for the rows of the drain', () => {
    const list: Given = { name: 'list', role: 'list', format: 'f32', rows: 1, columns: 2, at: 350, pitch: 1, touches: [{ op: 5, field: 'dst', does: 'defines' }, { op: 4, field: 'rowScale', does: 'uses', from: 5 }] };
    const params: Given = { name: 'params', role: 'weights', format: 'f32', rows: 1, columns: 8, at: 620, pitch: 4, touches: [{ op: 4, field: 'params', does: 'uses' }] };
    const scaledBy = (bits: number): readonly string[] => found(scaledAfter(bits), [...ops({}), { queue: 'dma0', pc: 0, max: 1 }], [...buffers(0), list, params]);
    expect(scaledBy(0x3f800000)).toEqual([]);
    expect(scaledBy(0x40000000)).toEqual(['V14 epi:0 scales by what dma0:0 found']);
  });

  it('have the format of their kind', () => {
    expect(found(scaled(300), ops({}), buffers(0, 'i32'))).toEqual([
      'V14 vec:0 takes `scales0` for f32, it is i32', 'V14 vec:1 takes `scales1` for f32, it is i32', 'V14 mxu:0 takes `scales0` for f32, it is i32',
    ]);
  });
});

describe('V14, scales that are given', () => {
  /** Two lists are filled; rows are quantised by the first, and their product is scaled by the list at a line. */
  const program = (list: number): string => [
    '.queue dma0', 'dcp fill src=@0 srcPitch=0 dst=@350 dstPitch=1 lines=1 value=1065353216 rows=1', 'dcp fill src=@0 srcPitch=0 dst=@360 dstPitch=1 lines=1 value=1065353216 rows=1 post(s4, s7)',
    '.queue vec', 'vqnt xFormat=f32 format=e4m3 mode=given x=@0 xPitch=4 out=@200 outPitch=1 rowScale=350 columns=8 rows=2 wait(s4) post(s5)',
    '.queue wld', 'wld format=e4m3 src=@400 kTiles=1 nTiles=1 split=0',
    '.queue mxu', 'mm format=e4m3 accumulate=no split=0 a=@200 pitch=1 acc=0 kTiles=1 kLast=8 nTiles=1 rows=2 wait(s5) post(s6)',
    '.queue epi', `epi format=bf16 activation=none scale split=0 acc=0 out=@700 pitch=2 params=@620 residualAt=@0 rowScale=${list} nTiles=1 nLast=8 rows=2 wait(s6, s7)`, '',
  ].join('\n');
  const ops = [{ queue: 'dma0', pc: 0, max: 1 }, { queue: 'dma0', pc: 1, max: 1 }, { queue: 'vec', pc: 0, computes: { mode: 'given' } }, { queue: 'wld', pc: 0, max: 0 }, { queue: 'mxu', pc: 0 }, { queue: 'epi', pc: 0 }];
  const buffers = (list: 0 | 1): readonly Given[] => [
    { name: 'x', role: 'weights', format: 'f32', rows: 2, columns: 8, at: 0, pitch: 4, touches: [{ op: 2, field: 'x', does: 'uses' }] },
    ...[0, 1].map((op): Given => ({
      name: `list${op}`, role: 'list', format: 'f32', rows: 1, columns: 2, at: 350 + 10 * op, pitch: 1,
      touches: [{ op, field: 'dst', does: 'defines' }, ...(op === 0 ? [{ op: 2, field: 'rowScale', does: 'uses', from: 0 } as const] : []), ...(op === list ? [{ op: 5, field: 'rowScale', does: 'uses', from: op } as const] : [])],
    })),
    { name: 'codes', role: 'value', format: 'e4m3', rows: 2, columns: 8, at: 200, pitch: 1, touches: [{ op: 2, field: 'out', does: 'defines' }, { op: 4, field: 'a', does: 'uses', from: 2 }] },
    { ...weights(3)[0]!, rows: 1 },
    { name: 'params', role: 'weights', format: 'f32', rows: 1, columns: 8, at: 620, pitch: 4, touches: [{ op: 5, field: 'params', does: 'uses' }] },
    { name: 'sums', role: 'value', format: 'f32', rows: 2, columns: 8, at: 0, pitch: 1, space: 'acc', touches: [{ op: 4, field: 'acc', does: 'defines' }, { op: 5, field: 'acc', does: 'uses', from: 4 }] },
    { name: 'y', role: 'value', format: 'bf16', rows: 2, columns: 8, at: 700, pitch: 2, touches: [{ op: 5, field: 'out', does: 'defines' }] },
  ];

  it('scale the product too', () => {
    expect(found(program(350), ops, buffers(0))).toEqual([]);
    expect(found(program(360), ops, buffers(1))).toEqual(['V14 epi:0 scales by what dma0:1 found']);
  });
});
