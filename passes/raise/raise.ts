import { equalDims } from '../../ir/dims.ts';
import { type Diagnostics, type Origin, sourcesOf } from '../../diagnostics/diagnostic.ts';
import type { Cache, GraphModule, GraphOp, Output, SourceInterface, Unfold } from '../../ir/graph/module.ts';
import { axisOf } from '../../ir/graph/infer-primitives.ts';
import { isWide } from '../../ir/graph/interpret/casts.ts';
import type { Dim, ValueId } from '../../ir/types.ts';
import type { TensorStore } from '../../ir/weights.ts';
import { nearMisses } from '../recognise/recognise.ts';
import { accountFor } from './accounts.ts';
import { liftArithmetic, liftFactor } from './arithmetic.ts';
import { liftAttention } from './attention.ts';
import { merged } from './axes.ts';
import { liftActivation, liftNorm, liftRope } from './blocks.ts';
import { type Elements, elementsOf, rowsOfElements } from './elements.ts';
import { emit } from './emit.ts';
import { CannotEvaluate } from '../evaluate-op.ts';
import { coneOf } from './evaluate.ts';
import { liftCustom } from './custom.ts';
import { liftExperts } from './experts.ts';
import { keepsLast, shortest } from './kept.ts';
import { Known } from './known.ts';
import { liftLookup, liftPositions } from './lookup.ts';
import { liftMean } from './pool.ts';
import { liftProduct } from './products.ts';
import { type Lifted, type Raising, unlimitedPositions } from './raising.ts';
import { isolated, type RowNode, type Sample, type View, wholeRows } from './rows.ts';
import { indexSource, type Source } from './source.ts';
import { liftConcat, liftPick, liftView } from './views.ts';

/**
 * A recognised source graph as a module of row ops: axes become sequences, rows and features, masks and angles what they evaluate to. Values that are no part of a transformer are reported, all of
 * them (E3001, E3002); the module then comes back as it was.
 */
export function raise(module: GraphModule, store: TensorStore, diagnostics: Diagnostics): GraphModule {
  const source = indexSource(module, store);
  const lifting = new Lifting(source);
  const reached = new Set<ValueId>();
  for (const value of module.body.yields) for (const each of coneOf(source, value, (known) => reached.has(known))) reached.add(each);
  for (const value of reached) if (isLinear(source, value)) lifting.view(value);
  const results = module.outputs.map((output, i) => lifting.result(module.body.yields[i] as ValueId, output.name));
  if (lifting.problems.length > 0 || results.includes(undefined)) {
    report(lifting.problems, source, diagnostics);
    return module;
  }
  const rows = results.flatMap((result, i) => (result?.role === 'result' ? [{ row: result.row, name: (module.outputs[i] as Output).name }] : []));
  const { unfolds, ...emitted } = emit(rows.map(({ row }) => row));
  const layers = emitted.body.ops.filter((op) => op.kind === 'attention').length;
  const tables = emitted.body.ops.flatMap((op) => (op.kind === 'embed' && isPositional(op, emitted.body.params, emitted.inputs) ? [emitted.types[op.operands[1] as ValueId]?.shape[0] as number] : []));
  const fixed = unfolds.flatMap(({ before, of, rows: parts }) => (of === 'tokens' && parts.every(({ size }) => typeof size === 'number') ? [before + parts.reduce((count, { size }) => count * (size as number), 1)] : []));
  const known = [...emitted.body.ops.flatMap((op) => (op.kind === 'rope' ? [op.attrs.positions] : [])), ...tables, ...fixed];
  return {
    name: module.name,
    family: module.family,
    customLayers: module.customLayers,
    ...emitted,
    outputs: rows.map(({ row, name }) => ({ name, rows: row.of === 'samples' ? row.of : 'tokens' })),
    caches: lifting.caches,
    source: {
      interface: interfaceOf(source, lifting, { results: results as readonly Result[], unfolds }),
      nodes: accountFor(source, reached, (value) => lifting.elements(value) !== undefined),
      parameters: module.source.parameters,
      layers,
      maxPositions: Math.min(...(known.length === 0 ? [unlimitedPositions] : known), ...lifting.limits),
    },
  };
}

