import { encodeBf16, encodeE4m3 } from '../isa-spec/numerics.ts';
import { sohu } from '../isa-spec/machines/sohu.ts';
import { mm, wld } from '../simulator/functional/matrix.ts';
import { createMachineState, imageSource, type Kernels } from '../simulator/functional/machine-state.ts';
import { queueState } from '../simulator/functional/queue.ts';
import { all, at, programOf } from '../test/simulator/functional/harness.ts';
import { fastest, type Measurement, normal, type Run } from './measure.ts';
import { session, tensor } from './onnx.ts';

type Format = 'e4m3' | 'bf16';
type Shape = { readonly rows: number; readonly k: number; readonly n: number };

const { lineBytes: { value: line } } = sohu.sram;
const size = sohu.arrays.size.value;
const [activationsAt, weightsAt] = [0, 1 << 20];

/** Rows of so many values each: a row of activations, or a tile; scaled as quantisation to E4M3 does, the largest to 448. */
type Values = (rows: number, columns: number) => readonly Float64Array[];
const scaled = (rows: readonly Float64Array[]): readonly Float64Array[] => rows.map((row) => {
  const most = row.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  return row.map((x) => (x * 448) / most);
});
const drawn = (draw: () => number): Values => (rows, columns) => scaled(Array.from({ length: rows }, () => Float64Array.from({ length: columns }, draw)));
/** As after a norm; as behind a gate; with one value in two hundred a hundred times the others. */
const kinds = {
  normal: drawn(normal),
  gated: drawn(() => normal() * normal()),
  outliers: drawn(() => normal() * (Math.abs(normal()) > 2.8 ? 100 : 1)),
} satisfies Record<string, Values>;

/** A chip whose SRAM holds activations and weight tiles: what `mm` then takes is measured, the loading of the FIFO is not. */
function product({ rows, k, n }: Shape, format: Format, x: Values, kernels: Kernels): Run {
  const bytes = format === 'e4m3' ? 1 : 2;
  const [kTiles, nTiles] = [Math.ceil(k / size), Math.ceil(n / size)];
  const pitch = Math.ceil((k * bytes) / line);
  const chip = createMachineState(programOf([{}], { machine: sohu }), [imageSource(new Uint8Array(0))], kernels).chips[0]!;
  const put = (at: number, values: readonly Float64Array[], lines: number): void => {
    values.forEach((row, i) => {
      const codes = format === 'e4m3' ? Uint8Array.from(row, encodeE4m3) : Uint16Array.from(row, encodeBf16);
      chip.sram.views.u8.set(new Uint8Array(codes.buffer), chip.sram.at(at + i * lines, codes.byteLength));
    });
  };
  put(activationsAt, x(rows, k), pitch);
  put(weightsAt, kinds.normal(kTiles * nTiles, size * size), (size * size * bytes) / line);
  const queue = (name: 'wld' | 'mxu') => queueState({ name, code: [], strideSets: [] });
  const common = { format, kTiles, nTiles, split: 0, scaling: 'outer' } as const;
  return {
    before: () => wld(chip, queue('wld'), { ...common, src: at(weightsAt) }),
    run: () => mm(chip, queue('mxu'), { ...common, accumulate: 'no', a: at(activationsAt), pitch, acc: at(0), kLast: k - (kTiles - 1) * size, rows: all(rows) }),
  };
}

const shapes: readonly (Shape & { readonly x?: keyof typeof kinds })[] = [
  ...[1, 2, 3, 5, 8, 13, 32, 128, 512].map((rows) => ({ rows, k: 1024, n: 1024 })),
  { rows: 1, k: 4096, n: 512 }, { rows: 32, k: 4096, n: 512 }, { rows: 128, k: 256, n: 256 }, { rows: 100, k: 320, n: 768 }, { rows: 512, k: 512, n: 2048 },
  { rows: 1, k: 1024, n: 1024, x: 'gated' }, { rows: 64, k: 1024, n: 1024, x: 'gated' }, { rows: 64, k: 1024, n: 1024, x: 'outliers' },
];

/** The instruction `mm`, and MatMul of FP32. */
export const products: Measurement = {
  shapes: shapes.map(({ rows, k, n, x }) => ({ name: `${rows} x ${k} x ${n}${x === undefined ? '' : `, ${x}`}`, operations: 2 * rows * k * n })),
  measure: async (way) => {
    const seconds: (readonly number[])[] = [];
    for (const shape of shapes) {
      const { rows, k, n, x = 'normal' } = shape;
      if (way === 'onnxruntime') {
        const runtime = await session({ x: [rows, k], w: [k, n] }, [['MatMul', ['x', 'w'], 'y']], [rows, n]);
        const feeds = { x: tensor(normal, rows, k), w: tensor(normal, k, n) };
        seconds.push(await fastest([{ run: () => runtime.run(feeds) }], 0.2));
      } else seconds.push(await fastest([product(shape, way, kinds[x], 'plain'), product(shape, way, kinds[x], 'simd')], 0.4));
    }
    return seconds;
  },
};
