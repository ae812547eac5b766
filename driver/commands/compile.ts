import { packWeights } from '../../backend-sohu/pack.ts';
import { Diagnostics } from '../../diagnostics/diagnostic.ts';
import { allOps, type GraphModule } from '../../ir/graph/module.ts';
import { printGraph } from '../../ir/graph/print.ts';
import type { TileModule } from '../../ir/tile/module.ts';
import { printTile } from '../../ir/tile/print.ts';
import { WeightValues } from '../../ir/weight-values.ts';
import { type Room, sameRoom } from '../../ir/weights.ts';
import { writeContainer } from '../../isa-spec/container.ts';
import { disassemble } from '../../isa-spec/disassembly.ts';
import { lendings } from '../../isa-spec/machine.ts';
import { hasExperts } from '../../passes/shard.ts';
import { partsMax } from '../../passes/tile/parts.ts';
import { type ClaimReport, claimReport } from '../../report/claim.ts';
import { renderClaim } from '../../report/claim-text.ts';
import { buildReport, type CostReport } from '../../report/report.ts';
import { plural } from '../../report/format.ts';
import { renderText } from '../../report/text.ts';
import { renderHtml } from '../../report/html.ts';
import { type Compiled, compilePrepared, type Imported, type Made, noTensors, prepare, proved, type Target } from '../compile.ts';
import { Artefacts, writeWhole } from '../artefacts.ts';
import { collectOften, collectSeldomFor, optimiseSooner } from '../engine.ts';
import { recognitionOf, recognitionText, reportShare } from '../explain-recognition.ts';
import { tilingOf } from '../explain-tiling.ts';
import { type Options, type Phase, phases } from '../options.ts';
import { offersFor } from '../fits.ts';
import { findMachine, findSource, importSource, loadPlugins, type Source, UsageError } from '../session.ts';
import { mostRows, servingOf, stageShare } from '../serving.ts';
import { reportedSteps, steadyReport, steadyTiming } from '../steady-report.ts';
import { type Mapping, mappingsOf, mappingText } from '../mapping.ts';
import { ranked } from '../explain-mapping.ts';
import { searched } from '../search.ts';
import { renderMappings } from '../mapping-text.ts';
import { Terminal } from '../terminal.ts';
import { tilingIn } from '../tiling-file.ts';
import { renderTiling } from '../tiling-text.ts';
import { type Workload, workloadOf } from '../workload.ts';

/** The text form of what a stage made, and its file ending. */
function textOf(made: Made): { readonly text: string; readonly ending: string } {
  if ('graph' in made) return { text: printGraph(made.graph), ending: 'sir' };
  if ('tile' in made) return { text: printTile(made.tile), ending: 'tir' };
  return { text: disassemble(made.program), ending: 'sasm' };
}

