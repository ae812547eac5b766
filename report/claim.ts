import { lending, type Machine, type Quantity } from '../isa-spec/machine.ts';
import type { Program } from '../isa-spec/program.ts';
import { ratesOf } from '../simulator/timing/rates.ts';
import { boundOn, type EngineName, type EngineTiming, type Timing } from '../simulator/timing/result.ts';
import { isQuantity, quantities } from './assumptions.ts';
import type { CostReport } from './report.ts';

/**
 * What the vendor claims of a server. Input and output tokens together: its bar of 23,000 for eight H100s is TensorRT-LLM 0.10's 1,337 output tokens a second at
 * this shape, 17 times; of output tokens alone the claim would take 149 PFLOP/s a chip.
 */
export const claim = {
  tokensPerSecond: 500_000, model: 'Llama-3-70B', parameters: 70.55e9, precision: 'fp8', isl: 2048, osl: 128, chips: 8,
  source: 'Etched\'s announcement of Sohu: "over 500,000 tokens per second", Llama-3 70B in FP8, "8x model parallel, 2048 input/128 output", one server of eight',
} as const;

/** An engine at the claim: what it would have to do a second, and can. */
type Needed = { readonly name: EngineName; readonly unit: string; readonly work: number; readonly needsPerSecond: number; readonly hasPerSecond: number; readonly share: number };

/** A number of the machine, and the `least` it must be, all others as they are, for no engine it is part of to be too slow for the claim; `limits`: those engines, the slowest first. `factor` = least / value: above 1 it is too small already. */
type Margin = Pick<Quantity, 'provenance' | 'source'> & { readonly name: string; readonly value: number; readonly least: number; readonly factor: number; readonly limits: readonly (EngineName | 'capacity')[] };

/** Whether a program can be what is claimed. Bounds are the speed of light of its own work: bytes, multiply-adds and so on of its step, over the machine's peaks. */
export type ClaimReport = {
  readonly schema: 'sohuc-claim/1';
  readonly claim: typeof claim;
  /** In what the program is not what the claim is about. */
  readonly differs: readonly string[];
  readonly mapping: CostReport['mapping'];
  readonly tokensPerStep: number;
  readonly stepSecondsAtClaim: number;
  readonly simulatedTokensPerSecond: number;
  readonly boundTokensPerSecond: number;
  readonly boundBy: EngineName;
  readonly possible: boolean;
  readonly engines: readonly Needed[];
  /** What breaks first comes first. */
  readonly numbers: readonly Margin[];
  /** Numbers no bound rests on. */
  readonly unbounded: readonly string[];
};

export function claimReport(program: Program, timing: Timing, report: CostReport): ClaimReport {
  // As the program has it: what is lent is the attention unit's.
  const machine = lending(program.machine, program.entries[0]?.lent ?? 0);
  const tokensPerStep = report.timing.totalTokensPerSecond * report.timing.stepSeconds;
  const budget = tokensPerStep / claim.tokensPerSecond;
  const bounds = boundsOf(machine, timing);
  const own = bounds(machine);
  const [boundBy, bound] = [...own].reduce((most, one) => (one[1] > most[1] ? one : most));
  const margins = numbersOf(machine).map((quantity) => margin(quantity, machine, { bounds, budget, bytes: program.regions.reduce((sum, region) => sum + region.bytes, 0) }));
  return {
    schema: 'sohuc-claim/1', claim, differs: differences(report), mapping: report.mapping,
    tokensPerStep, stepSecondsAtClaim: budget,
    simulatedTokensPerSecond: report.timing.totalTokensPerSecond, boundTokensPerSecond: tokensPerStep / bound, boundBy, possible: bound <= budget,
    engines: report.timing.engines.filter(({ work }) => work > 0).map(({ name, unit, work, peakPerSecond }) => ({ name, unit, work, needsPerSecond: work / budget, hasPerSecond: peakPerSecond, share: work / budget / peakPerSecond })).toSorted((a, b) => b.share - a.share),
    numbers: margins.filter(({ limits }) => limits.length > 0).toSorted((a, b) => b.factor - a.factor || (a.name < b.name ? -1 : 1)),
    unbounded: margins.filter(({ limits }) => limits.length === 0).map(({ name }) => name).toSorted(),
  };
}

