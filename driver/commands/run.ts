import { join } from 'node:path';
import { Diagnostics } from '../../diagnostics/diagnostic.ts';
import { allOps, type GraphModule } from '../../ir/graph/module.ts';
import { randomStore } from '../../ir/random-store.ts';
import { writeContainer } from '../../isa-spec/container.ts';
import { imageSource } from '../../simulator/functional/machine-state.ts';
import { SimulationFault } from '../../simulator/fault.ts';
import { Comparing, type Comparison } from '../compare.ts';
import { compile, type Compiled, type Imported } from '../compile.ts';
import { HostSession } from '../host.ts';
import { type Start, startsOf } from '../inputs.ts';
import type { Options } from '../options.ts';
import { openReference, type Reference, RuntimeRefusal } from '../reference.ts';
import { withinFloat32 } from '../similarity.ts';
import { conductOf, promptsOf, Running } from '../running.ts';
import { operandBytes, type Serving } from '../serving.ts';
import { findSource, importSource, loadPlugins, type Source, UsageError } from '../session.ts';
import { renderComparison } from '../text.ts';
import { Terminal } from '../terminal.ts';
import { boundsOf } from '../workload.ts';
import { reportOf, targetOf, weightImages } from './compile.ts';
import { renderText } from '../../report/text.ts';
import { runProgram } from './run-program.ts';

/** `sohuc run model`: compiles for the prompts at hand, runs the program's bytes, and says what came out. */
export async function runCommand(path: string, options: Options): Promise<boolean> {
  if (path.endsWith('.sohu')) return runProgram(path, options);
  const terminal = new Terminal(options);
  const diagnostics = new Diagnostics();
  const source = findSource(path);
  const imported = await importSource(source, await loadPlugins(options.plugin), options, diagnostics);
  if (imported === undefined || diagnostics.hasErrors) return !terminal.diagnostics(diagnostics);
  terminal.stage('import');
  const store = imported.store ?? randomStore(imported.tensors ?? new Map(), options.seed);
  const prompts = promptsOf(options);
  let starts: readonly Start[] = [];
  const begin = (module: GraphModule): readonly Start[] => (starts = startsOf(module.source.interface.unfolds ?? [], prompts, options));
  const compiled = compileFor(imported, begin, options, diagnostics, terminal);
  if (compiled === undefined) return !terminal.diagnostics(diagnostics);

  const { program } = compiled;
  const image = Buffer.concat([...weightImages(compiled, store)]);
  const perChip = image.length / program.chips;
  const session = new HostSession(program, Array.from({ length: program.chips }, (_, rank) => imageSource(image.subarray(rank * perChip, (rank + 1) * perChip))));
  terminal.stage('pack', `${image.length} bytes of weights`);

  const conduct = conductOf(options, session, terminal);
  const running = new Running(program, session, starts, conduct);
  const comparing = options.compare ? new Comparing(compiled, store, targetOf(options).tp) : undefined;
  let reference = options.compare ? await referenceFor(source, compiled, terminal) : undefined;
  checkIds(starts.map(({ ids }) => ids), compiled.rows);
  try {
    for (let step = 0; step <= options.generate; step++) {
      const ran = await running.step();
      if (ran === undefined) return true;
      const { rows, made } = ran;
      const runtime = await reference?.step(rows).catch((error: unknown) => {
        if (!(error instanceof RuntimeRefusal)) throw error;
        reference = undefined;
        terminal.note(noReference(error.message));
        return undefined;
      });
      comparing?.add(made, runtime);
      terminal.stage(step === 0 ? 'prefill' : `decode ${step}`, `${rows.reduce((sum, { ids }) => sum + ids.length, 0)} rows, ${made.result.instructions} instructions`);
    }
  } catch (error) {
    if (!(error instanceof SimulationFault)) throw error;
    diagnostics.report({ code: 'E6001', message: error.message, origin: { kind: 'none' } });
    return !terminal.diagnostics(diagnostics);
  } finally {
    conduct.close();
  }
  const comparison = comparing?.result();
  const report = reportOf(compiled, writeContainer(program).length);
  terminal.print(renderText(report, { stages: [], files: [] }));
  terminal.print(running.text());
  if (comparison !== undefined) terminal.print(renderComparison(comparison, reference !== undefined));
  terminal.value({ sequences: running.sequences, ...(comparison === undefined ? {} : { comparison }), report });
  terminal.diagnostics(diagnostics);
  return comparison === undefined || agrees(comparison);
}

function compileFor(imported: Imported, begin: (module: GraphModule) => readonly Start[], options: Options, diagnostics: Diagnostics, terminal: Terminal): Compiled | undefined {
  const target = targetOf(options);
  const serve = (module: GraphModule): Serving => {
    const starts = begin(module);
    const longest = Math.max(...starts.map(({ ids }) => ids.length));
    const rows = starts.map(({ ids, memory }, id) => ({ id, rows: module.caches.length === 0 ? ids.length + options.generate : ids.length, past: 0, memory }));
    const workload = { isl: longest, osl: module.caches.length === 0 ? 0 : Math.max(1, options.generate), batch: starts.length };
    return { workload, bounds: boundsOf(module, target.machine, rows, { context: longest + options.generate, elementBytes: operandBytes[target.precision], stages: target.pp, pageRows: target.pageRows }) };
  };
  return compile(imported, { ...target, serve }, diagnostics, { until: 'time', ended: (_, name) => terminal.stage(name) });
}

const noReference = (why: string): string => `ONNX Runtime takes no part in the comparison: ${why}`;

async function referenceFor(source: Source, { rows }: Compiled, terminal: Terminal): Promise<Reference | undefined> {
  if (source.file?.endsWith('.onnx') !== true) return undefined;
  const opened = await openReference(join(source.folder, source.file), rows.source.interface);
  if (typeof opened !== 'string') return opened;
  terminal.note(noReference(opened));
  return undefined;
}

/** Ids beyond the embedding table would be a fault of the gather; the user hears of it first. */
function checkIds(prompts: readonly (readonly number[])[], module: GraphModule): void {
  const embed = [...allOps(module.body)].find((op) => op.kind === 'embed' && module.inputs[module.body.params.indexOf(op.operands[0] as never)]?.feed === 'ids');
  const table = embed === undefined ? undefined : module.types[embed.operands[1] as never];
  const size = table?.shape[0];
  const beyond = prompts.flat().find((id) => typeof size === 'number' && id >= size);
  if (beyond !== undefined) throw new UsageError(`token id ${beyond} is beyond the model's vocabulary of ${String(size)}`);
}

/** The program must be the graph's bits; the graph must be the source's values, in single precision. */
const agrees = ({ results }: Comparison): boolean => results.every(({ equalBits, values, graphToRuntime }) => equalBits === values && (graphToRuntime === undefined || withinFloat32(graphToRuntime)));
