import { decodeAll } from '../isa-spec/encoding.ts';
import { hbmBases, type Mnemonic, queues } from '../isa-spec/instructions.ts';
import { anything, type Checked, type Check, integerFrom, type Json, listOf, nameOf, numberFrom, record, text } from '../isa-spec/json.ts';
import { type Program } from '../isa-spec/program.ts';
import { lossNames } from '../simulator/timing/chip.ts';
import type { Timing } from '../simulator/timing/result.ts';
import { assumptionsOf } from './assumptions.ts';

const size = integerFrom(0, 2 ** 53);
const amount = numberFrom(0, Infinity);
const fraction = numberFrom(0, 1);
const engines = ['matrix', 'attention', 'softmax', 'vector', 'hbm', 'link'] as const;

/** What a model was, as the compiler wrote it into the program. */
const modelCheck = record({ name: text, family: text, parameters: size, layers: size });
/** What became of the source's nodes, and the fused ops of a layer, each by the kinds of ops it holds. */
const recognised = { sourceNodes: size, hardware: size, folded: size, host: size, refused: size, fusedOpsPerLayer: amount, fusedOps: listOf(text) };

/** One engine: `work` is what a step cannot do without, `boundSeconds` that at `peakPerSecond`, `busy` the share of the time the engine was occupied. */
const engineCheck = record({ name: nameOf(engines), unit: text, work: amount, peakPerSecond: amount, boundSeconds: amount, utilisation: fraction, busy: fraction });
/** A part of the peak not achieved: FLOPs of all steps, and as a share of the peak. */
const lossCheck = record({ name: nameOf(lossNames), flops: numberFrom(-(2 ** 53), 2 ** 63), fraction: numberFrom(-1, 1) });
const stallCheck = record({ reason: text, fraction });
const queueCheck = record({ queue: nameOf(queues), instructions: amount, busy: fraction, stalls: listOf(stallCheck) });
const labelCheck = record({ label: text, sources: listOf(text), seconds: amount });

/** `cut`: how many of the layers that are alike each stage has. */
const mappingCheck = record({ machine: text, chips: size, tp: size, pp: size, ep: size, replicas: size, cut: listOf(size) });

/** The schema of the report: the type, its checker and its documentation in one. Numbers are SI; sizes are bytes. */
const reportCheck = record({
  schema: nameOf(['sohuc-report/1']),
  model: modelCheck,
  recognition: record({ ...recognised, hardwareOpsPerLayer: amount }),
  mapping: mappingCheck,
  program: record({ bytes: size, instructions: size, entries: listOf(record({ name: text, bounds: anything, lent: size })) }),
  memory: record({
    weightBytesPerChip: size, kvBytesPerToken: size, sramPeakBytes: size, sramBytes: size, hbmBytes: size,
    regions: listOf(record({ base: nameOf(hbmBases), bytes: size })),
  }),
  workload: record({ isl: size, osl: size, batch: size, parts: size, leading: size }),
  timing: record({
    entry: text, steps: size, tokens: amount, stepCycles: amount, stepSeconds: amount, instructionsIssued: amount, chipsSimulated: size,
    totalTokensPerSecond: amount, inputTokensPerSecond: amount, outputTokensPerSecond: amount,
    matrixUtilisation: fraction, speedOfLightSeconds: amount, speedOfLightRatio: fraction, boundBy: nameOf(engines),
    capacityFlops: amount, usefulFlops: amount,
    engines: listOf(engineCheck), losses: listOf(lossCheck), queues: listOf(queueCheck), labels: listOf(labelCheck),
    hbm: listOf(record({ region: nameOf(hbmBases), bytes: amount })), linkBytes: amount,
  }),
  assumptions: listOf(record({ name: text, value: numberFrom(-Infinity, Infinity), provenance: nameOf(['derived', 'assumed']), source: text })),
  provenance: record({ compiler: text, precision: text, machine: text, simulator: text }),
});
/** The cost report: what a program is, what a step of it takes, on an average of those timed, and what that rests on. */
export type CostReport = Checked<typeof reportCheck>;

/** What the step stands for: requests of `isl` input and `osl` output tokens, `batch` of them at once. */
export type ReportWorkload = { readonly isl: number; readonly osl: number; readonly batch: number; readonly parts?: number; readonly leading?: number };

