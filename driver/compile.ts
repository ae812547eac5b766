import { NoRoom } from '../backend-sohu/emit.ts';
import { buildProgram, type Placed } from '../backend-sohu/program.ts';
import { TooManySemaphores } from '../backend-sohu/synchronise.ts';
import { Diagnostics } from '../diagnostics/diagnostic.ts';
import { CustomLayerError } from '../ir/graph/custom.ts';
import { allOps, type GraphModule } from '../ir/graph/module.ts';
import { verifyGraph } from '../ir/graph/verify.ts';
import type { TileModule } from '../ir/tile/module.ts';
import { verifyTile } from '../ir/tile/verify.ts';
import type { DType } from '../ir/types.ts';
import type { TensorStore } from '../ir/weights.ts';
import { lending, type Machine } from '../isa-spec/machine.ts';
import type { Program } from '../isa-spec/program.ts';
import { canonicalisePasses } from '../passes/canonicalise/pipeline.ts';
import { assignFormats, type Precision } from '../passes/formats.ts';
import { fuseActivation } from '../passes/fuse/activation.ts';
import { fuseGated } from '../passes/fuse/gated.ts';
import { fuseResidual } from '../passes/fuse/residual.ts';
import { fuseSharedInput } from '../passes/fuse/shared-input.ts';
import { fusedOps, group, ungroup } from '../passes/group.ts';
import { lowerCustom, withCustomTypes } from '../passes/lower-custom.ts';
import { raise } from '../passes/raise/raise.ts';
import { recognisePasses } from '../passes/recognise/pipeline.ts';
import { roll } from '../passes/roll.ts';
import { shard } from '../passes/shard.ts';
import { cutOf } from '../passes/plan/cut.ts';
import { leadingOf } from '../passes/plan/leading.ts';
import { type GraphStage, layerLoop, stagesOf } from '../passes/stage.ts';
import { partsMax, partsSure } from '../passes/tile/parts.ts';
import { reportUnlowerable } from '../passes/tile/tile.ts';
import { grouped } from '../report/format.ts';
import { firstFinding } from '../verifier/verify.ts';
import { type Phase, phases } from './options.ts';
import { type Chips, type Kind, leastBytes, memoryOf, type MemoryMap, place } from './placement.ts';
import { lendingsOf, type Serving } from './serving.ts';
import type { Workload } from './workload.ts';

/** A model as a frontend hands it over: a source graph (`primitive`) or transformer rows, and its tensors if it has any. */
export type Imported =
  | { readonly module: GraphModule; readonly primitive: true; readonly store: TensorStore; readonly tensors?: undefined }
  | { readonly module: GraphModule; readonly primitive: false; readonly store: TensorStore | undefined; readonly tensors: Shapes };

/** Types of the tensors a model without weights would have. */
type Shapes = ReadonlyMap<string, { readonly dtype: DType; readonly shape: readonly number[] }>;

/** How to compile: on what chips, in which formats, and what to serve. `offers`: told with a refusal for want of memory, what of the model (fused, and not yet divided) would fit. */
export type Target = Chips & { readonly precision: Precision; readonly serve: (module: GraphModule) => Serving; readonly offers?: (whole: GraphModule) => readonly string[] };

/** What a stage makes. */
export type Made = { readonly graph: GraphModule } | { readonly tile: TileModule } | { readonly program: Program };
/** Told of every stage as it ends; `until` is the last phase that is run. `isProved` false: the program is for comparison alone, and the verifier is not asked. */
export type Watch = { readonly until: Phase; readonly ended: (phase: Phase, name: string, made: Made) => void; readonly isProved?: boolean };

/** A compiled model: the program, and what it was on the way. `rows`: in double precision the source's meaning; `normative`: the program's, to the bit. */
export type Compiled = {
  readonly rows: GraphModule;
  readonly normative: GraphModule;
  /** One, or as many as the pipeline has. */
  readonly stages: readonly Stage[];
  readonly program: Program;
  readonly workload: Workload;
};
/** A stage's part of `normative`, with the tables lowering added to its weights: what its weight region is packed from. */
export type Stage = Omit<Kind, 'like'>;

