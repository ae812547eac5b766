import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Code } from '../../diagnostics/catalogue.ts';
import { Diagnostics } from '../../diagnostics/diagnostic.ts';
import { compile, type Target } from '../../driver/compile.ts';
import { readProgram } from '../../driver/commands/assembly.ts';
import { targetOf } from '../../driver/commands/compile.ts';
import { offersFor } from '../../driver/fits.ts';
import { HostError, HostSession } from '../../driver/host.ts';
import { defaults } from '../../driver/options.ts';
import { type Serving, steadyServing } from '../../driver/serving.ts';
import { type Files, memoryFiles } from '../../frontend/files.ts';
import { importFolder } from '../../frontend/huggingface/import.ts';
import { importOnnx } from '../../frontend/onnx/import.ts';
import { reluSquared } from '../../examples/custom-layer/relu-squared.ts';
import { defineLayer } from '../../ir/graph/custom.ts';
import { parseGraph } from '../../ir/graph/parse.ts';
import { verifyGraph } from '../../ir/graph/verify.ts';
import type { TensorType } from '../../ir/types.ts';
import { sohu, sohu8 } from '../../isa-spec/machines/sohu.ts';
import { recognitionOf, reportShare } from '../../driver/explain-recognition.ts';
import { llama70 } from '../driver/llama70.ts';
import { asRows, recognised } from '../passes/raise/as-rows.ts';
import { reportUnlowerable } from '../../passes/tile/tile.ts';
import { SimulationFault } from '../../simulator/fault.ts';
import { verify } from '../../verifier/verify.ts';
import { type GraphParts, graph, model, node, tensor, value } from '../frontend/onnx/write.ts';
import { onRows } from '../passes/raise/source-module.ts';
import { runProgram, sync, token } from '../simulator/functional/harness.ts';
import { programOf } from '../verifier/programs.ts';

const example = (path: string): Uint8Array => readFileSync(resolve(import.meta.dirname, '../../examples', path));
const text = (value: unknown): Uint8Array => new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));

const fail = (message: string): never => {
  throw new Error(message);
};

type Sample = (diagnostics: Diagnostics) => void;

const folder = (config: unknown, more: Readonly<Record<string, Uint8Array>> = {}): Files => memoryFiles(new Map(Object.entries({ 'config.json': text(config), ...more })));
/** `changes` over a 70B decoder. */
const config = (changes: object): Sample => (diagnostics) => void importFolder(folder({ ...llama70, ...changes }), diagnostics);

const tinyConfig = JSON.parse(Buffer.from(example('llama/hf/config.json')).toString('utf8')) as object;
const tinyWeights = example('llama/hf/model.safetensors');

const onBf16 = { machine: sohu8, precision: 'bf16', tp: 1, pp: 1, stageShare: 0.25, parts: 1 } as const;
const requests = { isl: 2048, osl: 128, batch: 64 };
const compiled = (changes: object, target: Partial<Target>): Sample => (diagnostics) => {
  const imported = importFolder(folder({ ...llama70, ...changes }), diagnostics);
  if (imported === undefined) return;
  const bounds = { tokens: 64, sequences: 64, samples: 64, memory: 0, poolPages: 1024, pageRows: 128, pageListEntries: 1024 };
  const serve = (): Serving => ({ workload: { isl: 2048, osl: 128, batch: 64 }, bounds });
  compile({ ...imported, primitive: false }, { machine: sohu, precision: 'fp8', tp: 1, pp: 1, stageShare: 0.25, parts: 1, serve, ...target }, diagnostics);
};

const onnx = (parts: GraphParts, version = 17): Sample => (diagnostics) => {
  importOnnx(memoryFiles(new Map([['model.onnx', model(parts, version)]])), 'model.onnx', [], diagnostics);
};
const x = value('x', 1, ['batch', 8]);
const y = value('y', 1, ['batch', 8]);

/** With a past, and without one. */
const merged = node('If', ['use_cache_branch'], ['y'], {
  then_branch: { graph: graph({ nodes: [node('Add', ['x', 'past'], ['t'])], outputs: [value('t', 1, ['batch', 8])] }) },
  else_branch: { graph: graph({ nodes: [node('Neg', ['x'], ['e'])], outputs: [value('e', 1, ['batch', 8])] }) },
});

/** A module's text, verified. */
const sir = (body: string): Sample => (diagnostics) => {
  const module = parseGraph(`module "m" family "f"\ninput "ids": ids\nweight "table": f32[10, 4] = "t"\nbody (%0: i32[tokens]) {\n${body}\n}\n`, 'model.sir', diagnostics, []);
  if (module === undefined) return;
  verifyGraph(module, diagnostics);
  if (!diagnostics.hasErrors) reportUnlowerable(module, diagnostics);
};
const embedded = '%1: f32[10, 4] = weight() {name "table"}\n%2: f32[tokens, 4] = embed(%0, %1)\n';