const isLinear = (source: Source, value: ValueId): boolean => {
  const op = source.definition(value);
  return op?.kind === 'pmatmul' && source.dependence(value) === 'active' && source.dependence(op.operands[1] as ValueId) === 'constant';
};

const isPositional = (op: GraphOp, params: readonly ValueId[], inputs: readonly { readonly feed: string }[]): boolean => inputs[params.indexOf(op.operands[0] as ValueId)]?.feed === 'positions';

/** An output of the source: rows the module hands back, or a cache as it stands after the step. */
type Result = { readonly role: 'result'; readonly row: RowNode } | { readonly role: 'presentKey' | 'presentValue'; readonly index: number };

type Problem = { readonly op: GraphOp | undefined; readonly value: ValueId; readonly reason: string };

class Lifting implements Raising {
  readonly source: Source;
  readonly known = new Known();
  readonly problems: Problem[] = [];
  readonly caches: Cache[] = [];
  /** Which cache and half of it the keys or values of a past input, or of an output, are. */
  readonly halves = new Map<string | ValueId, { readonly layer: number; readonly half: 'Key' | 'Value' }>();
  sample: Sample | undefined;
  readonly #views = new Map<ValueId, View | undefined>();
  readonly #elements = new Map<ValueId, Elements | undefined>();

  constructor(source: Source) {
    this.source = source;
  }

  /** Bound, so that it can be mapped over operands. */
  readonly view = (value: ValueId): View | undefined => {
    if (!this.#views.has(value)) {
      const lifted = this.#evaluated(value);
      if (typeof lifted === 'string') this.problems.push({ op: this.source.definition(value), value, reason: lifted });
      this.#views.set(value, typeof lifted === 'string' ? undefined : lifted);
    }
    return this.#views.get(value);
  };

  readonly limits: number[] = [];
  limit(positions: number): void {
    this.limits.push(positions);
  }

  samples(sample: Sample): boolean {
    this.sample ??= sample;
    return this.sample === sample;
  }

  readonly isResult = (value: ValueId): boolean => this.source.module.body.yields.includes(value) && this.source.uses(value) === 1;

  readonly #windows = new Map<string, number>();
  sees(cache: string, window: number): void {
    const known = this.#windows.get(cache) ?? window;
    this.#windows.set(cache, known === 0 || window === 0 ? 0 : Math.max(known, window));
  }

