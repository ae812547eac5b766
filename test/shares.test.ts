import { expect, it } from 'vitest';
import { decodeAll } from '../isa-spec/encoding.ts';
import { verify } from '../verifier/verify.ts';
import { built, type Variant, variants } from './compiled.ts';

/** The kinds of collectives of a program, each once, in order. */
const kindsOf = (variant: Variant, precision: 'fp8' | 'bf16'): readonly string[] => {
  const { program } = built(variant, precision);
  expect(verify(program)).toEqual([]);
  const code = program.code[0]?.[0]?.col.words ?? new Uint8Array(0);
  return [...new Set(decodeAll(code, 'col').flatMap((one) => (one.op === 'coll' ? [one.fields.kind] : [])))];
};

it.each(Object.entries(variants).filter(([name]) => name.endsWith('that share rows') || name.includes('in two parts') && name.startsWith('four chips')))('each chip norms its own rows: %s', (_, variant) => {
  expect(kindsOf(variant, 'fp8')).toEqual(['exchange', 'collect', 'collectlist', 'allgather']);
});

it('nothing is shared of what is multiplied as it is, or where a hop takes longer than what it saves', () => {
  expect(kindsOf(variants['two chips that share rows'] as Variant, 'bf16')).toEqual(['allgather']);
  expect(kindsOf(variants['two chips'] as Variant, 'fp8')).toEqual(['allgather']);
});
