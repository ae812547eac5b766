import { bufferRows } from '../../backend-sohu/pack.ts';
import { interpretTile } from '../../ir/tile/interpret.ts';
import type { TileState } from '../../ir/tile/interpret/memory.ts';
import type { Buffer } from '../../ir/tile/module.ts';
import type { Step } from '../../ir/step.ts';
import { WeightValues } from '../../ir/weight-values.ts';
import type { TensorStore } from '../../ir/weights.ts';
import { decodeE5m2, decodeUe8m0 } from '../../isa-spec/numerics-formats.ts';
import { decodeBf16, decodeE4m3 } from '../../isa-spec/numerics.ts';
import type { Fit } from '../../passes/plan/apply.ts';
import { tablesOf } from './lower.ts';

const decoders = { e5m2: decodeE5m2, ue8m0: decodeUe8m0, e4m3: decodeE4m3, bf16: decodeBf16, f32: (x: number) => x, i32: (x: number) => x };

/** The first result of a step, by the meaning of tiles. */
export function runTiles(fit: Fit, step: Step, state: TileState, { store, lineBytes }: { readonly store: TensorStore; readonly lineBytes: number }): Float64Array | undefined {
  const fill = (buffer: Buffer) => {
    const values = [...bufferRows(buffer, { graph: fit.graph, values: new WeightValues(store, 1), tile: fit.tile.tile, lineBytes }, 0)].flatMap((batch) => [...batch].map(decoders[buffer.format]));
    return (row: number) => Float64Array.from(values.slice(row * buffer.columns, (row + 1) * buffer.columns));
  };
  return interpretTile(fit.tile, tablesOf(step, fit.tile.bounds), { fill, lineBytes, state })[0]?.data;
}