  /** Why an output is not all that a later step needs of a cache: it keeps no more of it than that, or so much that shorter sequences miss nothing. */
  #forgets(value: ValueId, layer: number, kept: number): string | undefined {
    const window = this.#windows.get(`kv.${layer}`) ?? 0;
    const op = this.source.definition(value);
    if (op?.kind === 'ppick') {
      const isEnough = window > 0 && keepsLast(this.source, op.operands[1] as ValueId, axisOf(op.attrs.axis, 4), window);
      return isEnough ? undefined : 'it keeps some rows of a cache, and others are attended to';
    }
    if (window > 0 && window <= kept + 1) return undefined;
    if (kept < shortest) return `it keeps only the last ${kept} rows of a cache, and ${window === 0 ? 'all' : `the last ${window}`} are attended to`;
    this.limit(kept);
    return undefined;
  }

  cacheOf(keys: string | ValueId, values: string | ValueId, shape: { readonly kvHeads: number; readonly headDim: number }): string {
    const layer = this.halves.get(keys)?.layer ?? this.caches.length;
    const name = `kv.${layer}`;
    if (layer === this.caches.length) {
      this.caches.push({ name, layers: 1, ...shape });
      this.halves.set(keys, { layer, half: 'Key' });
      this.halves.set(values, { layer, half: 'Value' });
    }
    return name;
  }

  /** What an output is: whole rows, or the keys or values of a cache, heads before rows. */
  result(value: ValueId, name: string): Result | undefined {
    const view = this.view(value);
    if (view === undefined) return undefined;
    const half = this.halves.get(view.past ?? (view.kept === undefined ? value : this.source.definition(value)?.operands[0] ?? value));
    const kinds = merged(isolated(view)?.layout.axes.flat() ?? []).map(({ axis }) => axis).join(' ');
    const forgets = half === undefined || view.kept === undefined ? undefined : this.#forgets(value, half.layer, view.kept);
    if (forgets !== undefined || (half === undefined && view.kept !== undefined)) {
      this.problems.push({ op: this.source.definition(value), value, reason: forgets ?? 'it keeps only the last rows of each sequence' });
      return undefined;
    }
    if (half !== undefined && view.scale === 1 && /^(batch )?(feature )?(key|row)( feature)?$/.test(kinds)) return { role: `present${half.half}`, index: half.layer };
    const row = wholeRows(view);
    if (row?.of === 'memory') {
      this.problems.push({ op: this.source.definition(value), value, reason: `output \`${name}\` is of rows that are only attended to` });
      return undefined;
    }
    if (row !== undefined) return { role: 'result', row };
    // Keys and values of an attention that was not recognised: that has been told.
    if (this.problems.length > 0 && this.source.type(value).shape.length === 4) return undefined;
    this.problems.push({ op: this.source.definition(value), value, reason: `output \`${name}\` is neither the features of each token nor a cache` });
    return undefined;
  }

  /** A source may be such that it cannot run at the sizes it is looked at. */
  #evaluated(value: ValueId): Lifted {
    try {
      return this.#lift(value);
    } catch (error) {
      if (!(error instanceof CannotEvaluate)) throw error;
      return `it could not be evaluated: ${error.message}`;
    }
  }

  readonly elements = (value: ValueId): Elements | undefined => {
    if (!this.#elements.has(value)) this.#elements.set(value, elementsOf(value, this));
    return this.#elements.get(value);
  };

  #lift(value: ValueId): Lifted {
    const { source } = this;
    const elements = this.elements(value);
    if (elements !== undefined) return rowsOfElements(elements, this);
    const op = source.definition(value);
    if (op === undefined) return `input \`${source.name(value) ?? ''}\` is neither looked up in a table nor the elements of rows: only token ids, positions, token types, masks, pasts and activations are taken`;
    switch (op.kind) {
      case 'pcast':
        return isWide(source.type(value).dtype) ? this.view(op.operands[0] as ValueId) : 'it rounds activations to a format of its own';
      case 'pmatmul':
        return liftProduct(op, this);
      case 'pgather':
        return source.dependence(op.operands[0] as ValueId) === 'constant' ? liftLookup(op, this) : liftView(op, this);
      case 'ppick':
        return liftPick(op, this);
      case 'pslice':
        return source.dependence(op.operands[0] as ValueId) === 'constant' ? liftPositions(op, this) : liftView(op, this);
      case 'ptranspose':
      case 'pexpand':
      case 'preshape':
        return liftView(op, this);
      case 'pconcat':
        return liftConcat(op, this);
      case 'tattention':
        return liftAttention(op, this);
      case 'tnorm':
        return liftNorm(op, this);
      case 'trope':
        return liftRope(op, this);
      case 'tmoe':
        return liftExperts(op, this);
      case 'tactivate':
        return liftActivation(op, this);
      case 'custom':
        return liftCustom(op, this);
      case 'preduce':
        return liftMean(op, this) ?? 'it is part of nothing a transformer computes';
      case 'pbinary':
      case 'punary':
        return (op.attrs.fn === 'div' ? liftMean(op, this) : undefined) ?? (liftFactor(op, this) ?? { lifted: liftArithmetic(op, this) }).lifted;
      default:
        return 'it is part of nothing a transformer computes';
    }
  }
}