/** Seconds each engine of the busiest chip takes for a step at the least, on another machine than its own. */
function boundsOf(own: Machine, { chips, perChip, steps }: Timing): (machine: Machine) => ReadonlyMap<EngineName, number> {
  const rates = ratesOf(own, chips);
  const engines = perChip.flatMap((chip) => chip.engines);
  return (machine) => {
    const other = ratesOf(machine, chips);
    const seconds = new Map<EngineName, number>();
    for (const engine of engines) seconds.set(engine.name, Math.max(seconds.get(engine.name) ?? 0, secondsOf(engine, boundOn(engine, rates, other) / steps, machine)));
    return seconds;
  };
}

const secondsOf = ({ work }: EngineTiming, cycles: number, machine: Machine): number => (work === 0 ? 0 : cycles / machine.clockHz.value);

type Named = { readonly name: string; readonly quantity: Quantity };

/** The machine's numbers, HBM's efficiencies, which have one source, as one: the highest. */
function numbersOf(machine: Machine): readonly Named[] {
  const all = [...quantities(machine, '')].map(([name, quantity]) => ({ name, quantity }));
  const [efficiency] = all.filter(({ name }) => name.startsWith('hbm.efficiency')).toSorted((a, b) => b.quantity.value - a.quantity.value);
  return [...all.filter(({ name }) => !name.startsWith('hbm.efficiency')), ...(efficiency === undefined ? [] : [{ ...efficiency, name: 'hbm.efficiency' }])];
}

/** The same machine with the quantities at or below a path multiplied. */
function scaled<T>(value: T, wanted: string, factor: number, path = ''): T {
  const below = (key: string | number): string => (path === '' ? String(key) : `${path}.${key}`);
  if (isQuantity(value)) return path === wanted || path.startsWith(`${wanted}.`) ? { ...value, value: value.value * factor } : value;
  if (Array.isArray(value)) return value.map((part: unknown, i) => scaled(part, wanted, factor, below(i))) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, scaled(part as unknown, wanted, factor, below(key))])) as T;
}

type Claimed = { readonly bounds: (machine: Machine) => ReadonlyMap<EngineName, number>; readonly budget: number; readonly bytes: number };

/** Powers of two between which a number's least is looked for. */
const widest = 30;

function margin({ name, quantity: { value, provenance, source } }: Named, machine: Machine, { bounds, budget, bytes }: Claimed): Margin {
  const at = (factor: number): ReadonlyMap<EngineName, number> => bounds(scaled(machine, name, factor));
  const own = bounds(machine);
  const slower = at(0.5);
  const limits = [...own.keys()].filter((engine) => slower.get(engine)! > own.get(engine)! * (1 + 1e-9)).toSorted((a, b) => own.get(b)! - own.get(a)!);
  if (name === 'hbm.bytes') return { name, provenance, source, value, least: bytes, factor: bytes / value, limits: ['capacity'] };
  const isEnough = (factor: number): boolean => {
    const seconds = at(factor);
    return limits.every((engine) => seconds.get(engine)! <= budget);
  };
  let [low, high] = [-widest, widest];
  for (let step = 0; step < 60; step++) {
    const middle = (low + high) / 2;
    if (isEnough(2 ** middle)) high = middle;
    else low = middle;
  }
  return { name, provenance, source, value, least: value * 2 ** high, factor: 2 ** high, limits };
}

/** A model's parameters may be counted with or without what is tied. */
const parameterTolerance = 0.02;

function differences({ model, mapping, workload, provenance }: CostReport): readonly string[] {
  const different = (what: string, is: string | number, claimed: string | number): readonly string[] => (is === claimed ? [] : [`${what} ${is}, not ${claimed}`]);
  return [
    ...(Math.abs(model.parameters / claim.parameters - 1) <= parameterTolerance ? [] : [`${model.parameters} parameters, not ${claim.parameters}`]),
    ...different('input tokens', workload.isl, claim.isl), ...different('output tokens', workload.osl, claim.osl),
    ...different('chips', mapping.chips * mapping.replicas, claim.chips), ...different('precision', provenance.precision, claim.precision),
  ];
}