/** A pass; undefined when it has reported why it cannot. */
type GraphPass = { readonly phase: Phase; readonly name: string; readonly run: (module: GraphModule) => GraphModule | undefined };

/**
 * The passes that make a source graph (or a frontend's rows) the normative graph, in order. Custom layers are lowered after the rows
 * are what the source is compared with, so that their own reference speaks there, and before anything can fuse with them; sharding comes before inputs are shared, while
 * queries, keys and values are still apart; formats come after all that changes what is computed, and grouping last.
 */
export const passesFor = (imported: Pick<Imported, 'primitive' | 'store'>, target: Omit<Target, 'serve' | 'offers'>, diagnostics: Diagnostics): readonly GraphPass[] => [...preparingPasses(imported, diagnostics), ...dividingPasses(target, diagnostics)];

/** The first of them: what they make does not depend on chips or formats. */
export function preparingPasses(imported: Pick<Imported, 'primitive' | 'store'>, diagnostics: Diagnostics): readonly GraphPass[] {
  const store = imported.store ?? noTensors;
  const recognising: readonly GraphPass[] = imported.primitive
    ? [
        ...canonicalisePasses.map((pass) => ({ phase: 'canonicalise' as const, ...pass })),
        ...recognisePasses(store).map((pass) => ({ phase: 'recognise' as const, ...pass })),
        { phase: 'raise', name: 'raise', run: (module) => withCustomTypes(raise(module, store, diagnostics)) },
      ]
    : [];
  return [
    ...recognising,
    { phase: 'roll', name: 'roll', run: roll },
    { phase: 'roll', name: 'lower-custom', run: lowerCustom },
    { phase: 'fuse', name: 'fuse-gated', run: fuseGated },
    { phase: 'fuse', name: 'fuse-activation', run: fuseActivation },
    { phase: 'fuse', name: 'fuse-residual', run: fuseResidual },
  ];
}

/** The last of them: from here on it matters what a model is put on, and in which formats. */
export function dividingPasses(target: Chips & Pick<Target, 'precision'>, diagnostics: Diagnostics): readonly GraphPass[] {
  return [
    { phase: 'shard', name: 'shard', run: (module) => shard(module, target, target.machine, diagnostics) },
    { phase: 'shard', name: 'fuse-shared-input', run: (module) => fuseSharedInput(module, target.machine.sram.lineBytes.value) },
    { phase: 'formats', name: 'formats', run: (module) => assignFormats(module, target.precision, target.machine) },
    { phase: 'group', name: 'group', run: group },
  ];
}

/** The tensors of a model that came without. */
export const noTensors: TensorStore = { describe: () => undefined, read: () => new Float64Array(0), names: () => [] };

/** Runs a pass and holds its module to the rules of the IR. Undefined when the pass has reported why it cannot. */
export function runPass({ name, run }: GraphPass, module: GraphModule, diagnostics: Diagnostics): GraphModule | undefined {
  const made = run(module);
  if (made === undefined || diagnostics.hasErrors) return undefined;
  if (made !== module) mustHold(name, (problems) => verifyGraph(made, problems), name === 'lower-custom' ? made.customLayers : []);
  return made;
}

/**
 * Imported model -> program. Problems of the user's go to `diagnostics`, and nothing comes back; the module is verified after
 * every pass. Pure: no files, no clock, no globals, so the same input gives the same bytes.
 */
export function compile(imported: Imported, target: Target, diagnostics: Diagnostics, watch: Watch = noWatch): Compiled | undefined {
  const prepared = prepare(imported, diagnostics, watch);
  return prepared === undefined ? undefined : compilePrepared(prepared, target, diagnostics, watch);
}

/** A model as far as it is the same whatever it is put on: its rows, and those fused. */
export type Prepared = { readonly rows: GraphModule; readonly whole: GraphModule };

/** Imported model -> what can be put on chips, in several ways. As `compile` otherwise. */
export function prepare(imported: Imported, diagnostics: Diagnostics, { until, ended }: Watch = noWatch): Prepared | undefined {
  ended('import', 'import', { graph: imported.module });
  let rows = imported.module;
  const whole = passed(imported.module, preparingPasses(imported, diagnostics), diagnostics, { until, ended: (phase, name, made) => {
    if (name === 'roll' && 'graph' in made) rows = made.graph;
    ended(phase, name, made);
  } });
  return whole === undefined ? undefined : { rows, whole };
}

