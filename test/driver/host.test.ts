import { describe, expect, it } from 'vitest';
import { packWeights } from '../../backend-sohu/pack.ts';
import { buildProgram, placedOn } from '../../backend-sohu/program.ts';
import { HostError, HostSession, type SequenceRows } from '../../driver/host.ts';
import { interpret } from '../../ir/graph/interpret.ts';
import { KvState } from '../../ir/graph/interpret/kv-state.ts';
import { WeightValues } from '../../ir/weight-values.ts';
import { tiny } from '../../isa-spec/machines/tiny.ts';
import { imageSource } from '../../simulator/functional/machine-state.ts';
import { fitted, normative, smallBounds, storeFor } from '../passes/lower.ts';
import { small, tinyLlama } from '../passes/tiny-llama.ts';

const source = tinyLlama();
const store = storeFor(source);
const graph = normative(source, tiny, 'fp8');

const session = (): HostSession => {
  const fit = fitted(graph, tiny, 0.25);
  const placed = placedOn(fit.tile, tiny);
  const program = buildProgram([placed], tiny, 'step', {});
  const from = { graph: fit.graph, values: new WeightValues(store, 1), tile: fit.tile.tile, lineBytes: tiny.sram.lineBytes.value };
  return new HostSession(program, [imageSource(Uint8Array.from(Buffer.concat([...packWeights(fit.tile, placed.layout, from, 0)])))]);
};
const prompt = (id: number, length: number, samples: SequenceRows['samples'] = 'last'): SequenceRows => ({ id, ids: Array.from({ length }, (_, i) => (7 * id + 5 * i + 3) % small.vocabulary), samples });

describe('a session', () => {
  it('serves sequences that come, go on and go, with the bits of the graph', () => {
    const host = session();
    const kv = new KvState();
    const check = (sequences: readonly SequenceRows[]): void => {
      const { step, outputs } = host.step(sequences);
      expect(outputs.get('logits')?.data).toEqual(interpret(graph, step, { weights: new WeightValues(store, 1), arithmetic: 'normative', state: kv }).get('logits')?.data);
    };
    check([prompt(0, 9), prompt(1, 11)]);
    check([prompt(1, 1), prompt(0, 1), prompt(2, 17)]);
    check([prompt(0, 7, 'none'), prompt(2, 1)]);
    expect([0, 1, 2, 3].map((id) => host.past(id))).toEqual([17, 12, 18, 0]);
    host.release(0);
    kv.forget(0);
    check([prompt(3, 3, 'all')]);
    check([prompt(2, 1), prompt(3, 15), prompt(1, 2)]);
  });

  it('gives out pages lowest first and takes them back', () => {
    const host = session();
    expect(host.step([prompt(0, 17)]).tables.pages).toEqual([0, 1]);
    expect(host.step([prompt(1, 1), prompt(0, 1)]).tables.pages).toEqual([2, 0, 1]);
    host.release(0);
    const { tables } = host.step([prompt(5, 20)]);
    expect(tables.pages).toEqual([0, 1]);
    expect(tables.slots.slice(14, 18)).toEqual([14, 15, 32, 33]);
  });

  it('refuses what does not fit, and is as it was', () => {
    const host = session();
    const refused = (sequences: readonly SequenceRows[], reason: string): void => {
      expect(() => host.step(sequences)).toThrow(new HostError(reason));
    };
    refused([], 'a step of no sequences');
    refused([prompt(0, 21)], `a step of 21 tokens where the program takes ${smallBounds.tokens}`);
    refused([0, 1, 2, 3].map((id) => prompt(id, 1)), 'a step of 4 sequences where the program takes 3');
    refused([prompt(0, 4, 'all')], 'a step of 4 samples where the program takes 3');
    refused([prompt(0, 1), prompt(0, 1)], 'sequence 0 comes twice in a step');
    refused([prompt(0, 0)], 'sequence 0 brings no rows');
    refused([{ ...prompt(0, 2), positions: [1] }], 'sequence 0 has 1 positions for 2 rows');
    for (let id = 0; id < 8; id++) host.step([prompt(id, 16)]);
    refused([prompt(8, 17)], 'a step that takes 2 more pages of the KV pool, which has 1 free');
    expect(host.step([prompt(8, 16)]).tables.pages).toEqual([8]);
  });
});