/** `sohuc model`: program, weights and report beside the model (or where `--out` says), and the report on one screen. */
export async function compileCommand(path: string, options: Options): Promise<boolean> {
  const terminal = new Terminal(options);
  const diagnostics = new Diagnostics();
  const source = findSource(path);
  const { machine } = targetOf(options);
  const required = requiredShare(options.requireFusion);
  const layers = await loadPlugins(options.plugin);
  collectOften();
  const imported = await importSource(source, layers, options, diagnostics);
  if (imported === undefined || diagnostics.hasErrors) return !terminal.diagnostics(diagnostics);
  collectSeldomFor(imported.module.body.ops.length);

  const given = options.tiling === '' ? undefined : tilingIn(options.tiling, diagnostics);
  if (diagnostics.hasErrors) return !terminal.diagnostics(diagnostics);
  const asked: Mapping = { ...mappingOf(options), ...(isAsked(options) ? {} : given?.mapping) };
  const isChosen = given === undefined && !isAsked(options) && machine.chips > 1 && options.stopAfter === '' && options.explain !== 'recognition';
  let last: Made | undefined;
  let recognised: GraphModule | undefined;
  let dumped = 0;
  const until = phases.find((phase) => phase === options.stopAfter) ?? 'time';
  const ended = (phase: Phase, name: string, made: Made): void => {
    terminal.stage(name, stageDetail(made));
    last = made;
    if (phase === 'recognise' && 'graph' in made) recognised = made.graph;
    if (options.dumpIr !== '') {
      const { text, ending } = textOf(made);
      writeWhole(options.dumpIr, `${String(dumped++).padStart(2, '0')}-${name}.${ending}`, text);
    }
  };
  const prepared = prepare(imported, diagnostics, { until: options.explain === 'recognition' ? 'recognise' : until, ended });
  if (imported.store === undefined) optimiseSooner();
  const { tried, best } = prepared !== undefined && (isChosen || options.explain === 'mapping') ? searched(prepared, isChosen ? mappingsOf(machine.chips, [...allOps(prepared.whole.body)].some(hasExperts)).filter(({ replicas }) => options.replicas === 0 || replicas === options.replicas) : [asked], (mapping) => targetOf(options, mapping), !isChosen ? 'given' : options.explain === 'mapping' ? 'all' : 'fastest') : { tried: [], best: undefined };
  if (options.explain === 'mapping' && prepared !== undefined) {
    const rows = ranked(tried);
    terminal.print(renderMappings(rows));
    terminal.value(rows);
    return !terminal.diagnostics(diagnostics);
  }
  const mapping = best?.mapping ?? asked;
  if (isChosen) terminal.stage('map', mappingText(mapping));
  const on = targetOf(given === undefined ? options : serving(given.workload, options, mapping), mapping);
  const target: Target = { ...on, tiling: given?.plans, offers: (whole) => offersFor(whole, on, workloadOf(whole, { ...options, parts: 1 }, on.pp)) };
  const isMade = best !== undefined && options.dumpIr === '';
  const compiled = isMade ? proved(best.compiled, ended) : prepared === undefined ? undefined : compilePrepared(prepared, target, diagnostics, { until, ended });
  if (recognised !== undefined && (options.explain === 'recognition' || required > 0)) {
    const recognition = recognitionOf(recognised, imported.store ?? noTensors);
    if (options.explain === 'recognition') {
      terminal.print(recognitionText(recognition));
      terminal.value(recognition);
      return !terminal.diagnostics(diagnostics);
    }
    reportShare(recognition, required, diagnostics);
  }
  if (until !== 'time' && !diagnostics.hasErrors && last !== undefined) {
    terminal.text(textOf(last).text);
    return !terminal.diagnostics(diagnostics);
  }
  if (compiled === undefined || diagnostics.hasErrors) return !terminal.diagnostics(diagnostics);

  if (options.explain === 'tiling') {
    const tiling = tilingOf(compiled, target.machine, mapping);
    terminal.print(renderTiling(tiling));
    terminal.value(tiling);
    return !terminal.diagnostics(diagnostics);
  }
  const bytes = writeContainer(compiled.program);
  if (options.explain === 'claim') {
    const claim = claimOf(compiled, bytes.length);
    terminal.print(renderClaim(claim));
    terminal.value(claim);
    return !terminal.diagnostics(diagnostics);
  }
  const report = reportOf(compiled, bytes.length);
  terminal.stage('time', `${report.timing.instructionsIssued} instructions`);
  const files = options.stopAfter === 'time' ? [] : await writeArtefacts(source, options, imported, { compiled, bytes, report });
  if (files.length > 0) terminal.stage('write', files.map(({ path: written }) => written).join(', '));
  terminal.print(renderText(report, { stages: terminal.stages.map(({ name, milliseconds }) => ({ name, detail: `${milliseconds.toFixed(0)} ms` })), files }));
  terminal.value(report);
  return !terminal.diagnostics(diagnostics);
}

/** The options, to serve what a plan was made for where they do not say. */
const serving = ({ isl, osl, batch, parts = 1 }: Workload, options: Options, { replicas }: Mapping): Options =>
  ({ ...options, isl: options.isl || isl, osl: options.osl || osl, batch: options.batch || batch * replicas, parts: options.parts || parts });

