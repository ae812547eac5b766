import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { examples } from '../../isa-spec/examples.ts';
import { type Instruction, instructions, type Mnemonic, mnemonics } from '../../isa-spec/instructions.ts';
import { illegalities, legal } from '../../isa-spec/legal.ts';
import type { Machine } from '../../isa-spec/machine.ts';
import { sohu } from '../../isa-spec/machines/sohu.ts';
import { tiny } from '../../isa-spec/machines/tiny.ts';
import { anyInstruction } from './arbitrary.ts';

const at = (addr: number) => ({ addr, ss: 0 });
/** The manual's example of an instruction, changed. */
const sample = (op: Mnemonic, changes: object = {}): Instruction => ({ ...examples[op], fields: { ...examples[op].fields, ...changes } }) as unknown as Instruction;

/** Its k-tiles are of no number of blocks, nor blocks of k-tiles. */
const crooked: Machine = { ...tiny, arrays: { ...tiny.arrays, size: { ...tiny.arrays.size, value: 12 } } };

describe('legality', () => {
  it.each(mnemonics.map((op) => [op]))('%s: a legal one breaks no rule, and each rule is broken by some', (op) => {
    expect(illegalities(sample(op), sohu)).toEqual([]);
    const unbroken = new Set(legal[op].map((rule) => `${op} must be one that ${rule.says}`));
    const others = fc.sample(anyInstruction.filter(({ instruction }) => instruction.op === op), { numRuns: 60, seed: 5 });
    for (const { instruction } of others) illegalities(instruction, tiny).forEach((broken) => unbroken.delete(broken));
    const formats = Object.keys(instructions[op].flags).filter((name) => name.toLowerCase().includes('format'));
    for (const name of formats) illegalities(sample(op, { [name]: 'i32' }), sohu).forEach((broken) => unbroken.delete(broken));
    for (const scaling of ['block', 'mx']) illegalities(sample(op, { scaling }), crooked).forEach((broken) => unbroken.delete(broken));
    expect([...unbroken]).toEqual([]);
  });

  it('says what is wrong', () => {
    expect(illegalities(sample('mm', { nTiles: 64, acc: at(1025), kLast: 257, rows: { max: 0, reg: 0, level: 0 } }), sohu)).toEqual([
      '`acc` of mm must be one that starts within the accumulators',
      '`rows` of mm must be one that has room for a row',
      'mm must be one that drives no more arrays than the machine has: nTiles * 2^(split + kSplit) <= arrays',
      'mm must be one that stays within the accumulators: acc + ceil(rows / 2^split) <= accumulator rows',
      'mm must be one that has a last k-tile no longer than a tile: kLast <= A',
    ]);
    expect(illegalities(sample('vmap', { function: 'relu', second: 'copy' }), sohu)).toEqual(['vmap must be one that names y only if one of its functions has two operands']);
    expect(illegalities(sample('epi', { pitch: 1 }), sohu)[0]).toContain('target pitch');
    expect(illegalities(sample('dld', { src: { base: 0, off: 0, ss: 0 }, dst: at(192 * 2 ** 20 / 64) }), sohu)).toEqual([
      '`src` of dld must be one that names a base register',
      '`dst` of dld must be one that starts within SRAM',
    ]);
  });

  it('depends on the machine', () => {
    const wide = sample('wld', { src: at(0), nTiles: 32, split: 1 });
    expect(illegalities(wide, tiny)).toHaveLength(1);
    expect(illegalities(wide, sohu)).toEqual([]);
  });
});
