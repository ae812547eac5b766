import { describe, expect, it } from 'vitest';
import { interpret } from '../ir/graph/interpret.ts';
import { KvState } from '../ir/graph/interpret/kv-state.ts';
import { allOps } from '../ir/graph/module.ts';
import { verifyTile } from '../ir/tile/verify.ts';
import { WeightValues } from '../ir/weight-values.ts';
import { decodeAll } from '../isa-spec/encoding.ts';
import type { Machine } from '../isa-spec/machine.ts';
import { sohu8 } from '../isa-spec/machines/sohu.ts';
import { tiny2 } from '../isa-spec/machines/tiny.ts';
import { encodeStepBlock } from '../isa-spec/step-block.ts';
import { runStep } from '../simulator/functional/run.ts';
import { late, randomSchedule } from '../simulator/functional/schedule.ts';
import { verify } from '../verifier/verify.ts';
import { built, machineFor, near, resultOf, steps, type Variant, variants } from './compiled.ts';
import { fitted, normative, smallBounds, storeFor, tablesOf } from './passes/lower.ts';
import { small, tinyLlama } from './passes/tiny-llama.ts';
import { sweep } from './sweep.ts';

/** The kinds of collectives of a program, each once, in order. */
const kindsOf = (variant: Variant, precision: 'fp8' | 'bf16'): readonly string[] => {
  const { program } = built(variant, precision);
  expect(verify(program)).toEqual([]);
  const code = program.code[0]?.[0]?.col.words ?? new Uint8Array(0);
  return [...new Set(decodeAll(code, 'col').flatMap((one) => (one.op === 'coll' ? [one.fields.kind] : [])))];
};

it.each(Object.entries(variants).filter(([name]) => name.includes('that share rows')))('each chip norms its own rows: %s', (_, variant) => {
  expect(kindsOf(variant, 'fp8')).toEqual(['exchange', 'collect', 'collectlist', 'allgather']);
});

it('nothing is shared of what is multiplied as it is, or where a hop takes longer than what it saves', () => {
  expect(kindsOf(variants['two chips that share rows'] as Variant, 'bf16')).toEqual(['allgather']);
  expect(kindsOf(variants['two chips'] as Variant, 'fp8')).toEqual(['allgather']);
});

/** Arrays of 8 x 8, enough of them for groups of whole strips. */
const gang: Machine = near({ ...tiny2, arrays: { ...tiny2.arrays, count: { ...tiny2.arrays.count, value: 64 } }, sram: { ...tiny2.sram, bytes: { ...tiny2.sram.bytes, value: 2 ** 18 } } });
const low: Machine = { ...gang, sram: { ...gang.sram, bytes: { ...gang.sram.bytes, value: 2 ** 15 } } };
const plain = { tp: 2, stageShare: 0.25, bounds: smallBounds };

describe('what products alone take is made in strips of pieces of k, gathered as they are made', () => {
  const shapes: readonly (readonly [string, Variant & { readonly inner: number; readonly precision: 'fp8' | 'bf16'; readonly asMade: boolean }])[] = [
    ['two chips', { ...plain, machine: sohu8, inner: 768, precision: 'fp8', asMade: true }],
    ['four chips', { ...plain, machine: sohu8, tp: 4, inner: 1536, precision: 'fp8', asMade: true }],
    ['two chips of small arrays', { ...plain, machine: gang, inner: 768, precision: 'fp8', asMade: true }],
    ['two chips of small arrays, in two parts', { ...plain, machine: gang, inner: 768, precision: 'fp8', bounds: { ...smallBounds, tokens: 32 }, parts: 2, asMade: true }],
    ['two chips of small arrays, values in HBM', { ...plain, machine: low, stageShare: 0.5, inner: 768, precision: 'fp8', bounds: { ...smallBounds, tokens: 150 }, asMade: false }],
    ['two chips, in BF16', { ...plain, machine: sohu8, inner: 768, precision: 'bf16', asMade: false }],
  ];
  it.each(sweep(shapes, 1))('%s', (_, { inner, precision, asMade, ...variant }) => {
    const source = tinyLlama({ ...small, inner });
    const { machine, tp, stageShare, bounds, parts } = variant;
    const fit = fitted(normative(source, machine, precision, tp), machine, stageShare, tp, { ...bounds, parts });
    expect(verifyTile(fit.tile)).toEqual([]);
    expect([...allOps(fit.graph.body)].some((op) => op.kind === 'allgather' && op.attrs.strips === 3)).toBe(true);
    expect(fit.tile.buffers.some(({ name }) => name.endsWith('.strips'))).toBe(asMade);
    expect(verify(built(variant, precision, source).program)).toEqual([]);

    const graph = normative(source, sohu8, precision);
    const kv = new KvState();
    const wanted = steps.map((step) => interpret(graph, step, { weights: new WeightValues(storeFor(source), 1), arithmetic: 'normative', state: kv }).get('logits')?.data);
    for (const schedule of [late, randomSchedule(1)]) {
      const state = machineFor(variant, precision, (program) => program, source);
      for (const [i, step] of steps.entries()) {
        runStep(state, [encodeStepBlock(tablesOf(step, bounds))], schedule);
        for (let chip = 0; chip < tp; chip++) expect(resultOf(state, state.program, step.samples.length, chip)).toEqual(wanted[i]);
      }
    }
  });
});