/** What is prepared -> program. As `compile` otherwise. */
export const compilePrepared = (prepared: Prepared, target: Target, diagnostics: Diagnostics, watch: Watch = noWatch): Compiled | undefined =>
  blamed(diagnostics, () => compiled(prepared, target, diagnostics, watch));

const noWatch: Watch = { until: 'time', ended: () => {} };

/** Runs passes one after the other. Undefined when one has reported why it cannot, or is not wanted. */
function passed(first: GraphModule, passes: readonly GraphPass[], diagnostics: Diagnostics, { until, ended }: Watch): GraphModule | undefined {
  return blamed(diagnostics, () => {
    let module = first;
    for (const pass of passes) {
      if (!isWanted(pass.phase, until)) return undefined;
      const made = runPass(pass, module, diagnostics);
      if (made === undefined) return undefined;
      module = made;
      ended(pass.phase, pass.name, { graph: module });
    }
    return module;
  });
}

const isWanted = (phase: Phase, until: Phase): boolean => phases.indexOf(phase) <= phases.indexOf(until);

/** What a custom layer does wrong is its author's to hear. */
function blamed<T>(diagnostics: Diagnostics, run: () => T | undefined): T | undefined {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof CustomLayerError)) throw error;
    diagnostics.report({ code: 'E3003', message: error.message, origin: { kind: 'none' } });
    return undefined;
  }
}

function compiled({ rows, whole }: Prepared, target: Target, diagnostics: Diagnostics, watch: Watch): Compiled | undefined {
  const { until, ended, isProved = true } = watch;
  const module = passed(whole, dividingPasses(target, diagnostics), diagnostics, watch);
  if (module === undefined || !isWanted('tile', until)) return undefined;
  reportUnlowerable(module, diagnostics);
  if (diagnostics.hasErrors) return undefined;

  const built = program({ rows, whole, module }, target, diagnostics, watch, partsMax);
  return built !== undefined && isProved ? proved(built, ended) : built;
}

/** The program of a divided model, in no more than `partsMost` parts; in fewer, if those take more of semaphores or registers than there are. */
function program({ rows, whole, module }: Prepared & { readonly module: GraphModule }, target: Target, diagnostics: Diagnostics, watch: Watch, partsMost: number): Compiled | undefined {
  const { until, ended } = watch;
  const { serving, stages: parts, kinds } = placed(ungroup(module), atMost(target, partsMost), atMostOf(target.serve(module), partsMost), diagnostics);
  if (kinds === undefined || diagnostics.hasErrors) return undefined;
  for (const { like, tile } of kinds) {
    mustHold('stage', (problems) => verifyGraph((parts[like] as GraphStage).module, problems));
    mustHold('tile', (problems) => verifyTile(tile).forEach((problem) => problems.report(problem)));
    ended('tile', 'tile', { tile });
  }
  if (!isWanted('emit', until)) return undefined;

  // Before anything is encoded: addresses of what does not fit would not fit their fields.
  const memory = memoryOf(kinds, target.machine);
  if (memory.bytes > memory.capacity) {
    reportTooLarge(memory, target.offers?.(whole) ?? [], diagnostics);
    return undefined;
  }
  const entry = module.caches.length === 0 ? 'encode' : 'step';
  const chipsOf = ({ like }: Kind): readonly number[] => parts.flatMap((part, stage) => (part.like === like ? Array.from({ length: target.tp }, (_, rank) => stage * target.tp + rank) : []));
  const modules = kinds.map((kind): Placed => ({ module: kind.tile, layout: kind.layout, chips: chipsOf(kind), lent: kind.plan.homes.lent }));
  const cut = parts.map(({ module: { body } }) => layerLoop({ body })?.attrs.trip ?? 0);
  const made = tryTo(() => buildProgram(modules, target.machine, entry, programMeta({ rows, normative: module }, target, serving, cut)));
  if (!('entries' in made) && kinds.some(({ plan: { homes } }) => homes.parts.length > partsSure)) return program({ rows, whole, module }, target, diagnostics, watch, partsSure);
  if (made instanceof TooManySemaphores) throw made;
  if (made instanceof NoRoom) {
    reportNoRoom(made, diagnostics);
    return undefined;
  }
  ended('emit', 'emit', { program: made });
  const stages = parts.map(({ module: part, like }): Stage => {
    const { graph, tile, layout, plan } = kinds.find((kind) => kind.like === like) as Kind;
    const tables = graph.weights.slice(part.weights.length);
    return { graph: { ...part, weights: [...part.weights, ...tables] }, tile, layout, plan };
  });
  return { rows, normative: module, stages, program: made, workload: serving.workload };
}

