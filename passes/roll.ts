import type { Block, Cache, GraphModule, GraphOp } from '../ir/graph/module.ts';
import type { TensorType, ValueId } from '../ir/types.ts';
import type { Weight, WeightExpr } from '../ir/weights.ts';
import { compact } from './rewrite.ts';

/**
 * n isomorphic runs of ops, each reading the one before = one loop. Two runs are isomorphic when op for op they do the same to
 * operands at the same distance, and only their weights (and caches) differ. The longest stretch of such runs is rolled.
 */
export function roll(module: GraphModule): GraphModule {
  const ops = module.body.ops.filter((op) => op.kind !== 'weight');
  const weightOps = new Map(module.body.ops.flatMap((op) => (op.kind === 'weight' ? [[op.results[0] as ValueId, op] as const] : [])));
  const weights = new Map(module.weights.map((weight) => [weight.name, weight]));
  const weightOf = (value: ValueId): Weight | undefined => {
    const op = weightOps.get(value);
    return op === undefined ? undefined : weights.get(op.attrs.name);
  };
  const definedAt = new Map(ops.flatMap((op, i) => op.results.map((result, r) => [result, { i, r }] as const)));
  if (ops.some((op) => op.kind === 'loop')) return module;

  const signatures = ops.map((op, i) => signature(op, i, module, definedAt, weightOf));
  const run = longestRun(signatures);
  if (run === undefined) return module;
  return new Rolling(module, ops, definedAt, weightOf, run).rolled() ?? module;
}

type Place = { readonly i: number; readonly r: number };
type Run = { readonly start: number; readonly period: number; readonly trip: number };

function signature(op: GraphOp, i: number, module: GraphModule, definedAt: ReadonlyMap<ValueId, Place>, weightOf: (value: ValueId) => Weight | undefined): string {
  const operands = op.operands.map((value) => {
    const weight = weightOf(value);
    if (weight !== undefined) return `weight ${weight.dtype} ${weight.shape.join('x')} ${weight.instances.length}`;
    const place = definedAt.get(value);
    return place === undefined ? `value ${value}` : `back ${i - place.i}.${place.r}`;
  });
  const attrs = op.kind === 'attention' && op.attrs.cache !== '' ? { ...op.attrs, cache: 'kv' } : op.attrs;
  return JSON.stringify([op.kind, attrs, operands, op.results.map((result) => module.types[result])]);
}

/** The stretch that repeats with some period over the most ops; of equals, the shortest period, then the first. */
function longestRun(signatures: readonly string[]): Run | undefined {
  let best: Run | undefined;
  for (let period = 1; period <= signatures.length / 2; period++) {
    for (let start = 0; start + 2 * period <= signatures.length; ) {
      let length = 0;
      while (start + length + period < signatures.length && signatures[start + length] === signatures[start + length + period]) length++;
      const trip = Math.floor(length / period) + 1;
      if (trip > 1 && trip * period > (best === undefined ? 0 : best.trip * best.period)) best = { start, period, trip };
      start += length + 1;
    }
  }
  return best;
}

class Rolling {
  readonly #module: GraphModule;
  readonly #ops: readonly GraphOp[];
  readonly #definedAt: ReadonlyMap<ValueId, Place>;
  readonly #weightOf: (value: ValueId) => Weight | undefined;
  readonly #run: Run;
  readonly #types: TensorType[];
  readonly #weights: Weight[] = [];
  /** Values of the run before that an iteration reads, by their place in a run, and the parameter each arrives in. */
  readonly #carried = new Map<string, { readonly place: Place; readonly param: ValueId; readonly initial: ValueId }>();

  constructor(module: GraphModule, ops: readonly GraphOp[], definedAt: ReadonlyMap<ValueId, Place>, weightOf: (value: ValueId) => Weight | undefined, run: Run) {
    this.#module = module;
    this.#ops = ops;
    this.#definedAt = definedAt;
    this.#weightOf = weightOf;
    this.#run = run;
    this.#types = [...module.types];
  }

  /** An op reads further back than the run before. */
  #reachesBack = false;