/** `100%`, `95`: a share of all blocks; none where nothing is asked for. */
function requiredShare(text: string): number {
  if (text === '') return 0;
  const percent = Number(text.replace(/%$/, ''));
  if (!(percent >= 0 && percent <= 100)) throw new UsageError(`\`--require-fusion ${text}\`: a share is a number from 0 to 100, with or without a %`);
  return percent / 100;
}

/** The mapping the options ask for; on one chip where they do not. */
function mappingOf({ mapping, tp, ep, pp, replicas }: Options): Mapping {
  if (mapping === '') return { tp: tp || ep || 1, ep: ep || 1, pp: pp || 1, replicas: replicas || 1 };
  const [, chips, stages, spread = '1', times = '1'] = /^tp([1-9]\d*)xpp([1-9]\d*)(?:xep([1-9]\d*))?(?:xr([1-9]\d*))?$/.exec(mapping) ?? [];
  if (chips === undefined || stages === undefined) throw new UsageError(`\`--mapping ${mapping}\`: as in \`tp2xpp4\`, \`tp2xpp2xr2\` or \`tp4xpp2xep4\``);
  if (tp + ep + pp + replicas > 0) throw new UsageError(`\`--mapping ${mapping}\` says what \`--tp\`, \`--ep\`, \`--pp\` and \`--replicas\` do: give one or the others`);
  return { tp: Number(chips), ep: Number(spread), pp: Number(stages), replicas: Number(times) };
}
const isAsked = ({ mapping, tp, ep, pp }: Options): boolean => mapping !== '' || tp + ep + pp > 0;

/** The machine and formats the options ask for, and the mapping they do, or another; the program is to serve the steady state of the workload they name. */
export function targetOf(options: Options, { tp, ep, pp, replicas }: Mapping = mappingOf(options)): Target {
  const machine = findMachine(options.machine);
  if (!Number.isInteger(tp) || tp < 1 || tp > machine.chips) throw new UsageError(`\`--tp ${tp}\`: \`${machine.name}\` has ${machine.chips} ${machine.chips === 1 ? 'chip' : 'chips'}`);
  if (ep !== 1 && ep !== tp) throw new UsageError(`\`--ep ${ep}\`: whole experts are spread over all of the ${plural(tp, 'chip')} a layer is divided over, or none is`);
  if (!Number.isInteger(pp) || pp < 1 || pp > machine.chips) throw new UsageError(`\`--pp ${pp}\`: \`${machine.name}\` has ${machine.chips} ${machine.chips === 1 ? 'chip' : 'chips'}`);
  if (!Number.isInteger(options.pageRows) || options.pageRows < 0 || options.pageRows > mostPageRows) throw new UsageError(`\`--page-rows ${options.pageRows}\`: a page has 1 to ${mostPageRows} rows`);
  if (tp * pp * replicas > machine.chips) throw new UsageError(`${mappingText({ tp, ep, pp, replicas })}: \`${machine.name}\` has ${machine.chips} ${machine.chips === 1 ? 'chip' : 'chips'}`);
  if (!Number.isInteger(options.parts) || options.parts < 0 || options.parts > partsMax) throw new UsageError(`\`--parts ${options.parts}\`: a step is worked on in 1 to ${partsMax} parts`);
  if (!Number.isInteger(options.prefillRows) || options.prefillRows < 0 || options.prefillRows > mostRows) throw new UsageError(`\`--prefill-rows ${options.prefillRows}\`: a step has 1 to ${mostRows} rows`);
  if (options.prefillRows > 0 && options.batch > 0) throw new UsageError('`--prefill-rows` says what `--batch` does: give one or the other');
  const lent = options.lend === '' ? undefined : Number(options.lend);
  if (lent !== undefined && !lendings(machine).includes(lent)) throw new UsageError(`\`--lend ${options.lend}\`: \`${machine.name}\` may lend ${lendings(machine).join(', ')} of its ${machine.arrays.count.value} matrix arrays`);
  const asked = { ...options, batch: Math.ceil(options.batch / replicas) };
  const on = { machine, tp, ep, pp, replicas, stageShare: options.stageShare || stageShare(1), parts: options.parts || 1, lent, precision: options.precision === 'bf16' ? 'bf16' : 'fp8', ...(options.stages === '' ? {} : { cut: cutNamed(options.stages, pp) }), ...(options.pageRows === 0 ? {} : { pageRows: options.pageRows }) } as const;
  return { ...on, serve: (module) => servingOf(module, asked, on, options) };
}