/** What keeps a value from being a report, one line each; none for a report. */
export function checkReport(json: unknown): readonly string[] {
  const problems: string[] = [];
  reportCheck(json, '', problems);
  return problems;
}

/** The part of `program.meta` the report repeats. The compiler writes it; the rest of the report is measured. */
const metaChecks = {
  model: modelCheck,
  recognition: record(recognised),
  mapping: mappingCheck,
  compiler: text,
  precision: text,
  sramPeakBytes: size,
};
type Meta = { readonly [K in keyof typeof metaChecks]: Checked<(typeof metaChecks)[K]> };

/** Throws a TypeError for a program whose meta lacks what a report repeats. */
function metaOf(program: Program): Meta {
  const problems: string[] = [];
  const meta = Object.fromEntries(Object.entries(metaChecks).map(([key, check]) => [key, (check as Check<unknown>)(program.meta[key], `meta.${key}`, problems)]));
  if (problems.length > 0) throw new TypeError(problems.join('; '));
  return meta as Meta;
}

/**
 * The report of steps of a program, whose container has `programBytes` bytes. Rates are those of all replicas of the mapping together.
 * Throws a TypeError for a program whose meta is not the compiler's.
 */
export function buildReport(program: Program, programBytes: number, timing: Timing, workload: ReportWorkload): CostReport {
  const meta = metaOf(program);
  const { machine } = program;
  const region = (base: string): number => program.regions.filter((one) => one.base === base).reduce((sum, { bytes }) => sum + bytes, 0);
  return {
    schema: 'sohuc-report/1',
    model: meta.model,
    recognition: { ...meta.recognition, hardwareOpsPerLayer: opsPerLayer(program, meta.model.layers) },
    mapping: meta.mapping,
    program: { bytes: programBytes, instructions: wordsOf(program), entries: program.entries.map(({ name, bounds, lent }) => ({ name, bounds, lent })) },
    memory: {
      weightBytesPerChip: region('weights'),
      kvBytesPerToken: keyBytes(program),
      sramPeakBytes: meta.sramPeakBytes,
      sramBytes: machine.sram.bytes.value,
      hbmBytes: machine.hbm.bytes.value,
      regions: program.regions.map(({ base, bytes }) => ({ base, bytes })),
    },
    workload: { parts: 1, leading: 0, ...workload },
    timing: timingOf(program, timing, meta.mapping.replicas, workload.osl),
    assumptions: assumptionsOf(machine, timing, program.entries.some(({ lent }) => lent > 0)),
    provenance: { compiler: meta.compiler, precision: meta.precision, machine: machine.name, simulator: timing.symmetric ? 'one chip for all, which run the same code' : 'every chip' },
  };
}

function timingOf(program: Program, timing: Timing, replicas: number, osl: number): CostReport['timing'] {
  const { cycles, seconds, perChip, steps } = timing;
  const clock = timing.machine.clockHz.value;
  const share = (part: number): number => (cycles === 0 ? 0 : Math.min(1, part / cycles));
  const sum = (of: (chip: (typeof perChip)[number]) => number): number => perChip.reduce((total, chip) => total + of(chip), 0);
  const perSecond = (tokens: number): number => (seconds === 0 ? 0 : (tokens * replicas) / seconds);
  const [input, output] = [perSecond(timing.inputTokens), perSecond(osl === 0 ? 0 : timing.samples)];
  const capacity = sum((chip) => chip.capacityFlops);
  const light = timing.speedOfLight;
  return {
    entry: timing.entry, steps, tokens: timing.tokens / steps, stepCycles: cycles / steps, stepSeconds: seconds / steps, instructionsIssued: timing.instructions / steps, chipsSimulated: perChip.length,
    totalTokensPerSecond: input + output, inputTokensPerSecond: input, outputTokensPerSecond: output,
    matrixUtilisation: timing.matrixUtilisation, speedOfLightSeconds: light.cycles / steps / clock, speedOfLightRatio: share(light.cycles), boundBy: light.engine,
    capacityFlops: capacity, usefulFlops: sum((chip) => chip.usefulMatrixFlops + chip.usefulAttentionFlops),
    engines: engines.map((name) => {
      const busiest = perChip.flatMap((chip) => chip.engines.filter((one) => one.name === name)).reduce((most, one) => (one.boundCycles > most.boundCycles ? one : most));
      const { unit, work, peakPerCycle, boundCycles, busyCycles } = busiest;
      return { name, unit, work: work / steps, peakPerSecond: peakPerCycle * clock, boundSeconds: boundCycles / steps / clock, utilisation: share(boundCycles), busy: share(busyCycles) };
    }),
    losses: lossNames.map((name) => {
      const flops = sum((chip) => chip.losses[name]);
      return { name, flops, fraction: capacity === 0 ? 0 : flops / capacity };
    }),
    queues: perChip[0]!.queues.map(({ queue, issued, busy, stalls }) => ({
      queue, instructions: issued / steps, busy: share(busy),
      stalls: Object.entries(stalls).filter(([, stalled]) => stalled > 0).map(([reason, stalled]) => ({ reason, fraction: share(stalled) })),
    })),
    labels: labelsOf(program, timing, clock),
    hbm: hbmBases.map((name) => ({ region: name, bytes: sum((chip) => chip.hbmBytes[name]) / steps })),
    linkBytes: sum((chip) => chip.linkBytes) / steps,
  };
}

