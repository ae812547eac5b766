import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Instruction, type InstructionOf, instructions, type Mnemonic, mnemonics } from '../../isa-spec/instructions.ts';
import { illegalities, legal } from '../../isa-spec/legal.ts';
import type { Machine } from '../../isa-spec/machine.ts';
import { sohu } from '../../isa-spec/machines/sohu.ts';
import { tiny } from '../../isa-spec/machines/tiny.ts';
import { anyInstruction } from './arbitrary.ts';

const at = (addr: number, ss = 0) => ({ addr, ss });
const none = at(0);
const rows = { max: 16, reg: 1, level: 1 };

/** An instruction of each kind that breaks no rule of the tiny machine. */
const fields: { readonly [M in Mnemonic]: InstructionOf<M>['fields'] } = {
  nop: {},
  sync: {
    wait2: 1, wait3: 2, wait4: 0, wait5: 0, post2: 3, post3: 0, post4: 0, post5: 0,
    waitCount2: 1, waitCount3: 4, waitCount4: 0, waitCount5: 0, postCount2: 1, postCount3: 0, postCount4: 0, postCount5: 0,
  },
  loop: { level: 1, count: 4, body: 2 },
  sreg: { reg: 1, count: 'tokens' },
  call: { target: 9, frame: 2 },
  ret: {},
  setp: { compare: 'lt', target: 1, reg: 2, value: 8 },
  trace: { kind: 'assert', tag: 9, reg: 2, least: 1, most: 4 },
  hostw: { table: 'ids', dst: at(3), bytes: 64 },
  event: { tag: 1 },
  dld: { src: { base: 1, off: 0, ss: 0 }, srcPitch: 0, dst: at(0), dstPitch: 4, lines: 4, rows },
  dst: { src: at(0), srcPitch: 4, dst: { base: 4, off: 0, ss: 0 }, dstPitch: 4, lines: 4, rows },
  dcp: { fill: false, src: at(0), srcPitch: 4, dst: at(64), dstPitch: 4, lines: 4, value: 0, rows },
  dgat: { src: { base: 1, off: 0, ss: 0 }, srcPitch: 4, dst: at(0), dstPitch: 4, index: 9, lines: 4, rows },
  dsct: { src: at(0), srcPitch: 4, dst: { base: 2, off: 0, ss: 0 }, dstPitch: 4, index: 9, lines: 4, rows },
  wld: { format: 'e4m3', src: at(0), kTiles: 2, nTiles: 2, split: 1 },
  mm: { format: 'bf16', accumulate: 'first', split: 1, a: at(0), pitch: 4, acc: at(24), kTiles: 2, kLast: 8, nTiles: 2, rows },
  epi: {
    format: 'bf16', activation: 'silu', scale: true, bias: false, residual: false, gated: true, split: 1,
    acc: at(0), out: at(0), pitch: 2, params: at(64), residualAt: none, rowScale: 32, nTiles: 2, nLast: 8, rows,
  },
  aq: { format: 'e4m3', q: at(0), pitch: 2, worklist: 8, heads: 2, headDim: 8, scale: 0.25, rows },
  attn: { format: 'e4m3', mask: 'causal', kv: { base: 2, off: 0, ss: 0 }, pages: 9, pageRows: 4, kvLines: 2, kvHeads: 2, window: 16 },
  afin: { format: 'bf16', out: at(0), pitch: 4, rows },
  vmap: { function: 'add', xFormat: 'bf16', yFormat: 'bf16', format: 'bf16', x: at(0), xPitch: 2, y: at(64), yPitch: 2, out: at(128), outPitch: 2, columns: 8, rows },
  vmap3: { function: 'subtract', second: 'multiply', xFormat: 'bf16', yFormat: 'f32', zFormat: 'e4m3', format: 'bf16', yIs: 'list', zIs: 'vector', x: at(0), y: at(64), z: at(96), out: at(128), columns: 8, rows },
  vred: { reduce: 'max', xFormat: 'bf16', x: at(0), xPitch: 2, out: 128, columns: 8, rows },
  vnorm: { xFormat: 'bf16', format: 'bf16', kind: 'rms', x: at(0), xPitch: 2, params: at(64), out: at(128), outPitch: 2, columns: 8, rows },
  vrope: { xFormat: 'bf16', format: 'e4m3', interleaved: false, x: at(0), xPitch: 2, table: at(64), out: at(128), outPitch: 2, headDim: 8, rotary: 4, heads: 2, rows },
  vqnt: { xFormat: 'bf16', format: 'e4m3', x: at(0), xPitch: 2, out: at(128), outPitch: 1, rowScale: 256, columns: 8, rows },
  vqblk: { xFormat: 'f32', format: 'e5m2', scaling: 'block', pow2: true, x: at(0), xPitch: 4, out: at(128), outPitch: 1, scales: at(256), scalePitch: 1, columns: 8, rows },
  sample: { mode: 'draw', xFormat: 'f32', x: at(0), xPitch: 4, params: at(64), out: 128, columns: 8, rows },
  route: { scores: 'sigmoid', normalise: true, bias: true, xFormat: 'f32', x: at(0), xPitch: 4, biases: 64, indices: 80, weights: 96, offsets: 112, experts: 8, k: 2, rows },
  perm: { direction: 'combine', xFormat: 'bf16', format: 'bf16', x: at(0), xPitch: 2, out: at(128), outPitch: 2, indices: 80, weights: 96, columns: 8, k: 2, rows },
  coll: { kind: 'allgather', src: at(0), srcPitch: 2, out: at(64), outPitch: 4, bytes: 2 * 8, tag: 7, rows },
};
/** Its k-tiles are of no number of blocks, nor blocks of k-tiles. */
const crooked: Machine = { ...tiny, arrays: { ...tiny.arrays, size: { ...tiny.arrays.size, value: 12 } } };
const sample = (op: Mnemonic, changes: object = {}): Instruction => ({ op, waits: [], posts: [], fields: { ...fields[op], ...changes } }) as unknown as Instruction;

