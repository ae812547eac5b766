import type { ValueId } from '../../ir/types.ts';
import type { Axes } from './axes.ts';
import { offsets } from './axes.ts';
import { tidy } from './constants.ts';
import { coneOf, constantOf, evaluate, sample, type Scenario, scenarioOf, shapeUnder, type Wanted } from './evaluate.ts';
import type { Source } from './source.ts';

export type FoundMask = { readonly scale: number; readonly mask: 'full' | 'causal'; readonly window: number };

/** Below this a score's weight is nothing beside one of size 1: masks add anything from -10000 to -Infinity. */
const masked = -5000;

/** Which keys each row sees: allowed[sequence][row][key], rows of padding undefined; and the factor on the scores. */
type Seen = { readonly scale: number; readonly allowed: readonly (readonly (readonly boolean[] | undefined)[])[] };

/**
 * How attention's logits come from its scores: by a factor and a mask, read off by evaluating the region at a few sizes, with
 * and without padding. A string says what stands in the way.
 */
export function findMask(source: Source, scores: ValueId, logits: ValueId, lead: Axes): FoundMask | string {
  const plain = [{ batch: 2, rows: 6, past: 3 }, { batch: 1, rows: 1, past: 4 }, { batch: 2, rows: 4, past: 0 }];
  let common: FoundMask | undefined;
  for (const wanted of [...plain, ...padded]) {
    const scenario = scenarioOf(source, wanted);
    const seen = look(source, scores, logits, lead, { scenario, overrides: new Map() });
    if (typeof seen === 'string') return seen;
    const kind = classify(seen, scenario);
    if (kind === undefined) return 'the mask is neither causal nor full nor a sliding window';
    const found = { ...kind, scale: seen.scale };
    if (common === undefined) common = found;
    // One row sees the same under every mask, so only rows with later keys can tell.
    else if (scenario.rows > 1 && common.mask !== found.mask) return `the mask is ${common.mask} at some sizes and ${found.mask} at others`;
  }
  if (common === undefined) return 'the mask cannot be read';
  const window = common.window === 0 && common.mask === 'causal' ? distantWindow(source, scores, logits, lead) : common.window;
  return { ...common, window };
}

const padded: readonly Wanted[] = [
  { batch: 2, rows: 5, past: 0, mask: [0, 0, 1, 1, 1, 1, 1, 1, 1, 1] },
  { batch: 2, rows: 5, past: 0, mask: [1, 1, 1, 1, 1, 1, 1, 1, 0, 0] },
  { batch: 2, rows: 2, past: 3, mask: [0, 1, 1, 1, 1, 1, 1, 1, 1, 1] },
];

type At = { readonly scenario: Scenario; readonly overrides: ReadonlyMap<ValueId, ReturnType<typeof sample>> };

function look(source: Source, scores: ValueId, logits: ValueId, lead: Axes, { scenario, overrides }: At): Seen | string {
  const shape = shapeUnder(source.type(scores).shape, scenario.sizes);
  const [rows, keys] = shape.slice(-2) as [number, number];
  const leads = shape.slice(0, -2).reduce((a, b) => a * b, 1);
  if (rows !== scenario.rows || keys !== scenario.rows + scenario.past) return `the scores are [${rows}, ${keys}] for ${scenario.rows} rows after ${scenario.past}`;
  const [nought, one] = [0, 1].map((by) => {
    const given = sample(shape, 7, by);
    return { given: given.data, logits: evaluate(source, logits, scenario, new Map([...overrides, [scores, given]])).data };
  }) as [Probe, Probe];
  const sequences = offsets(lead.flat().map((factor) => ({ axis: 'feature' as const, size: factor.axis === 'batch' ? scenario.batch : (factor.size as number), stride: factor.axis === 'batch' ? 1 : 0 })));
  const allowed: (boolean[] | undefined)[][] = Array.from({ length: scenario.batch }, () => []);
  let scale: number | undefined;
  for (let at = 0; at < leads * rows; at++) {
    const sequence = sequences[Math.floor(at / rows)] as number;
    const row = at % rows;
    if (scenario.mask[sequence * keys + scenario.past + row] === 0) continue;
    const sees = Array.from({ length: keys }, (_, key) => (nought.logits[at * keys + key] as number) > masked && (one.logits[at * keys + key] as number) > masked);
    const known = (allowed[sequence] as (boolean[] | undefined)[])[row];
    if (known !== undefined && known.some((each, key) => each !== sees[key])) return 'heads have different masks';
    (allowed[sequence] as (boolean[] | undefined)[])[row] = sees;
    for (let key = 0; key < keys; key++) {
      if (sees[key] !== true) continue;
      const i = at * keys + key;
      if (Math.abs(nought.logits[i] as number) > 1e-6) return `a bias of ${nought.logits[i]} is added to the scores`;
      const factor = ((one.logits[i] as number) - (nought.logits[i] as number)) / (one.given[i] as number);
      scale ??= factor;
      if (!(Math.abs(factor - scale) <= 1e-6 * Math.abs(scale))) return 'the logits are not the scores times a factor';
    }
  }
  return scale === undefined ? 'every key is masked' : { scale: tidy(scale), allowed };
}

type Probe = { readonly given: Float64Array; readonly logits: Float64Array };

/** What rule says the keys each row sees, those of padding aside. */
function classify({ allowed }: Seen, { past, mask, rows }: Scenario): Omit<FoundMask, 'scale'> | undefined {
  const keys = past + rows;
  const real = allowed.flatMap((of, sequence) => of.flatMap((sees, row) => (sees === undefined ? [] : [{ row, sees: sees.map((each, key) => (mask[sequence * keys + key] === 0 ? undefined : each)) }])));
  const obeys = (rule: (position: number, key: number) => boolean): boolean => real.every(({ row, sees }) => sees.every((each, key) => each === undefined || each === rule(past + row, key)));
  if (rows > 1 && obeys(() => true)) return { mask: 'full', window: 0 };
  if (obeys((position, key) => key <= position)) return { mask: 'causal', window: 0 };
  for (let window = 1; window < keys; window++) if (obeys((position, key) => key <= position && key > position - window)) return { mask: 'causal', window };
  return undefined;
}

/**
 * A window longer than the sizes looked at is a number in the region: made small it must show, and one more of it must show as
 * one more key.
 */
function distantWindow(source: Source, scores: ValueId, logits: ValueId, lead: Axes): number {
  const numbers = integersAround(source, scores, logits);
  for (const { value, number } of numbers) {
    const [two, three] = [2, 3].map((small) => {
      const scenario = scenarioOf(source, { batch: 1, rows: 6, past: 0 });
      const { shape } = source.type(value);
      const override = { shape: shape as readonly number[], data: Float64Array.of(small) };
      const seen = look(source, scores, logits, lead, { scenario, overrides: new Map([[value, override]]) });
      return typeof seen === 'string' ? 0 : (classify(seen, scenario)?.window ?? 0);
    }) as [number, number];
    if (two > 0 && three === two + 1) return number + two - 2;
  }
  return 0;
}

/** Whole numbers above the sizes looked at that the region, its mask included, depends on. */
function integersAround(source: Source, scores: ValueId, logits: ValueId): readonly { readonly value: ValueId; readonly number: number }[] {
  return coneOf(source, logits, (value) => value === scores).flatMap((value) => {
    const { shape } = source.type(value);
    if (source.definition(value)?.kind !== 'pconst' || shape.some((size) => size !== 1)) return [];
    const number = constantOf(source, value)?.data[0] as number;
    return Number.isSafeInteger(number) && number > 8 ? [{ value, number }] : [];
  });
}
