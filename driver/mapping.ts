import { plural } from '../report/format.ts';

/** How a model is divided: chips every layer is divided over, and stages its layers are. */
export type Division = { readonly tp: number; readonly pp: number };

/** How a model is put on the chips of a server: how it is divided, and how many times all of it is there. */
export type Mapping = Division & { readonly replicas: number };

/** Every division over some of a server's chips of which it has a whole number: on fewer chips first, on as many the one with the least between chips. */
export function divisionsOf(chips: number): readonly Division[] {
  const counts = divisorsOf(chips);
  return counts.flatMap((count) => divisorsOf(count).map((tp) => ({ tp, pp: count / tp })));
}

/** The mappings on all of a server's chips, those with the least between chips first: whole layers, in ever more stages, then divided ones. */
export const mappingsOf = (chips: number): readonly Mapping[] =>
  divisionsOf(chips).map(({ tp, pp }) => ({ tp, pp, replicas: chips / (tp * pp) })).toSorted((a, b) => a.tp - b.tp || a.pp - b.pp);

const divisorsOf = (count: number): readonly number[] => Array.from({ length: count }, (_, i) => i + 1).filter((divisor) => count % divisor === 0);

export const mappingText = ({ tp, pp, replicas }: Mapping): string => `TP ${tp} x PP ${pp}, ${plural(replicas, 'replica')}`;

/** A division as the command line has it. */
export const flagsOf = ({ tp, pp }: Division): string => [...(tp > 1 ? [`--tp ${tp}`] : []), ...(pp > 1 ? [`--pp ${pp}`] : [])].join(' ') || 'one chip';