/** Rows of a page that an instruction can say. */
const mostPageRows = 1024;

/** `11,11,10`: layers of each of `pp` stages. */
function cutNamed(list: string, pp: number): readonly number[] {
  const cut = list.split(',').map(Number);
  if (!cut.every((layers) => Number.isInteger(layers) && layers > 0)) throw new UsageError(`\`--stages ${list}\`: whole numbers of layers, separated by commas`);
  if (cut.length !== pp) throw new UsageError(`\`--stages ${list}\`: ${cut.length} stages, and \`--pp\` says ${pp}`);
  return cut;
}

/** The report of a compiled model, whose program does not stop. */
export function reportOf({ program, workload }: Compiled, programBytes: number): CostReport {
  const report = steadyReport(program, programBytes, workload, { steps: reportedSteps });
  if (typeof report === 'string') throw new Error(`internal: the timing simulator stopped: ${report}`);
  return report;
}

function claimOf({ program, workload }: Compiled, programBytes: number): ClaimReport {
  const timing = steadyTiming(program, workload, { steps: reportedSteps, path: false });
  if (typeof timing === 'string') throw new Error(`internal: the timing simulator stopped: ${timing}`);
  return claimReport(program, timing, buildReport(program, programBytes, timing, workload));
}

type Results = { readonly compiled: Compiled; readonly bytes: Uint8Array; readonly report: CostReport };

async function writeArtefacts(source: Source, options: Options, imported: Imported, { compiled, bytes, report }: Results): Promise<ReturnType<Artefacts['publish']>> {
  const artefacts = new Artefacts(options.out === '' ? source.folder : options.out);
  try {
    await artefacts.add(`${source.name}.sohu`, [bytes]);
    if (options.weights && imported.store !== undefined) await artefacts.add(`${source.name}.sohw`, weightImages(compiled, imported.store, sameRoom()));
    await artefacts.add(`${source.name}.report.json`, [`${JSON.stringify(report, undefined, 2)}\n`]);
    await artefacts.add(`${source.name}.report.html`, [renderHtml(report)]);
    return artefacts.publish();
  } finally {
    artefacts.discard();
  }
}

/** The weight regions of all chips, one after the other, each as long as the program says. Pieces lie in `room`: in one that is used again, until the next is asked for. */
export function* weightImages({ stages, program }: Compiled, store: NonNullable<Imported['store']>, room?: Room): Generator<Uint8Array> {
  const regionBytes = program.regions.find(({ base }) => base === 'weights')?.bytes ?? 0;
  for (const { tile, graph, layout } of stages) {
    const from = { graph, values: new WeightValues(store, tile.chips), tile: tile.tile, lineBytes: program.machine.sram.lineBytes.value, room };
    for (let rank = 0; rank < tile.chips; rank++) {
      yield* packWeights(tile, layout, from, rank);
      if (layout.regions.weights < regionBytes) yield new Uint8Array(regionBytes - layout.regions.weights);
    }
  }
}

function stageDetail(made: Made): string {
  if ('graph' in made) return opCount(made.graph);
  if ('tile' in made) return tileDetail(made.tile);
  return `${made.program.semaphores.length} semaphores`;
}

const opCount = ({ body }: GraphModule): string => `${body.ops.length + body.ops.reduce((sum, op) => sum + (op.kind === 'loop' ? op.body.ops.length : 0), 0)} ops`;
const tileDetail = ({ buffers }: TileModule): string => `${buffers.length} buffers`;
