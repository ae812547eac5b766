import { divDims, equalDims, leastOf, minimaIn, sizesOf, subDims, substituteDim } from '../../ir/dims.ts';
import type { Dim } from '../../ir/types.ts';
import { soundDim } from './value.ts';

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

  has(dim: Dim): boolean {
    return sizesOf(dim).some((name) => this.#names.includes(name));
  }

  /** The expression by what has been found so far. */
  settle(dim: Dim): Dim {
    if (this.#equal.size === 0) return dim;
    return typeof dim === 'string' && [...sizesOf(dim), ...minimaIn(dim).map(({ name }) => name)].some((name) => this.#equal.has(name)) ? this.settle(soundDim(substituteDim(dim, this.#equal))) : dim;
  }

  /** Puts an expression in the place of a name. */
  replace(name: string, by: Dim): void {
    this.#equal.set(name, by);
  }

  /** Says that two sizes are equal; returns their common expression, or undefined if they never are. */
  equate(left: Dim, right: Dim): Dim | undefined {
    const [a, b] = [this.settle(left), this.settle(right)];
    if (isName(a) && typeof b === 'number') this.#equal.set(a, b);
    else if (isName(b) && typeof a === 'number') this.#equal.set(b, a);
    return this.unify(a, b);
  }

  /** Says that two sizes broadcast; returns what they come to, or undefined if they never do. Neither is a 1. */
  unify(left: Dim, right: Dim): Dim | undefined {
    const [a, b] = [this.settle(left), this.settle(right)];
    if (equalDims(a, b)) return a;
    // Sizes are not negative: what is always larger is never equal.
    if (Math.max(leastOf(subDims(a, b)), leastOf(subDims(b, a))) > 0) return undefined;
    // What is multiplied by a size and stays the same is multiplied by 1: PyTorch specialises an axis of 1 without a word.
    const ratio = divDims(a, b) ?? divDims(b, a);
    if (ratio !== undefined && isName(ratio)) this.#equal.set(ratio, 1);
    // A size is not tied to a number: the same graph may run with a 1 there that broadcasts.
    else if (typeof a === 'number') return a;
    else if (typeof b === 'number') return b;
    else {
      this.#fit(a, b);
      const [left, right] = [this.settle(a), this.settle(b)];
      if (typeof left === 'string' && typeof right === 'string' && !equalDims(left, right)) this.#replace(left, right);
    }
    return this.settle(a);
  }

  /** What was cut and has to be as long as something else: the sequence was long enough for the cut if that makes it so, else none was cut. */
  #fit(a: Dim, b: Dim): void {
    const minima = [...minimaIn(a), ...minimaIn(b)];
    const whole = minima.find(({ name, most }) => equalDims(...([a, b].map((each) => substituteDim(each, new Map([[name, most]]))) as [Dim, Dim])));
    if (whole === undefined) for (const { name, of } of minima) this.#equal.set(name, of);
    else this.#equal.set(whole.name, whole.most);
  }

  #replace(a: string, b: string): void {
    const [keep, drop] = this.#isLater(a, b) ? [b, a] : [a, b];
    const [from, to] = isName(drop) ? [drop, keep] : isName(keep) ? [keep, drop] : this.#difference(a, b);
    // Long expressions in the place of a name would grow without end where one is put into the other.
    if (isName(from) && !sizesOf(to).includes(from) && sizesOf(to).length <= 4) this.#equal.set(from, to);
  }

  /** Two names that differ by what two sums differ by: `past + rows` and `cached + rows` are equal if those are. */
  #difference(a: string, b: string): readonly [string, string] {
    const names = sizesOf(subDims(a, b));
    const [first, second] = names.toSorted((x, y) => this.#names.indexOf(x) - this.#names.indexOf(y)) as [string, string];
    const isAll = names.length === 2 && [subDims(a, b), subDims(b, a)].some((each) => equalDims(each, subDims(first, second)));
    return isAll ? [second, first] : [a, b];
  }

  #isLater(a: Dim, b: Dim): boolean {
    return this.#names.indexOf(a as string) > this.#names.indexOf(b as string);
  }
}

const isName = (dim: Dim): dim is string => typeof dim === 'string' && sizesOf(dim)[0] === dim;