/** The matrix arrays lent to the attention unit: those asked for, or as the step is fastest. */
export const lentOf = (module: GraphModule, on: Chips & Pick<Target, 'precision'>, serving: Serving): number => on.lent ?? (serving.step === undefined ? 0 : lendingsOf(module, serving, on)[0].lent);

/** What is in no more than so many parts. */
const atMost = <T extends Partial<Pick<Chips, 'parts' | 'partsMost'>>>(of: T, most: number): T => ({
  ...of,
  ...(of.parts === undefined ? {} : { parts: Math.min(of.parts, most) }),
  ...(of.partsMost === undefined ? {} : { partsMost: Math.min(of.partsMost, most) }),
});
const atMostOf = (serving: Serving, most: number): Serving => ({ ...atMost(serving, most), instead: serving.instead === undefined ? undefined : atMostOf(serving.instead, most) });

/** The layers of each stage: those asked for, or as the step is fastest. */
export const cutFor = (module: GraphModule, { pp, cut, machine, parts: asked }: Chips, { step, parts = asked }: Serving, lent: number): readonly number[] => cut ?? cutOf(module, pp, step === undefined ? undefined : { machine: lending(machine, lent), step, parts });

/** Places what is to be served; or what is to be served instead, where that does not fit. */
function placed(module: GraphModule, target: Target, serving: Serving, diagnostics: Diagnostics): { readonly serving: Serving; readonly stages: readonly GraphStage[]; readonly kinds: readonly Kind[] | undefined } {
  const { parts = target.parts, partsMost = target.partsMost, stageShare = target.stageShare, stageShareMost = target.stageShareMost, stageShareDeep = target.stageShareDeep, instead } = serving;
  const lent = lentOf(module, target, serving);
  const stages = stagesOf(module, cutFor(module, target, serving, lent), diagnostics);
  if (diagnostics.hasErrors) return { serving, stages, kinds: undefined };
  if (instead !== undefined && leastBytes(stages, serving.bounds, target.precision) > target.machine.hbm.bytes.value) return placed(module, target, instead, diagnostics);
  const problems = instead === undefined ? diagnostics : new Diagnostics();
  const kinds = place(stages, { ...target, parts, partsMost, stageShare, stageShareMost, stageShareDeep, lent }, serving, problems);
  const fits = kinds !== undefined && memoryOf(kinds, target.machine).bytes <= target.machine.hbm.bytes.value;
  return fits || instead === undefined ? { serving: arranged(serving, kinds ?? [], target.machine), stages, kinds } : placed(module, target, instead, diagnostics);
}

/** Serves in steps that suit the plans of all stages. */
function arranged(serving: Serving, kinds: readonly Kind[], machine: Machine): Serving {
  const { step, workload } = serving;
  const leading = step === undefined || kinds.length === 0 ? 0 : Math.min(...kinds.map(({ plan, graph }) => leadingOf(plan, graph, step, machine)));
  return leading === 0 ? serving : { ...serving, workload: { ...workload, leading } };
}

/** A program that was compiled for comparison, proved after all: what the verifier has against one of ours is a bug. */
export function proved(made: Compiled, ended: Watch['ended']): Compiled {
  const finding = firstFinding(made.program);
  if (finding !== undefined) throw new Error(`internal: the program breaks ${finding.rule}: ${[finding.message, ...finding.notes].join('; ')}`);
  ended('emit', 'verify', { program: made.program });
  return made;
}

