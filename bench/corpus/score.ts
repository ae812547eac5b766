import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { Diagnostics, sourcesOf } from '../../diagnostics/diagnostic.ts';
import { nodeFiles } from '../../driver/node-files.ts';
import { importOnnx } from '../../frontend/onnx/import.ts';
import { interpretTensors } from '../../ir/graph/interpret-tensors.ts';
import type { GraphModule, GraphOp } from '../../ir/graph/module.ts';
import type { ValueId } from '../../ir/types.ts';
import { WeightValues } from '../../ir/weight-values.ts';
import type { TensorStore } from '../../ir/weights.ts';
import { canonicalisePasses } from '../../passes/canonicalise/pipeline.ts';
import { raise } from '../../passes/raise/raise.ts';
import { isBent } from '../../passes/recognise/activation.ts';
import { indexGraph } from '../../passes/recognise/graph.ts';
import { recognisePasses } from '../../passes/recognise/pipeline.ts';
import { nearMisses } from '../../passes/recognise/recognise.ts';
import { difference, loadTensors } from '../../test/frontend/onnx/tensors.ts';
import { type Programmed, programOf } from './programs.ts';
import { type Anchors, blockKinds, type Counts, type Manifest } from './truth.ts';

/**
 * One file. `truth`: blocks known to be there; nothing is of what only resembles them, or is malformed. `recognised`: every block that is known to be there was found; `partial`: not all; `refused`: with diagnostics; `failed`: the compiler is at fault.
 * `error`: the largest difference, relative above 1, between the lifted graph in double precision and the results stored beside the file.
 */
export type Score = {
  readonly file: string;
  readonly status: 'recognised' | 'partial' | 'refused' | 'failed';
  readonly found: Counts | undefined;
  readonly truth: Counts | undefined;
  readonly error: number | undefined;
  readonly unsound: boolean;
  /** Whether all of it became row ops, which is what the backend compiles. */
  readonly rows: boolean;
  /** What its program gave, if programs were asked for. */
  readonly program: Programmed | undefined;
  readonly nodes: number;
  readonly ops: number;
  readonly milliseconds: number;
  readonly notes: readonly string[];
  readonly anchors: Anchors | undefined;
};

/** FP32 arithmetic of another order against double precision; half-precision exports were computed in half precision. */
const tolerance = { single: 1e-4, half: 2e-2 } as const;

export function score(folder: string, file: string, manifest: Manifest, programs: boolean): Score {
  const counted = manifest.isNegative(file) ? undefined : manifest.truth(file);
  const anchors = manifest.anchors(file);
  const nothing = { file, found: undefined, truth: counted, error: undefined, unsound: false, rows: false, program: undefined, nodes: 0, ops: 0, anchors };
  const start = performance.now();
  const elapsed = (): number => performance.now() - start;
  const files = nodeFiles(join(folder, dirname(file)), true);
  try {
    const diagnostics = new Diagnostics();
    const imported = importOnnx(files, basename(file), [], diagnostics);
    // What contradicts itself is no model: nothing can be known to be in it.
    const isMalformed = diagnostics.all.some(({ code }) => code === 'E1003');
    if (imported === undefined) return { ...nothing, truth: isMalformed ? undefined : counted, status: 'refused', milliseconds: elapsed(), notes: diagnostics.all.map(({ code, message }) => `${code} ${message}`) };
    const { module, nearly, rows } = lifted(imported.module, imported.store);
    const milliseconds = elapsed();
    const found = countBlocks(module, imported.store);
    const truth = counted === undefined ? undefined : { ...counted, activation: Math.min(counted.activation, bentOps(imported.module)) };
    const error = errorOf(module, imported.store, join(folder, dirname(file), 'test_data_set_0'));
    const isHalf = module.types.some(({ dtype }) => dtype === 'f16' || dtype === 'bf16') || /bf16|fp16/.test(file);
    const isWhole = truth === undefined || blockKinds.every((kind) => found[kind] >= truth[kind]);
    const unsound = error !== undefined && !(error <= tolerance[isHalf ? 'half' : 'single']);
    const program = rows && programs ? programOf({ ...imported, primitive: true }, join(folder, dirname(file), 'test_data_set_0')) : undefined;
    return { ...nothing, status: isWhole ? 'recognised' : 'partial', truth, found, program, error, unsound, rows, nodes: imported.module.source.nodes.length, ops: module.body.ops.length, milliseconds, notes: nearly };
  } catch (error) {
    return { ...nothing, status: 'failed', milliseconds: elapsed(), notes: [error instanceof Error ? (error.stack ?? error.message) : String(error)] };
  } finally {
    files.close();
  }
}

