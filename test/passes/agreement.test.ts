import { describe, expect, it } from 'vitest';
import { bufferRows } from '../../backend-sohu/pack.ts';
import { interpret } from '../../ir/graph/interpret.ts';
import { KvState } from '../../ir/graph/interpret/kv-state.ts';
import { interpretTile } from '../../ir/tile/interpret.ts';
import { freshState, type TileState } from '../../ir/tile/interpret/memory.ts';
import type { Buffer } from '../../ir/tile/module.ts';
import { WeightValues } from '../../ir/weight-values.ts';
import { decodeE5m2, decodeUe8m0 } from '../../isa-spec/numerics-formats.ts';
import { decodeBf16, decodeE4m3 } from '../../isa-spec/numerics.ts';
import { sohu } from '../../isa-spec/machines/sohu.ts';
import { tiny } from '../../isa-spec/machines/tiny.ts';
import type { Fit } from '../../passes/plan/fit.ts';
import { fitted, normative, raggedStep, smallBounds, storeFor, tablesOf } from './lower.ts';
import { small, tinyLlama } from './tiny-llama.ts';

const prefill = raggedStep([{ id: 0, rows: 7, past: 0 }, { id: 1, rows: 12, past: 0 }], small.vocabulary);
const mixed = raggedStep([{ id: 0, rows: 1, past: 7 }, { id: 2, rows: 5, past: 0 }, { id: 1, rows: 1, past: 12 }], small.vocabulary);

const source = tinyLlama();
const store = storeFor(source);

const decoders = { e5m2: decodeE5m2, ue8m0: decodeUe8m0, e4m3: decodeE4m3, bf16: decodeBf16, f32: (x: number) => x, i32: (x: number) => x };

const fillFrom = (fit: Fit, lineBytes: number) => (buffer: Buffer) => {
  const rows = [...bufferRows(buffer, { graph: fit.graph, values: new WeightValues(store, 1), tile: fit.tile.tile, lineBytes }, 0)].flatMap((batch) =>
    Array.from({ length: batch.length / buffer.columns }, (_, i) => Float64Array.from(batch.subarray(i * buffer.columns, (i + 1) * buffer.columns), decoders[buffer.format])),
  );
  return (row: number) => rows[row] as Float64Array;
};

const runTile = (fit: Fit, step: typeof prefill, state: TileState, lineBytes: number) => interpretTile(fit.tile, tablesOf(step, smallBounds), { fill: fillFrom(fit, lineBytes), lineBytes, state })[0]?.data;

describe.each(['fp8', 'bf16'] as const)('%s', (precision) => {
  const graph = normative(source, sohu, precision);
  const state = new KvState();
  const wanted = [prefill, mixed].map((step) => interpret(graph, step, { weights: new WeightValues(store, 1), arithmetic: 'normative', state }).get('logits')?.data);

  it.each([
    ['the full-sized machine', sohu, 0.25, smallBounds, 0],
    ['small stages of it', sohu, 0.008, smallBounds, 0],
    ['a machine of 8x8 arrays and 8 KiB', tiny, 0.25, smallBounds, 0],
    ['a bucket whose values do not fit its SRAM', tiny, 0.2, { ...smallBounds, tokens: 150 }, 3],
  ] as const)('tiles for %s compute the graph\'s bits, prefill and decode', (_, machine, share, bounds, spilled) => {
    const fit = fitted(normative(source, machine, precision), machine, share, 1, bounds);
    expect(fit.spilled.length).toBeGreaterThanOrEqual(spilled);
    const tileState = freshState();
    for (const [i, step] of [prefill, mixed].entries()) {
      const logits = runTile(fit, step, tileState, machine.sram.lineBytes.value);
      expect(logits?.every(Number.isFinite)).toBe(true);
      expect(logits).toEqual(wanted[i]);
    }
  });
});
