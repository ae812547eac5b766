import type { Diagnostics } from '../../diagnostics/diagnostic.ts';
import type { TensorStore, WeightExpr } from '../../ir/weights.ts';

/**
 * The account of a checkpoint's tensors while a network is built: each use names a tensor and its exact shape. Names are
 * completed with the prefix the checkpoint uses.
 */
export class Tensors {
  readonly #expected = new Map<string, readonly number[]>();
  readonly #store: TensorStore | undefined;
  readonly #prefix: string;

  /** `probe` is a tensor of the body, whose name in the store shows the prefix; without a store it is the first candidate. */
  constructor(store: TensorStore | undefined, prefixes: readonly string[], probe: string) {
    this.#store = store;
    this.#prefix = prefixes.find((prefix) => store?.describe(`${prefix}${probe}`) !== undefined) ?? prefixes[0] ?? '';
  }

  /** A tensor of the body. `older` spells the end of its name as older writers did. */
  body(name: string, shape: readonly number[], older?: readonly [from: string, to: string]): WeightExpr {
    return this.whole(this.nameOf(name, older), shape);
  }

  /** A tensor by its whole name. */
  whole(name: string, shape: readonly number[]): WeightExpr {
    this.#expected.set(name, shape);
    return { kind: 'tensor', name };
  }

  nameOf(name: string, older?: readonly [from: string, to: string]): string {
    const full = `${this.#prefix}${name}`;
    if (older === undefined || this.#store === undefined || this.#store.describe(full) !== undefined) return full;
    const other = `${full.slice(0, full.length - older[0].length)}${older[1]}`;
    return full.endsWith(older[0]) && this.#store.describe(other) !== undefined ? other : full;
  }

  get expected(): ReadonlyMap<string, readonly number[]> {
    return this.#expected;
  }
}

/** Stored tensors that no program needs, and why. */
const ignored: readonly { readonly pattern: RegExp; readonly why: string }[] = [
  { pattern: /rotary_emb\.(inv_freq|cos_cached|sin_cached)$/, why: 'angles are computed from the config' },
  { pattern: /\.attn\.(bias|masked_bias)$|\.attention\.(bias|masked_bias)$/, why: 'a stored causal mask' },
  { pattern: /position_ids$|token_type_ids$/, why: 'a stored list of indices' },
];

/**
 * Compares what the network takes with what the checkpoint has: missing tensors and other shapes are E2005, tensors nobody
 * takes W2008. Names that differ in their layer alone are told once.
 */
export function checkTensors(expected: ReadonlyMap<string, readonly number[]>, store: TensorStore, diagnostics: Diagnostics): void {
  const groups = new Map<string, { readonly code: 'E2005' | 'W2008'; readonly first: string; readonly text: string; count: number }>();
  const add = (code: 'E2005' | 'W2008', name: string, text: string): void => {
    const key = `${code} ${name.replace(/\d+/g, '*')} ${text}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { code, first: name, text, count: 1 });
    else group.count++;
  };
  for (const [name, shape] of expected) {
    const found = store.describe(name);
    if (found === undefined) add('E2005', name, `is missing; the config asks for [${shape.join(', ')}]`);
    else if (found.shape.length !== shape.length || found.shape.some((dim, i) => dim !== shape[i])) add('E2005', name, `has shape [${found.shape.join(', ')}]; the config asks for [${shape.join(', ')}]`);
    else if (/^[iu]|bool/.test(found.dtype)) add('E2005', name, `is stored as ${found.dtype}, but weights are floats`);
  }
  for (const name of store.names()) {
    if (!expected.has(name)) add('W2008', name, `is not used (${ignored.find(({ pattern }) => pattern.test(name))?.why ?? 'it is not part of the network the config describes'})`);
  }
  for (const { code, first, text, count } of groups.values()) {
    const more = count === 1 ? '' : ` (and ${count - 1} more of ${first.replace(/\d+/g, '*')})`;
    diagnostics.report({ code, message: `\`${first}\`${more} ${text}`, origin: { kind: 'tensor', name: first } });
  }
}