/** Seconds a step of all queues of the first chip by label, longest first. */
function labelsOf(program: Program, timing: Timing, clock: number): CostReport['timing']['labels'] {
  const sources = new Map(program.debugMap.labels.map(({ label, sources: names }) => [label, names]));
  const cycles = new Map<string, number>();
  for (const { label, busy } of timing.perChip[0]!.labels) cycles.set(label, (cycles.get(label) ?? 0) + busy);
  const byTime = [...cycles].toSorted(([a, x], [b, y]) => y - x || (a < b ? -1 : 1));
  return byTime.map(([label, busy]) => ({ label, sources: sources.get(label) ?? [], seconds: busy / timing.steps / clock }));
}

/** Words of the program, those several chips share counted once. */
const wordsOf = (program: Program): number => {
  const distinct = new Set(program.code.flatMap((chips) => chips.flatMap((chip) => queues.map((queue) => chip[queue].words))));
  return [...distinct].reduce((sum, words) => sum + words.length / 32, 0);
};

/** Bytes a token's keys and values take on all chips: a K and a V row of `pitch` lines in each layer of each cache. */
function keyBytes(program: Program): number {
  const { kv } = program.ioMap;
  if (!Array.isArray(kv)) return 0;
  const rowLines = (cache: Json): number => {
    const { pitch, layers, chips } = cache as { readonly pitch?: number; readonly layers?: number; readonly chips?: number };
    return 2 * (pitch ?? 0) * (layers ?? 0) * (chips ?? 1);
  };
  return (kv as readonly Json[]).reduce((sum: number, cache) => sum + rowLines(cache), 0) * program.machine.sram.lineBytes.value;
}

/** Ops in the body of the layer loop, by their labels; without such a loop, all ops over the layers. */
function opsPerLayer(program: Program, layers: number): number {
  const [chip, names] = [program.code[0]?.[0], program.debugMap.entries[0]];
  if (chip === undefined || names === undefined) return 0;
  const inLoop = new Set<number>();
  const all = new Set<number>();
  for (const queue of queues) {
    const code = decodeAll(chip[queue].words, queue);
    const seen = new Set<string>();
    /** A routine from its beginning to its return, and those it calls. */
    const visit = (begin: number, inside: boolean): void => {
      const key = `${begin} ${inside}`;
      if (seen.has(key)) return;
      seen.add(key);
      let end = inside ? code.length : begin;
      for (let pc = begin; pc < code.length && code[pc]!.op !== 'ret'; pc++) {
        const instruction = code[pc]!;
        if (instruction.op === 'loop' && instruction.fields.level === 0) end = Math.max(end, pc + 1 + instruction.fields.body);
        if (instruction.op === 'call') visit(instruction.fields.target, pc < end);
        const label = names[queue][pc];
        if (label === undefined || steering.has(instruction.op)) continue;
        all.add(label);
        if (pc < end) inLoop.add(label);
      }
    };
    visit(0, false);
  }
  return inLoop.size > 0 ? inLoop.size : all.size / Math.max(1, layers);
}

/** Instructions that are part of no op. */
const steering: ReadonlySet<Mnemonic> = new Set(['loop', 'call', 'sync', 'sreg', 'salu', 'event']);
