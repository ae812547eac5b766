import type { Spread } from '../passes/shard.ts';
import { plural } from '../report/format.ts';

/** How a model is divided: chips every layer is divided over, those of them that whole experts are spread over (1, each is divided like all else; or all), and stages its layers are. */
export type Division = Required<Spread> & { readonly pp: number };

/** How a model is put on the chips of a server: how it is divided, and how many times all of it is there. */
export type Mapping = Division & { readonly replicas: number };

/** Every division over some of a server's chips of which it has a whole number: on fewer chips first, on as many the one with the least between chips. */
export function divisionsOf(chips: number): readonly Division[] {
  const counts = divisorsOf(chips);
  return counts.flatMap((count) => divisorsOf(count).map((tp) => ({ tp, ep: 1, pp: count / tp })));
}

/** The mappings on all of a server's chips, those with the least between chips first: whole layers, in ever more stages, then divided ones; of a model with `experts` each of these with whole experts too. */
export const mappingsOf = (chips: number, experts: boolean): readonly Mapping[] =>
  divisionsOf(chips)
    .flatMap((division) => (experts && division.tp > 1 ? [division, { ...division, ep: division.tp }] : [division]))
    .map((division) => ({ ...division, replicas: chips / (division.tp * division.pp) }))
    .toSorted((a, b) => a.tp - b.tp || a.ep - b.ep || a.pp - b.pp);

const divisorsOf = (count: number): readonly number[] => Array.from({ length: count }, (_, i) => i + 1).filter((divisor) => count % divisor === 0);

export const mappingText = ({ tp, ep, pp, replicas }: Mapping): string => `TP ${tp} x PP ${pp}${ep === 1 ? '' : ` x EP ${ep}`}, ${plural(replicas, 'replica')}`;

/** A division as the command line has it. */
export const flagsOf = ({ tp, ep = 1, pp }: Spread & Pick<Division, 'pp'>): string => [...(tp > 1 ? [`--tp ${tp}`] : []), ...(ep > 1 ? [`--ep ${ep}`] : []), ...(pp > 1 ? [`--pp ${pp}`] : [])].join(' ') || 'one chip';