function interfaceOf(source: Source, lifting: Lifting, { results, unfolds }: { readonly results: readonly Result[]; readonly unfolds: readonly Unfold[] }): SourceInterface {
  let index = 0;
  const isUnused = (param: ValueId): boolean => source.role(param) === 'rows' && !unfolds.some(({ tensor }) => tensor === source.name(param));
  const inputs = source.module.body.params.filter((param) => !isUnused(param)).map((param): SourceInterface['inputs'][number] => {
    const name = source.name(param) as string;
    const half = lifting.halves.get(name);
    const role = source.role(param);
    const isOfMemory = role === 'mask' && source.axes.memory !== undefined && equalDims(source.type(param).shape.at(-1) as Dim, source.axes.memory);
    return { name, role: half === undefined ? (isOfMemory ? 'memoryMask' : role === 'past' || role === undefined ? 'other' : role) : `past${half.half}`, layer: half?.layer ?? 0 };
  });
  const outputs = results.map((result, i): SourceInterface['outputs'][number] => ({
    name: (source.module.outputs[i] as Output).name,
    role: result.role,
    index: result.role === 'result' ? index++ : result.index,
  }));
  const { fixed = [] } = source.module.source.interface;
  return { inputs, outputs, fixed, ...(unfolds.length === 0 ? {} : { unfolds }), ...(lifting.sample === undefined ? {} : { samples: lifting.sample }) };
}

/** The near miss an op that was not raised is made of, up to the products before it. */
function nearMissOf(op: GraphOp, source: Source, misses: ReadonlyMap<GraphOp, string>): string | undefined {
  const [value] = op.results as readonly [ValueId];
  const isBefore = (each: ValueId): boolean => each !== value && source.definition(each)?.kind === 'pmatmul';
  return coneOf(source, value, isBefore).toReversed().map((each) => misses.get(source.definition(each) as GraphOp)).find((reason) => reason !== undefined);
}

/** Every problem once: those that say the same of many nodes together. */
function report(problems: readonly Problem[], source: Source, diagnostics: Diagnostics): void {
  const groups = new Map<string, Problem[]>();
  let known: ReadonlyMap<GraphOp, string> | undefined;
  const misses = (): ReadonlyMap<GraphOp, string> => (known ??= new Map(nearMisses(source.module, source.store).map(({ op, actual }) => [op, actual])));
  for (const problem of problems) {
    const key = `${problem.op?.kind} ${problem.reason}`;
    groups.set(key, [...(groups.get(key) ?? []), problem]);
  }
  for (const group of groups.values()) {
    const [first, ...others] = group as [Problem, ...Problem[]];
    const hint = first.op === undefined ? undefined : nearMissOf(first.op, source, misses());
    const origin: Origin = first.op?.origin ?? { kind: 'none' };
    const node = sourcesOf(origin).at(-1);
    const name = node?.kind === 'onnx' ? `node \`${node.node}\` (${node.op})` : first.op === undefined ? 'an input' : `a \`${first.op.kind}\``;
    diagnostics.report({
      code: 'E3001',
      message: `${name} was not recognised: ${first.reason}${hint === undefined ? '' : ` (${hint})`}`,
      origin,
      notes: others.slice(0, 8).map((problem) => ({ text: 'so is this one', origin: problem.op?.origin ?? { kind: 'none' } })),
      help: 'write the layer as a custom layer, or export the model with another attention implementation',
    });
  }
  if (!source.module.body.ops.some(({ kind }) => kind === 'psoftmax' || kind === 'tattention')) {
    diagnostics.report({ code: 'E3002', message: 'the network has no attention: it has no softmax', origin: { kind: 'none' }, help: 'only transformers can be compiled' });
  }
}
