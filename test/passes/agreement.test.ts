import { describe, expect, it } from 'vitest';
import { interpret } from '../../ir/graph/interpret.ts';
import { KvState } from '../../ir/graph/interpret/kv-state.ts';
import { freshState } from '../../ir/tile/interpret/memory.ts';
import { WeightValues } from '../../ir/weight-values.ts';
import { sohu } from '../../isa-spec/machines/sohu.ts';
import { tiny } from '../../isa-spec/machines/tiny.ts';
import { fitted, normative, raggedStep, smallBounds, storeFor } from './lower.ts';
import { runTiles } from './on-tiles.ts';
import { small, tinyLlama } from './tiny-llama.ts';

const prefill = raggedStep([{ id: 0, rows: 7, past: 0 }, { id: 1, rows: 12, past: 0 }], small.vocabulary);
const mixed = raggedStep([{ id: 0, rows: 1, past: 7 }, { id: 2, rows: 5, past: 0 }, { id: 1, rows: 1, past: 12 }], small.vocabulary);

const source = tinyLlama();
const store = storeFor(source);

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
    expect(fit.plan.homes.spilled.length).toBeGreaterThanOrEqual(spilled);
    const tileState = freshState();
    for (const [i, step] of [prefill, mixed].entries()) {
      const logits = runTiles(fit, step, tileState, { store, lineBytes: machine.sram.lineBytes.value });
      expect(logits?.every(Number.isFinite)).toBe(true);
      expect(logits).toEqual(wanted[i]);
    }
  });
});
