import { describe, expect, it } from 'vitest';
import { buildProgram, placedOn } from '../backend-sohu/program.ts';
import { interpret } from '../ir/graph/interpret.ts';
import { KvState } from '../ir/graph/interpret/kv-state.ts';
import { allOps, type GraphModule, type OpOf } from '../ir/graph/module.ts';
import { freshState } from '../ir/tile/interpret/memory.ts';
import { allTileOps } from '../ir/tile/module.ts';
import { verifyTile } from '../ir/tile/verify.ts';
import type { TensorType, ValueId } from '../ir/types.ts';
import { WeightValues } from '../ir/weight-values.ts';
import { type Machine, type Quantity } from '../isa-spec/machine.ts';
import { sohu } from '../isa-spec/machines/sohu.ts';
import { tiny } from '../isa-spec/machines/tiny.ts';
import { encodeStepBlock } from '../isa-spec/step-block.ts';
import { runStep } from '../simulator/functional/run.ts';
import { late, randomSchedule } from '../simulator/functional/schedule.ts';
import { prove } from '../verifier/verify.ts';
import { machineFor, resultOf, steps, type Variant, variants as usual } from './compiled.ts';
import { fitted, normative, smallBounds, storeFor, tablesOf } from './passes/lower.ts';
import { runTiles } from './passes/on-tiles.ts';
import { small, tinyLlama } from './passes/tiny-llama.ts';
import { sweep } from './sweep.ts';

/** What each linear multiplies: `row` or `block`, by the rank of its scales; the first linear's first. */
const scalesOf = (graph: GraphModule): readonly string[] =>
  [...allOps(graph.body)].flatMap((op) => (op.kind !== 'linear' ? [] : [!op.attrs.scaled ? 'none' : (graph.types[op.operands[2] as ValueId] as TensorType).shape.length === 2 ? 'block' : 'row']));

describe('what is scaled in blocks', () => {
  it('is what one linear makes and only others read', () => {
    // Queries, keys and values; attention's output; gates and ups; what those make; the head.
    expect(scalesOf(normative(tinyLlama(), sohu, 'fp8'))).toEqual(['row', 'row', 'row', 'block', 'row']);
    expect(scalesOf(normative(tinyLlama(), sohu, 'bf16'))).toEqual(['none', 'none', 'none', 'none', 'none']);
  });

  it('is the same however many chips share it', () => {
    expect(scalesOf(normative(tinyLlama(), sohu, 'fp8', 2))).toEqual(scalesOf(normative(tinyLlama(), sohu, 'fp8')));
  });

  it('is nothing on arrays no block aligns with', () => {
    expect(scalesOf(normative(tinyLlama(), { ...sohu, arrays: { ...sohu.arrays, size: quantity(96) } }, 'fp8'))).toEqual(['row', 'row', 'row', 'row', 'row']);
  });

  it('has a scale for each 128 columns of its rows', () => {
    const graph = normative(tinyLlama({ ...small, inner: 300 }), sohu, 'fp8');
    const [op] = [...allOps(graph.body)].filter((one): one is OpOf<'quantise'> => one.kind === 'quantise' && one.attrs.blocks);
    expect(op?.results.map((value) => graph.types[value])).toEqual([{ dtype: 'e4m3', shape: ['tokens', 300] }, { dtype: 'f32', shape: ['tokens', 3] }]);
  });
});

const quantity = (value: number): Quantity => ({ value, provenance: 'assumed', source: 'a test' });
/** Arrays of 8 x 8, enough of them for groups of whole blocks. */
const gang: Machine = { ...tiny, name: 'gang', arrays: { ...tiny.arrays, count: quantity(64) }, sram: { ...tiny.sram, bytes: quantity(2 ** 18) } };
const larger: Machine = { ...gang, name: 'larger', arrays: { ...gang.arrays, size: quantity(16) }, sram: { ...gang.sram, bytes: quantity(2 ** 20), lineBytes: quantity(16) } };
const plain: Variant = { machine: gang, tp: 1, stageShare: 0.25, bounds: smallBounds };

/** `whole`: the value is whole before it is quantised, for groups of its columns are narrower than a block. */
const variants: Readonly<Record<string, Variant & { readonly whole: boolean }>> = {
  'small stages of the full-sized machine': { ...plain, machine: sohu, stageShare: 0.008, whole: false },
  'many small arrays': { ...plain, whole: false },
  'many of 16 x 16, with longer lines': { ...plain, machine: larger, whole: false },
  'small stages, many rows': { ...plain, stageShare: 0.08, bounds: { ...smallBounds, tokens: 150 }, whole: true },
  'codes and scales in HBM': { ...plain, machine: { ...gang, sram: { ...gang.sram, bytes: quantity(2 ** 15) } }, stageShare: 0.5, bounds: { ...smallBounds, tokens: 400 }, whole: true },
  'four small arrays': { ...plain, machine: { ...tiny, sram: gang.sram }, whole: true },
  'four small arrays, values in HBM': { ...plain, machine: { ...tiny, sram: { ...tiny.sram, bytes: quantity(2 ** 14) } }, whole: true },
  'two chips': { ...usual['two chips'] as Variant, whole: true },
  'four chips': { ...usual['four chips, two to a KV head'] as Variant, whole: true },
};

describe.each(sweep([128, 300, 520], 1))('rows of %d columns, scaled in blocks', (inner) => {
  const source = tinyLlama({ ...small, inner });
  const store = storeFor(source);
  const state = new KvState();
  const graph = normative(source, sohu, 'fp8');
  const wanted = steps.map((step) => interpret(graph, step, { weights: new WeightValues(store, 1), arithmetic: 'normative', state }).get('logits')?.data);

  it.each(Object.entries(variants))('multiply to the same bits as tiles and as a program, which is sound: %s', (_, variant) => {
    const { machine, tp, stageShare, bounds, whole } = variant;
    const fit = fitted(normative(source, machine, 'fp8', tp), machine, stageShare, tp, bounds);
    expect(verifyTile(fit.tile)).toEqual([]);
    expect([...allTileOps(fit.tile.body)].some(({ kind }) => kind === 'quantiseBlocks')).toBe(true);
    expect(!fit.tile.buffers.some(({ name }) => name.endsWith('.drained'))).toBe(whole);
    const memory = freshState();
    if (tp === 1) for (const [i, step] of steps.entries()) expect(runTiles(fit, step, memory, { store, lineBytes: machine.sram.lineBytes.value })).toEqual(wanted[i]);

    const { findings } = prove(buildProgram([placedOn(fit.tile, machine)], machine, 'step', {}));
    expect(findings).toEqual([]);
    for (const schedule of [late, randomSchedule(1)]) {
      const run = machineFor(variant, 'fp8', (program) => program, source);
      for (const [i, step] of steps.entries()) {
        runStep(run, [encodeStepBlock(tablesOf(step, bounds))], schedule);
        for (let chip = 0; chip < tp; chip++) expect(resultOf(run, run.program, step.samples.length, chip)).toEqual(wanted[i]);
      }
    }
  });
});

it('a value that is quantised as it is drained is nowhere whole', () => {
  const wide = { ...small, inner: 520 };
  const { tile } = fitted(normative(tinyLlama(wide), gang, 'fp8'), gang, 0.25);
  expect(tile.buffers.filter(({ format, columns }) => format === 'bf16' && columns === wide.inner)).toEqual([]);
  expect(tile.buffers.filter(({ name }) => name.endsWith('.drained')).every(({ columns }) => columns < wide.inner)).toBe(true);
});
