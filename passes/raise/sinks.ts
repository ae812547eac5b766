import { expand } from '../../ir/graph/interpret/elementwise.ts';
import type { ValueId } from '../../ir/types.ts';
import type { Weight } from '../../ir/weights.ts';
import { type Axes, type Factor, offsets } from './axes.ts';
import { evaluate, scenarioOf, shapeUnder, unpadded } from './evaluate.ts';
import type { Source } from './source.ts';

/** Heads of queries whose axes before rows are `lead`, each of `headDim` features. */
export type Heads = { readonly q: ValueId; readonly lead: Axes; readonly heads: number; readonly headDim: number };

/** Sinks that are one number a head, whatever the sequence and the row, as a weight; undefined for others. */
export function sinksOf(source: Source, value: ValueId, heads: Heads): Weight | undefined {
  if (source.dependence(value) === 'active') return undefined;
  const numbers = Array.from<number | undefined>({ length: heads.heads });
  for (const wanted of unpadded) {
    const scenario = scenarioOf(source, wanted);
    const shape = shapeUnder(source.type(heads.q).shape, scenario.sizes).slice(0, -1);
    const { data } = expand(evaluate(source, value, scenario, new Map()), [...shape, 1]);
    const rows = shape.at(-1) as number;
    const headOf = headAt(heads, scenario.batch);
    for (const [i, number] of data.entries()) {
      const head = headOf[Math.floor(i / rows)] as number;
      if ((numbers[head] ??= number) !== number) return undefined;
    }
  }
  return headNumbers('sinks', numbers as readonly number[]);
}

/** A number for each head, as a weight. */
export const headNumbers = (name: string, values: readonly number[]): Weight => ({ name, dtype: 'f32', shape: [values.length], instances: [{ kind: 'values', shape: [values.length], values }] });

/** The head at each place of the leading axes. */
export const headAt = ({ lead, headDim }: Pick<Heads, 'lead' | 'headDim'>, batch: number): readonly number[] =>
  offsets(lead.flat().map((factor): Factor => (factor.axis === 'feature' ? factor : { axis: 'repeat', size: factor.axis === 'batch' ? batch : factor.size }))).map((at) => at / headDim);
