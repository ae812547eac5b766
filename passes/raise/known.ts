import type { ValueId } from '../../ir/types.ts';
import type { FoundActivation } from './activation.ts';
import type { FoundMask } from './attention.ts';
import type { FoundNorm, Parameter } from './norm.ts';
import type { LimitedRope } from './rope.ts';
import type { Source } from './source.ts';

/** What regions of a shape were found to be: the layers of a model repeat them. */
export class Known {
  readonly ropes = new Recalled<LimitedRope | undefined>();
  readonly activations = new Recalled<FoundActivation>();
  readonly masks = new Recalled<FoundMask | string>();
  readonly #norms = new Map<string, NormShape | undefined>();

  /** A norm of a known shape has its parameters where the first one had. */
  norm(key: RegionKey, find: () => FoundNorm | undefined): FoundNorm | undefined {
    if (this.#norms.has(key.text)) {
      const known = this.#norms.get(key.text);
      const vector = (at: number | undefined): ValueId | undefined => (at === undefined ? undefined : key.vectors[at]);
      return known === undefined ? undefined : { ...known, gamma: vector(known.gamma), beta: vector(known.beta) };
    }
    const found = find();
    const isNumbers = (parameter: Parameter | undefined): boolean => parameter !== undefined && typeof parameter !== 'number';
    if (found === undefined || (!isNumbers(found.gamma) && !isNumbers(found.beta))) {
      const place = (parameter: Parameter | undefined): number | undefined => (parameter === undefined ? undefined : key.vectors.indexOf(parameter as ValueId));
      this.#norms.set(key.text, found === undefined ? undefined : { ...found, gamma: place(found.gamma), beta: place(found.beta) });
    }
    return found;
  }
}

type NormShape = Omit<FoundNorm, 'gamma' | 'beta'> & { readonly gamma: number | undefined; readonly beta: number | undefined };

class Recalled<T> {
  readonly #found = new Map<string, T>();

  recall(key: string, find: () => T): T {
    const known = this.#found.get(key);
    if (known !== undefined || this.#found.has(key)) return known as T;
    const found = find();
    this.#found.set(key, found);
    return found;
  }
}

/** Two regions of one key compute the same function, up to the constant vectors they name in the same places. */
type RegionKey = { readonly text: string; readonly vectors: readonly ValueId[] };

/** The key of the region of `values` (in program order) that begins at `x`. Where `vectors` may not differ, they are part of the key. */
export function keyOf(source: Source, x: ValueId, values: readonly ValueId[], freeVectors: 'free' | 'fixed'): RegionKey {
  const places = new Map(values.map((value, i) => [value, `#${i}`]));
  const vectors: ValueId[] = [];
  const nameOf = (value: ValueId): string => {
    const place = value === x ? 'x' : places.get(value);
    if (place !== undefined) return place;
    const { shape } = source.type(value);
    if (freeVectors === 'fixed' || source.dependence(value) !== 'constant' || shape.length === 0 || (shape.at(-1) as number) < 2) return `v${value}`;
    if (!vectors.includes(value)) vectors.push(value);
    return `c${vectors.indexOf(value)}[${shape.join()}]`;
  };
  const lines = values.map((value) => {
    const op = source.definition(value);
    return op === undefined ? '' : `${op.kind} ${JSON.stringify(op.attrs)} ${op.operands.map(nameOf).join(' ')} ${source.type(value).dtype} ${source.type(value).shape.join()}`;
  });
  return { text: `[${source.type(x).shape.join()}] ${lines.join('; ')}`, vectors };
}