/** How many activations a source can have: exporters write equal calls on one value once. */
const bentOps = ({ body }: GraphModule): number => body.ops.filter((op) => op.kind === 'tactivate' || isBent(op)).length;

function lifted(source: GraphModule, store: TensorStore): { readonly module: GraphModule; readonly nearly: readonly string[]; readonly rows: boolean } {
  const module = [...canonicalisePasses, ...recognisePasses(store)].reduce((made, { run }) => run(made), source);
  const problems = new Diagnostics();
  raise(module, store, problems);
  return { module, nearly: [...new Set(nearMisses(module, store).map(({ actual }) => actual))], rows: !problems.hasErrors };
}

function countBlocks(module: GraphModule, store: TensorStore): Counts {
  const graph = indexGraph(module, store);
  /** Rows of a constant table, by an index or from a place on. */
  const isLookup = (op: GraphOp): boolean => {
    const table = op.operands[0] as ValueId;
    const isTable = (op.kind === 'pgather' || op.kind === 'pslice') && op.attrs.axis === 0 && graph.dependence(table) === 'nothing' && graph.type(table).shape.length === 2 && /^(f|bf)/.test(graph.type(table).dtype);
    return isTable && graph.dependence(op.results[0] as ValueId) !== 'nothing';
  };
  /** A table added to rows whole: one row for each place of a sequence of fixed length. */
  const isAdded = (op: GraphOp): boolean =>
    op.kind === 'pbinary' && op.attrs.fn === 'add' && op.operands.some((operand) => graph.dependence(operand) === 'nothing' && graph.type(operand).shape.filter((size) => size !== 1).length === 2);
  const count = (is: (op: GraphOp) => boolean): number => module.body.ops.filter(is).reduce((sum, op) => sum + timesSaid(op), 0);
  return {
    attention: count(({ kind }) => kind === 'tattention'),
    norm: count(({ kind }) => kind === 'tnorm'),
    rope: count(({ kind }) => kind === 'trope'),
    // Experts have theirs within.
    activation: count(({ kind }) => kind === 'tactivate' || kind === 'tmoe'),
    moe: count(({ kind }) => kind === 'tmoe'),
    embedding: count((op) => isLookup(op) || isAdded(op)),
  };
}

/** How often a source says what is one op now, equal ones being shared: as often as each of the operators it is made of. */
function timesSaid(op: GraphOp): number {
  const times = new Map<string, number>();
  for (const source of sourcesOf(op.origin)) if (source.kind === 'onnx') times.set(source.op, (times.get(source.op) ?? 0) + 1);
  return times.size === 0 ? 1 : Math.min(...times.values());
}

/** How far a module is from what was stored as its inputs and outputs; undefined where nothing was. */
function errorOf(module: GraphModule, store: TensorStore, folder: string): number | undefined {
  if (!existsSync(folder)) return undefined;
  const [given, wanted] = [loadTensors(folder, 'input'), loadTensors(folder, 'output')];
  if (wanted.length === 0 || [...given, ...wanted].includes(undefined)) return undefined;
  const find = (all: typeof given, name: string, i: number) => (all.find((each) => each?.name === name) ?? all[i])?.tensor;
  const inputs = new Map(module.inputs.flatMap(({ name }, i) => {
    const tensor = find(given, name, i);
    return tensor === undefined ? [] : [[name, tensor] as const];
  }));
  const results = interpretTensors(module, inputs, new WeightValues(store, 1));
  const errors = module.outputs.map(({ name }, i) => {
    const [got, want] = [results.get(name), find(wanted, name, i)];
    return got === undefined || want === undefined ? 0 : difference(got, want);
  });
  return Math.max(0, ...errors);
}