/** The rules of the IR after a pass of ours: what breaks one is a bug, of a custom layer's if one has just been lowered. */
function mustHold(pass: string, check: (problems: Diagnostics) => void, lowered: GraphModule['customLayers'] = []): void {
  const problems = new Diagnostics();
  check(problems);
  if (!problems.hasErrors) return;
  const broken = problems.all.map(({ message }) => message).join('; ');
  if (lowered.length > 0) throw new CustomLayerError(lowered.map(({ name }) => name).join('`, `'), 'lower', `breaks a rule of the graph: ${broken}`);
  throw new Error(`internal: ${pass} broke the module: ${broken}`);
}

/** What is built; or what it lacks. */
function tryTo<T>(build: () => T): T | NoRoom | TooManySemaphores {
  try {
    return build();
  } catch (error) {
    if (error instanceof NoRoom || error instanceof TooManySemaphores) return error;
    throw error;
  }
}

/** Sizes the instruction words cannot say are the model's: each told once, with the ops that have it. */
function reportNoRoom({ problems }: NoRoom, diagnostics: Diagnostics): void {
  for (const what of new Set(problems.map((problem) => problem.what))) {
    const labels = [...new Set(problems.flatMap((problem) => (problem.what === what ? [`\`${problem.label}\``] : [])))];
    diagnostics.report({ code: 'E4003', message: `${labels.slice(0, 3).join(', ')}${labels.length > 3 ? ` and ${labels.length - 3} more` : ''}: ${what}`, origin: { kind: 'none' }, help: 'the rows are wider, the heads more, or their parts narrower, than an instruction can say' });
  }
}

function programMeta({ rows, normative }: Pick<Compiled, 'rows' | 'normative'>, target: Target, { workload }: Serving, cut: readonly number[]): Program['meta'] {
  const { nodes, parameters, layers } = rows.source;
  const count = (wanted: string): number => nodes.filter(({ disposition }) => disposition === wanted).length;
  return {
    compiler: 'sohuc', model: { name: rows.name, family: rows.family, parameters, layers },
    recognition: { sourceNodes: nodes.length, hardware: count('hardware'), folded: count('folded'), host: count('host'), refused: count('refused'), ...fusedOps({ ...normative, source: rows.source }) },
    precision: target.precision, limits: limitsOf(rows), ...(rows.source.interface.samples === undefined ? {} : { samples: rows.source.interface.samples }), ...(rows.source.interface.unfolds === undefined ? {} : { unfolds: rows.source.interface.unfolds }), workload: { ...workload }, mapping: { machine: target.machine.name, chips: target.tp * target.pp, tp: target.tp, pp: target.pp, ep: target.ep ?? 1, replicas: target.replicas ?? 1, cut },
  };
}

/** How many ids, positions and types there are: rows of the tables they are looked up in. A program reads what lies behind a table as if it were a row. */
function limitsOf({ body, inputs, types }: GraphModule): Readonly<Record<string, number>> {
  const limits = new Map<string, number>();
  const limit = (feed: string, rows: unknown): void => {
    if (typeof rows === 'number') limits.set(feed, Math.min(rows, limits.get(feed) ?? rows));
  };
  for (const op of allOps(body)) {
    const [first, table] = op.operands;
    const feed = inputs[body.params.findIndex((param) => param === first)]?.feed;
    if (op.kind === 'embed' && feed !== undefined && table !== undefined) limit(feed, types[table]?.shape[0]);
    else if (op.kind === 'rope') limit('positions', op.attrs.positions);
  }
  return Object.fromEntries([...limits].toSorted());
}

/** HBM is too small: by what, by how much, and what would fit. */
function reportTooLarge({ regions, bytes, capacity }: MemoryMap, offers: readonly string[], diagnostics: Diagnostics): void {
  const parts = regions.map((region) => `${region.base} ${grouped(region.bytes)}`).join(', ');
  diagnostics.report({
    code: 'E4001', message: `a chip needs ${grouped(bytes)} bytes of HBM and has ${grouped(capacity)}: ${grouped(bytes - capacity)} too few`, origin: { kind: 'none' },
    notes: [parts, ...offers].map((text) => ({ text })),
    help: 'spread the model over more chips (`--tp`, `--pp`), or serve fewer or shorter requests (`--batch`, `--isl`, `--osl`); `sohuc fits` lists what fits',
  });
}
