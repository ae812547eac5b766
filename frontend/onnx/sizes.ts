import { equalDims, sizesOf, substituteDim } from '../../ir/dims.ts';
import type { Dim } from '../../ir/types.ts';

/**
 * The names of the source's sizes, and which of them turn out to be the same: a name that has to be equal to an expression for
 * the graph to fit is replaced by it.
 */
export class Sizes {
  readonly #names: string[] = [];
  readonly #equal = new Map<string, Dim>();

  /** Makes a size known; those that come first survive. */
  declare(dim: Dim): void {
    for (const name of sizesOf(dim)) if (!this.#names.includes(name)) this.#names.push(name);
  }

  /** The expression by what has been found so far. */
  settle(dim: Dim): Dim {
    if (this.#equal.size === 0) return dim;
    return typeof dim === 'string' && sizesOf(dim).some((name) => this.#equal.has(name)) ? this.settle(substituteDim(dim, this.#equal)) : dim;
  }

  /** Says that two sizes have to be equal; returns their common expression, or undefined if they never are. */
  unify(left: Dim, right: Dim): Dim | undefined {
    const [a, b] = [this.settle(left), this.settle(right)];
    if (equalDims(a, b)) return a;
    if (typeof a === 'number' && typeof b === 'number') return undefined;
    // A size is not tied to a number: the same graph may run with a 1 there that broadcasts.
    if (typeof a === 'number') return a;
    if (typeof b === 'number') return b;
    const [keep, drop] = this.#isLater(a, b) ? [b, a] : [a, b];
    const [from, to] = isName(drop) ? [drop, keep] : [keep, drop];
    if (isName(from) && !sizesOf(to).includes(from)) this.#equal.set(from, to);
    return to;
  }

  #isLater(a: Dim, b: Dim): boolean {
    return this.#names.indexOf(a as string) > this.#names.indexOf(b as string);
  }
}

const isName = (dim: Dim): dim is string => typeof dim === 'string' && sizesOf(dim)[0] === dim;
