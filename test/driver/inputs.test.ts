import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { tensorIn } from '../../driver/inputs.ts';
import { rowsOf, tensorOf, UnfoldError } from '../../driver/unfold.ts';
import type { Unfold } from '../../ir/graph/module.ts';
import { folder } from './command.ts';

/** Images of 2 channels, 4 x 6 pixels, in patches of 2 x 3: a row a patch, channel by channel. */
const patches: Unfold = {
  input: 'pixels', tensor: 'pixels', of: 'tokens', shape: ['batch', 2, 4, 6], batch: { size: 'batch', stride: 48 }, before: 0,
  rows: [{ size: 2, stride: 12 }, { size: 2, stride: 3 }],
  columns: [{ size: 2, stride: 24 }, { size: 2, stride: 6 }, { size: 3, stride: 1 }],
};
/** Features first, then rows, as a convolution over frames has them. */
const turned: Unfold = { input: 'x', tensor: 'x', of: 'tokens', shape: ['batch', 3, 'frames'], batch: { size: 'batch', stride: '3*frames' }, before: 0, rows: [{ size: 'frames', stride: 1 }], columns: [{ size: 3, stride: 'frames' }] };

const counting = (shape: readonly number[]) => ({ shape, data: Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i) });

describe('rows of a tensor', () => {
  test('the patches of an image', () => {
    const rows = rowsOf(patches, counting([2, 2, 4, 6]), 1);
    expect([...rows.subarray(0, 12)]).toEqual([48, 49, 50, 54, 55, 56, 72, 73, 74, 78, 79, 80]);
    expect([...rows.subarray(36, 42)]).toEqual([63, 64, 65, 69, 70, 71]);
  });
  test('rows that are columns', () => expect([...rowsOf(turned, counting([1, 3, 4]), 0)]).toEqual([0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]));
  test('rows before the first are zero', () => expect([...rowsOf({ ...turned, before: 1 }, counting([1, 3, 1]), 0)]).toEqual([0, 0, 0, 0, 1, 2]));
  test('and back', () =>
    fc.assert(fc.property(fc.integer({ min: 1, max: 9 }), fc.nat({ max: 2 }), (frames, before) => {
      const unfold = { ...turned, before };
      const tensor = counting([1, 3, frames]);
      expect(tensorOf(unfold, rowsOf(unfold, tensor, 0))).toEqual(tensor);
    })));
  test.each([[[2, 2, 4]], [[2, 3, 4, 6]]])('a tensor of shape %j is refused', (shape) => expect(() => rowsOf(patches, counting(shape), 0)).toThrow(UnfoldError));
});

describe('tensors in files', () => {
  const written = (name: string, bytes: string | Buffer): string => {
    const path = join(folder(), name);
    writeFileSync(path, bytes);
    return path;
  };
  const npy = (header: string, elements: Buffer): Buffer => Buffer.concat([Buffer.from('\x93NUMPY\x01\x00', 'latin1'), Buffer.from([header.length, 0]), Buffer.from(header, 'latin1'), elements]);

  test('JSON', () => expect(tensorIn(written('x.json', '[[1, 2.5], [3, -4]]'))).toEqual({ shape: [2, 2], data: [1, 2.5, 3, -4] }));
  test('NumPy', () => {
    const elements = Buffer.from(Float32Array.of(1, 2, 3, 0.5).buffer);
    const { shape, data } = tensorIn(written('x.npy', npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }\n", elements)));
    expect([shape, [...(data as Float64Array)]]).toEqual([[2, 2], [1, 2, 3, 0.5]]);
  });
  test.each([
    ['x.json', '[[1, 2], [3]]', 'not of one length'],
    ['x.json', '["a"]', 'no number'],
    ['x.npy', 'nothing', 'does not begin as a .npy file'],
    ['x.npy', npy("{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }", Buffer.alloc(4)), 'are not read'],
    ['x.npy', npy("{'descr': '<f4', 'fortran_order': False, 'shape': (9,), }", Buffer.alloc(4)), 'holds no tensor'],
    ['x.txt', '', '.npy, .pb and .json'],
  ])('%s that is none: %j', (name, bytes, reason) => expect(() => tensorIn(written(name, bytes))).toThrow(reason));
});
