/** Tokens of semaphores (of any chip, by `key`) with who gave them: the k-th taken is the k-th given. */
export class Tokens<Giver> {
  readonly #given = new Map<number, Giver[]>();

  give(key: number, count: number, giver: Giver): void {
    const given = this.#given.get(key) ?? [];
    for (let i = 0; i < count; i++) given.push(giver);
    this.#given.set(key, given);
  }

  /** Whose the next `count` tokens are, which are there. */
  take(key: number, count: number): readonly Giver[] {
    return this.#given.get(key)?.splice(0, count) ?? [];
  }
}