/** How each code comes about: the pages of docs/errors quote what these report. */
export const samples: { readonly [C in Code]: Sample } = {
  E1001: (diagnostics) => void importOnnx(memoryFiles(new Map([['encoder.onnx', example('bert/encoder.torchscript.onnx').subarray(0, 20000)]])), 'encoder.onnx', [], diagnostics),
  E1002: onnx({
    nodes: [node('Add', ['x', 'w'], ['y'])], inputs: [x], outputs: [y],
    initializers: [tensor('w', 1, [8], [[13, Uint8Array.of(0x0a, 8, ...text('location'), 0x12, 14, ...text('../weights.bin'))], [14, 1]])],
  }),
  E1003: onnx({ nodes: [node('Relu', ['z'], ['y'])], inputs: [x], outputs: [y] }),
  E1004: onnx({ nodes: [node('Relu', ['x'], ['y'])], inputs: [x], outputs: [y], initializers: [tensor('w', 1, Array.from({ length: 17 }, () => 1), [[9, new Uint8Array(4)]])] }),
  E1005: (diagnostics) => void importOnnx(memoryFiles(new Map([['decoder.onnx', example('custom-layer/decoder.onnx')]])), 'decoder.onnx', [], diagnostics),
  W1006: onnx({ nodes: [node('RotaryEmbedding', ['x', 'cos', 'sin'], ['y'])], inputs: [value('x', 1, ['batch', 2, 'rows', 4]), value('cos', 1, [1, 'rows', 2]), value('sin', 1, [1, 'rows', 2])], outputs: [y] }, 23),
  W1007: onnx({ nodes: [merged], inputs: [x, value('past', 1, ['batch', 8]), value('use_cache_branch', 9, [1])], outputs: [y] }),
  E2001: (diagnostics) => void importFolder(folder('{"model_type": "llama",}'), diagnostics),
  E2002: config({ model_type: 'phimoe', num_local_experts: 16 }),
  E2003: config({ num_attention_heads: 60 }),
  E2004: config({ atention_bias: true }),
  E2005: (diagnostics) => void importFolder(folder({ ...tinyConfig, intermediate_size: 112 }, { 'model.safetensors': tinyWeights }), diagnostics),
  E2006: (diagnostics) => void importFolder(folder(tinyConfig, { 'model.safetensors': tinyWeights.subarray(0, 30000) }), diagnostics),
  E2007: config({ layer_types: Array.from({ length: 80 }, (_, i) => (i % 4 === 3 ? 'full_attention' : 'linear_attention')) }),
  W2008: config({ quantization_config: { quant_method: 'gptq', bits: 4 } }),
  E3001: (diagnostics) => {
    const { module, store } = onRows(8, (write, rows) => {
      const positive = write.unary('relu', rows);
      write.build.origin = { kind: 'onnx', node: '/layers.0/mlp/Pow', op: 'Pow' };
      return write.build.op('pbinary', { fn: 'pow' }, [positive, write.number(3)]);
    });
    asRows(module, store, diagnostics);
  },
  E3002: (diagnostics) => void importFolder(memoryFiles(new Map([['config.json', example('refused/mamba.json')]])), diagnostics),
  E3004: (diagnostics) => {
    const { module, store } = onRows(8, (write, rows) => {
      const slope = write.by('div', rows, 1.5);
      write.build.origin = { kind: 'onnx', node: '/layers.0/mlp/act/Erf', op: 'Erf' };
      const bent = write.by('add', write.build.op('punary', { fn: 'erf' }, [slope]), 1);
      return write.build.op('pbinary', { fn: 'mul' }, [write.by('mul', rows, 0.5), bent]);
    });
    reportShare(recognitionOf(recognised(module, store), store), 1, diagnostics);
  },
  E3003: (diagnostics) => {
    const layer = defineLayer({ ...reluSquared, infer: ([operand, slope]) => (slope === undefined ? fail('one operand where two are wanted') : (operand as TensorType)) });
    importOnnx(memoryFiles(new Map([['decoder.onnx', example('custom-layer/decoder.onnx')]])), 'decoder.onnx', [layer], diagnostics);
  },
  E4001: compiled({}, { ...onBf16, serve: (module) => steadyServing(module, requests, onBf16), offers: (whole) => offersFor(whole, onBf16, requests) }),
  E4002: compiled({}, { machine: sohu8, tp: 3 }),
  E4003: sir(`${embedded}%3: f32[tokens, 4] = psoftmax(%2) {axis 1}\nreturn`),
  E4004: compiled({}, { tiling: [{ homes: { stageBytes: 2 ** 25, ringDepth: 4, pieceColumns: 2048, spilled: [], parts: [{ first: 0, rows: 64 }], ahead: 1, haste: 'none', lag: 'none', parked: 'no', lent: 0, held: [] }, decisions: [] }] }),
  E5001: sir(`${embedded}%3: f32[tokens, 4] = activate(%2 {activation relu}\nreturn`),
  E5002: (diagnostics) => {
    const place = mkdtempSync(join(tmpdir(), 'sohuc-'));
    try {
      writeFileSync(join(place, 'model.sohu'), text('PK, a zip archive, is no program, however long it may be or be made.'));
      readProgram(join(place, 'model.sohu'), diagnostics);
    } finally {
      rmSync(place, { recursive: true });
    }
  },
  E5003: (diagnostics) => {
    for (const { message } of verify(programOf('.queue mxu\nsync wait(s7)\n'))) diagnostics.report({ code: 'E5003', message, origin: { kind: 'file', path: 'model.sohu' } });
  },
  E5004: sir(`${embedded}%3: f32[tokens, 5] = activate(%2) {activation relu}\nreturn`),
  E6001: (diagnostics) => {
    try {
      runProgram([{ mxu: [sync([token(1)], [])] }]);
    } catch (error) {
      if (!(error instanceof SimulationFault)) throw error;
      diagnostics.report({ code: 'E6001', message: error.message, origin: { kind: 'none' } });
    }
  },
  E6002: (diagnostics) => {
    const imported = importFolder(memoryFiles(new Map([['config.json', example('gpt2/hf/config.json')]])), diagnostics);
    const made = imported === undefined ? undefined : compile({ ...imported, primitive: false }, targetOf(defaults), diagnostics);
    try {
      if (made !== undefined) new HostSession(made.program, [() => fail('nothing is read')]).step([{ id: 0, ids: [1], positions: [64], samples: 'last' }]);
    } catch (error) {
      if (!(error instanceof HostError)) throw error;
      diagnostics.report({ code: 'E6002', message: error.message, origin: { kind: 'none' } });
    }
  },
};
