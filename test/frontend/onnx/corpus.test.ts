import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Diagnostics } from '../../../diagnostics/diagnostic.ts';
import { memoryFiles } from '../../../frontend/files.ts';
import { importOnnx } from '../../../frontend/onnx/import.ts';
import { interpretTensors } from '../../../ir/graph/interpret-tensors.ts';
import type { Tensor } from '../../../ir/graph/interpret/tensor.ts';
import type { GraphModule } from '../../../ir/graph/module.ts';
import { verifyGraph } from '../../../ir/graph/verify.ts';
import { WeightValues } from '../../../ir/weight-values.ts';
import type { TensorStore } from '../../../ir/weights.ts';
import { canonicalisePasses } from '../../../passes/canonicalise/pipeline.ts';
import { corpus, folderFiles, hasCorpus, onnxFiles } from './corpus.ts';
import { difference, loadTensors } from './tensors.ts';

type Imported = { readonly module: GraphModule; readonly store: TensorStore };

function imported(file: string): Imported | undefined {
  const diagnostics = new Diagnostics();
  const result = importOnnx(folderFiles(join(corpus, dirname(file))), basename(file), [], diagnostics);
  expect([file, diagnostics.hasErrors]).toEqual([file, result === undefined]);
  return result;
}

/** The largest difference between what a module computes and what was stored beside its file; undefined where nothing was. */
function error({ store }: Imported, module: GraphModule, file: string): number | undefined {
  const folder = join(corpus, dirname(file), 'test_data_set_0');
  if (!existsSync(folder)) return undefined;
  const [given, wanted] = [loadTensors(folder, 'input'), loadTensors(folder, 'output')];
  if (wanted.length === 0 || [...given, ...wanted].includes(undefined)) return undefined;
  const find = (all: typeof given, name: string, i: number): Tensor => ((all.find((each) => each?.name === name) ?? all[i]) as { readonly tensor: Tensor }).tensor;
  const inputs = new Map(module.inputs.map(({ name }, i) => [name, find(given, name, i)]));
  const results = interpretTensors(module, inputs, new WeightValues(store, 1));
  return Math.max(...module.outputs.map(({ name }, i) => difference(results.get(name) as Tensor, find(wanted, name, i))));
}

/** Half-precision sources were computed in half precision where they come from, and in double here. */
const isHalf = (file: string): boolean => /bf16|fp16/i.test(file);
/** Bfloat16 casts that round, which casts between floats do not here; remainders of infinities; codes that are halves but for the rounding of their scale. */
const apart = /cast_FLOAT_to_BFLOAT16|mod_float_edge_cases|dynamicquantizelinear(_expanded)?\//;

describe.skipIf(!hasCorpus)('imported graphs mean what PyTorch computed', () => {
  const families = ['bert-', 'gpt2-', 'llama-', 'qwen3-', 'gemma2-', 't5-'];
  it.each(families)('%s', (family) => {
    const files = readdirSync(join(corpus, 'torch/hf')).filter((name) => name.startsWith(family)).map((name) => `torch/hf/${name}/model.onnx`);
    expect(files.length).toBeGreaterThan(0);
    for (const file of files.filter((each) => existsSync(join(corpus, each)))) {
      const source = imported(file);
      if (source === undefined) continue;
      const canonical = canonicalisePasses.reduce((module, { run }) => run(module), source.module);
      const diagnostics = new Diagnostics();
      verifyGraph(source.module, diagnostics);
      verifyGraph(canonical, diagnostics);
      expect([file, diagnostics.all]).toEqual([file, []]);
      for (const module of [source.module, canonical]) {
        const worst = error(source, module, file);
        if (worst !== undefined) expect([file, worst < (isHalf(file) ? 2e-2 : 1e-4)]).toEqual([file, true]);
      }
    }
  });

  it('every hand-written module that has a meaning here', () => {
    let compared = 0;
    for (const file of onnxFiles('torch/modules')) {
      const source = imported(file);
      const worst = source === undefined ? undefined : error(source, source.module, file);
      if (worst === undefined) continue;
      compared++;
      expect([file, worst < 1e-4]).toEqual([file, true]);
    }
    expect(compared).toBeGreaterThan(200);
  });

  it('every operator case of ONNX whose operator has a meaning here', () => {
    let compared = 0;
    for (const file of onnxFiles('onnx-node').filter((name) => !apart.test(name))) {
      const source = imported(file);
      const worst = source === undefined ? undefined : error(source, source.module, file);
      if (worst === undefined) continue;
      compared++;
      expect([file, worst < (isHalf(file) || /float16/.test(file) ? 2e-2 : 1e-3)]).toEqual([file, true]);
    }
    expect(compared).toBeGreaterThan(600);
  });

  it('quantised models give what ONNX Runtime gave', () => {
    // Its optimised kernels quantise activations where two of the files do not ask for it; half precision is computed in double here.
    const loose = /nbits4_qdq|vit_qdq|fp16/;
    let compared = 0;
    for (const file of onnxFiles('quant')) {
      const source = imported(file) as Imported;
      const worst = error(source, source.module, file);
      if (worst === undefined) continue;
      compared++;
      expect([file, worst < (loose.test(file) ? 5e-3 : 2e-4)]).toEqual([file, true]);
    }
    expect(compared).toBeGreaterThanOrEqual(15);
  });

  it('graphs ONNX Runtime and onnxscript have fused mean what they meant, but where a fusion was wrong', () => {
    const wrong = /ortpy-rms_wrong_axis_neg|ortpy-bart_encoder|osf-phi/;
    const seen = onnxFiles('ort-optimised').flatMap((file) => {
      const source = imported(file);
      const worst = source === undefined ? undefined : error(source, source.module, file);
      return worst === undefined ? [] : [{ file, isWrong: wrong.test(file), worst }];
    });
    expect(seen.filter(({ isWrong, worst }) => !isWrong && !(worst < 1e-4))).toEqual([]);
    expect(seen.length).toBeGreaterThanOrEqual(15);
  });

  it.each(['genai', 'genai-builder', 'quant'])('every model of %s is read', (group) => {
    expect(onnxFiles(group).filter((file) => imported(file) === undefined)).toEqual([]);
  });

  it('a damaged export is imported or refused, and never throws', () => {
    const files = onnxFiles('torch/modules').filter((_, i) => i % 8 === 0);
    let seed = 3;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    for (let i = 0; i < 1000; i++) {
      const bytes = Uint8Array.from(readFileSync(join(corpus, files[i % files.length] as string)));
      for (let k = random(3); k >= 0; k--) bytes[random(bytes.length)] = random(3) === 0 ? random(256) : random(16);
      const diagnostics = new Diagnostics();
      const result = importOnnx(memoryFiles(new Map([['m.onnx', bytes]])), 'm.onnx', [], diagnostics);
      expect(diagnostics.hasErrors).toBe(result === undefined);
    }
  });

  it('no file of the corpus makes the import throw', () => {
    for (const group of ['hostile', 'ort', 'burn', 'genai', 'genai-builder', 'optimum', 'quant', 'onnxscript']) for (const file of onnxFiles(group)) imported(file);
  });
});