describe('legality', () => {
  it.each(mnemonics.map((op) => [op]))('%s: a legal one breaks no rule, and each rule is broken by some', (op) => {
    expect(illegalities(sample(op), tiny)).toEqual([]);
    const unbroken = new Set(legal[op].map((rule) => `${op} must be one that ${rule.says}`));
    const others = fc.sample(anyInstruction.filter(({ instruction }) => instruction.op === op), { numRuns: 60, seed: 5 });
    for (const { instruction } of others) illegalities(instruction, tiny).forEach((broken) => unbroken.delete(broken));
    const formats = Object.keys(instructions[op].flags).filter((name) => name.toLowerCase().includes('format'));
    for (const name of formats) illegalities(sample(op, { [name]: 'i32' }), tiny).forEach((broken) => unbroken.delete(broken));
    for (const scaling of ['block', 'mx']) illegalities(sample(op, { scaling }), crooked).forEach((broken) => unbroken.delete(broken));
    expect([...unbroken]).toEqual([]);
  });

  it('says what is wrong', () => {
    expect(illegalities(sample('mm', { nTiles: 4, acc: at(40), kLast: 9, rows: { max: 0, reg: 0, level: 0 } }), tiny)).toEqual([
      '`acc` of mm must be one that starts within the accumulators',
      '`rows` of mm must be one that has room for a row',
      'mm must be one that drives no more arrays than the machine has: nTiles * 2^split <= arrays',
      'mm must be one that stays within the accumulators: acc + ceil(rows / 2^split) <= accumulator rows',
      'mm must be one that has a last k-tile no longer than a tile: kLast <= A',
    ]);
    expect(illegalities(sample('vmap', { function: 'relu' }), tiny)).toEqual(['vmap must be one that names y only if one of its functions has two operands']);
    expect(illegalities(sample('epi', { outPitch: 1, pitch: 1 }), tiny)[0]).toContain('target pitch');
    expect(illegalities(sample('dld', { src: { base: 0, off: 0, ss: 0 }, dst: at(1024) }), tiny)).toEqual([
      '`src` of dld must be one that names a base register',
      '`dst` of dld must be one that starts within SRAM',
    ]);
  });

  it('depends on the machine', () => {
    const wide = sample('wld', { nTiles: 32, split: 1 });
    expect(illegalities(wide, tiny)).toHaveLength(1);
    expect(illegalities(wide, sohu)).toEqual([]);
  });
});