  /** Undefined when an op reads further back than one run, or something outside reads what only one iteration has. */
  rolled(): GraphModule | undefined {
    const { start, period, trip } = this.#run;
    const end = start + period * trip;
    const body = this.#body();
    if (this.#reachesBack) return undefined;
    const results = new Map<ValueId, ValueId>();
    for (const value of this.#readAfter(end)) {
      const place = this.#definedAt.get(value);
      if (place === undefined || place.i < start || place.i >= end) continue;
      const carried = this.#carried.get(`${(place.i - start) % period}.${place.r}`);
      if (place.i < end - period || carried === undefined) return undefined;
      results.set(value, this.#fresh(value));
    }
    const carried = [...this.#carried.values()];
    const loopResults = carried.map(({ place }) => {
      const last = this.#ops[start + (trip - 1) * period + place.i]?.results[place.r] as ValueId;
      return results.get(last) ?? this.#fresh(last);
    });
    const loop: GraphOp = {
      kind: 'loop', attrs: { trip }, operands: carried.map(({ initial }) => initial), results: loopResults,
      origin: { kind: 'derived', by: 'roll', from: [] },
      body: { params: carried.map(({ param }) => param), ops: body, yields: carried.map(({ place }) => this.#ops[start + place.i]?.results[place.r] as ValueId) },
    };
    const rename = (value: ValueId): ValueId => results.get(value) ?? value;
    const outside = this.#module.body.ops.filter((op) => {
      const at = this.#definedAt.get(op.results[0] as ValueId)?.i ?? -1;
      return op.kind === 'weight' || at < start || at >= end;
    });
    const before = outside.filter((op) => op.kind === 'weight' || (this.#definedAt.get(op.results[0] as ValueId)?.i ?? -1) < start);
    const after = outside.filter((op) => !before.includes(op)).map((op) => ({ ...op, operands: op.operands.map(rename) }) as GraphOp);
    const block: Block = { params: this.#module.body.params, ops: [...before, loop, ...after], yields: this.#module.body.yields.map(rename) };
    return compact({ ...this.#module, types: this.#types, weights: [...this.#module.weights, ...this.#weights], caches: this.#caches(), body: block });
  }

  /** The first run's ops, reading parameters for what came before it and stacked weights. */
  #body(): readonly GraphOp[] {
    const { start, period } = this.#run;
    return this.#ops.slice(start, start + period).flatMap((op, at) => {
      const stacked: GraphOp[] = [];
      const operands = op.operands.map((value, o) => {
        if (this.#weightOf(value) !== undefined) {
          const made = this.#stack(at, o);
          stacked.push({ kind: 'weight', attrs: { name: made.name }, operands: [], results: [this.#fresh(value)], origin: op.origin, body: undefined });
          return stacked[stacked.length - 1]?.results[0] as ValueId;
        }
        const place = this.#definedAt.get(value);
        if (place === undefined || place.i >= start) return value;
        if (place.i < start - period) this.#reachesBack = true;
        return this.#carry(value, place);
      });
      const attrs = op.kind === 'attention' && op.attrs.cache !== '' ? { ...op.attrs, cache: rolledCache } : op.attrs;
      return [...stacked, { ...op, operands, attrs } as GraphOp];
    });
  }

  #carry(initial: ValueId, place: Place): ValueId {
    const inRun = { i: place.i - this.#run.start + this.#run.period, r: place.r };
    const key = `${inRun.i}.${inRun.r}`;
    const known = this.#carried.get(key);
    if (known !== undefined) return known.param;
    const param = this.#fresh(initial);
    this.#carried.set(key, { place: inRun, param, initial });
    return param;
  }

  /** The weights that operand `o` of op `at` of each run is, as the instances of one. */
  #stack(at: number, o: number): Weight {
    const { start, period, trip } = this.#run;
    const each = Array.from({ length: trip }, (_, r) => this.#weightOf(this.#ops[start + r * period + at]?.operands[o] as ValueId) as Weight);
    const [first] = each as [Weight];
    const name = [templateOf(each.map((weight) => weight.name)), `${first.name}*`].find((candidate) => candidate !== undefined && !this.#taken(candidate)) ?? `${first.name}*${this.#weights.length}`;
    const weight: Weight = { ...first, name, instances: each.map(({ instances }) => instances[0] as WeightExpr) };
    this.#weights.push(weight);
    return weight;
  }

  readonly #taken = (name: string): boolean => [...this.#module.weights, ...this.#weights].some((weight) => weight.name === name);

  #caches(): readonly Cache[] {
    const { start, period, trip } = this.#run;
    const sites = this.#ops.slice(start, start + period * trip).flatMap((op) => (op.kind === 'attention' && op.attrs.cache !== '' ? [op.attrs] : []));
    const [site] = sites;
    if (site === undefined) return this.#module.caches;
    const merged = new Set(sites.map(({ cache }) => cache));
    const others = this.#module.caches.filter((cache) => !merged.has(cache.name));
    return [{ name: rolledCache, layers: sites.length, kvHeads: site.kvHeads, headDim: site.headDim }, ...others];
  }

  *#readAfter(end: number): Generator<ValueId> {
    for (const op of this.#ops.slice(end)) yield* op.operands;
    yield* this.#module.body.yields;
  }

  #fresh(like: ValueId): ValueId {
    this.#types.push(this.#types[like] as TensorType);
    return (this.#types.length - 1) as ValueId;
  }
}

/** The cache the rolled layers share. */
const rolledCache = 'kv';

/** Names that differ in one number alone, with `{}` in its place. */
function templateOf(names: readonly string[]): string | undefined {
  const split = names.map((name) => name.split(/(\d+)/));
  const [first] = split as [string[]];
  const differing = first.flatMap((_, i) => (split.every((parts) => parts[i] === first[i]) ? [] : [i]));
  const [at] = differing;
  if (differing.length !== 1 || at === undefined || at % 2 === 0 || split.some((parts) => parts.length !== first.length)) return undefined;
  return first.map((part, i) => (i === at ? '{}' : part)).join('');
}
