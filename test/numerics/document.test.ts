import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { accuracy, type Errors } from '../../isa-spec/accuracy.ts';
import { makers } from './vectors.ts';

const root = new URL('../../', import.meta.url);
const manual = readFileSync(new URL('docs/numerics.md', root), 'utf8');

/** The rows of the table whose heading starts with `heading`. */
const rowsUnder = (heading: string): string[] => {
  const lines = manual.split('\n');
  const first = lines.findIndex((line) => line.startsWith(heading)) + 2;
  const length = lines.slice(first).findIndex((line) => !line.startsWith('|'));
  return lines.slice(first, first + length);
};

it('docs/numerics.md has the errors of accuracy.ts', () => {
  const cells = ({ ulps, worst, misrounded, compared }: Errors): string => `${ulps.toFixed(6)} | ${worst} | ${misrounded} of ${compared}`;
  expect(rowsUnder('| function | all BF16')).toEqual(Object.entries(accuracy).map(([name, { bf16, f32 }]) => `| ${name} | ${cells(bf16)} | ${cells(f32)} |`));
});

it('and its hashes', () => {
  expect(rowsUnder('| function | inputs')).toEqual(Object.entries(accuracy).flatMap(([name, { bf16Sha256, f32Sha256 }]) => [`| ${name} | BF16 | \`${bf16Sha256}\` |`, `| | FP32 | \`${f32Sha256}\` |`]));
});

it('and those of the golden vectors', () => {
  const rows = Object.keys(makers).map((op) => {
    const { sha256, cases } = JSON.parse(readFileSync(new URL(`isa-spec/vectors/${op}.json`, root), 'utf8')) as { readonly sha256: string; readonly cases: readonly unknown[] };
    return `| ${op} | ${cases.length} | \`${sha256}\` |`;
  });
  expect(rowsUnder('| pack |')).toEqual(rows);
});
