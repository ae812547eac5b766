/** Keys and values of one sequence in one cache: `rows` rows, each all KV heads side by side. */
export type Cached = { readonly keys: Float64Array; readonly values: Float64Array; readonly rows: number };

/** Which cache of which sequence: `layer` counts the iterations of the loops around the attention. */
export type CacheKey = { readonly cache: string; readonly layer: number; readonly sequence: number; readonly chip: number };

/** What attentions remember between steps. */
export class KvState {
  readonly #cached = new Map<string, Cached>();

  /**
   * Puts the rows after the first `past` of a sequence, and returns all of them. Rows beyond `past` that were there are
   * forgotten; fewer than `past` is an error of the caller.
   */
  append(key: CacheKey, past: number, keys: Float64Array, values: Float64Array, rows: number): Cached {
    const name = `${key.cache}/${key.layer}/${key.sequence}/${key.chip}`;
    const old = this.#cached.get(name);
    if ((old?.rows ?? 0) < past) throw new Error(`sequence ${key.sequence} has ${old?.rows ?? 0} rows in cache \`${key.cache}\`, not ${past}`);
    const made = { keys: joined(old?.keys, past, keys, rows), values: joined(old?.values, past, values, rows), rows: past + rows };
    this.#cached.set(name, made);
    return made;
  }

  /** Drops everything cached of a sequence. */
  forget(sequence: number): void {
    for (const name of this.#cached.keys()) if (name.split('/').at(-2) === String(sequence)) this.#cached.delete(name);
  }
}

/** The first `past` rows of `old`, then `rows` rows, in a store that doubles when it is full. */
function joined(old: Float64Array | undefined, past: number, added: Float64Array, rows: number): Float64Array {
  if (rows === 0) return old ?? added;
  const width = added.length / rows;
  const start = past * width;
  const fits = old !== undefined && old.length >= start + added.length;
  const store = fits ? old : new Float64Array(2 * (start + added.length));
  if (!fits && old !== undefined) store.set(old.subarray(0, start));
  store.set(added, start);
  return store;
}
