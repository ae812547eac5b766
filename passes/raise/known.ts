/** What was found of values that many layers share, by a text that says all the finding depends on. */
export class Known {
  readonly #found = new Map<string, unknown>();

  recall<T>(key: string, find: () => T): T {
    if (!this.#found.has(key)) this.#found.set(key, find());
    return this.#found.get(key) as T;
  }
}
