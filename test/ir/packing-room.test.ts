import { describe, expect, it } from 'vitest';
import { amaxOf, bf16From, quantiseFrom, reused } from '../../ir/packing-room.ts';
import { amaxOfRows, bf16Rows, type Grid, quantiseRows } from '../../isa-spec/numerics-rows.ts';

/** FP32 bits of every kind: all exponents, around the boundaries of E4M3's codes, infinities, and what is no number. */
const patterns = Uint32Array.from({ length: 4096 }, (_, i) => ((i & 0xff) << 23) + (i >> 8) * 0x80000 + [0, 1, 0x3ffff, 0x40000, 0x40001, 0x7ffff][i % 6]! + (i % 5 === 0 ? 0x80000000 : 0));
const near = Uint32Array.from({ length: 4096 }, (_, i) => 0x3b000000 + ((i * 0x9e3779b1) >>> 0) % 0x09000000 + (i % 2) * 0x80000000);
/** Where E4M3 is normal: at its codes and halfway between them, and the FP32 on either side. */
const normal = Uint32Array.from({ length: 4096 }, (_, i) => 0x3c800000 + (i % 238) * 0x80000 + [0, 1, -1][i % 3]! * (i % 238 === 0 ? 0 : 1) + (i % 7 === 0 ? 0x80000000 : 0));

/** [rows, columns], and elements between the starts of runs. */
const shapes = [[1, 1], [3, 5], [16, 16], [17, 64], [64, 17], [300, 8], [5000, 3], [3, 5000], [128, 1024], [1024, 128]] as const;

/** A matrix in a room or out of it, row after row or column after column, with others between runs. */
function grids([rows, columns]: readonly [number, number], way: 'along' | 'across', source: Uint32Array): { readonly inRoom: Grid<Float32Array>; readonly plain: Grid<Float32Array> } {
  const [runs, count] = way === 'along' ? [rows, columns] : [columns, rows];
  const apart = count + 3;
  const bytes = reused()(4 * (runs * apart + 7));
  const inRoom = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const bits = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  for (let i = 0; i < bits.length; i++) bits[i] = source[(i * 31) % source.length]!;
  const layout = { at: 7, row: way === 'along' ? apart : 1, column: way === 'along' ? 1 : apart };
  return { inRoom: { ...layout, data: inRoom }, plain: { ...layout, data: new Float32Array(inRoom) } };
}

const targets = (rows: number, columns: number): readonly (readonly [row: number, column: number])[] => [[columns, 1], [1, rows], [1, rows + 5], [2 * columns + 3, 2]];

describe.each(['along', 'across'] as const)('what is read into a room, its runs %s scales', (way) => {
  it.each(shapes)('is scaled and encoded as anywhere else: %i x %i', (rows, columns) => {
    for (const source of [patterns, near, normal]) {
      const { inRoom, plain } = grids([rows, columns], way, source);
      const amax = amaxOfRows(plain, rows, columns);
      expect(amaxOf(inRoom, rows, columns)).toEqual(amax);
      const scales = Float32Array.from({ length: rows }, (_, i) => (source === normal ? 1 : [1, 0.037, 2 ** -149, 3e38, 0.5][i % 5]!));
      for (const [row, column] of targets(rows, columns)) {
        const length = 3 + (rows - 1) * row + (columns - 1) * column + 4;
        const [ours, theirs] = [inRoom, plain].map((from, i) => {
          const data = new Uint8Array(length).fill(0xee);
          (i === 0 ? quantiseFrom : quantiseRows)(from, scales, { data, at: 3, row, column }, rows, columns);
          return data;
        });
        expect(Buffer.compare(ours!, theirs!)).toBe(0);
        const [mine, plainly] = [inRoom, plain].map((from, i) => {
          const data = new Uint16Array(length).fill(0xeeee);
          (i === 0 ? bf16From : bf16Rows)(from, { data, at: 3, row, column }, rows, columns);
          return new Uint8Array(data.buffer);
        });
        expect(Buffer.compare(mine!, plainly!)).toBe(0);
      }
    }
  });
});

describe('a room', () => {
  it('is the same memory as long as it is enough', () => {
    const room = reused();
    const first = room(100);
    first.fill(7);
    expect(room(40)).toEqual(new Uint8Array(40).fill(7));
    expect(room(1 << 20)).toHaveLength(1 << 20);
    expect(room(100)[0]).toBe(7);
  });
});
