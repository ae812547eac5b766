import { bar, billions, binary, duration, grouped, lentText, machineNumber, percent, plural, rate, readable, si, three } from './format.ts';
import type { CostReport } from './report.ts';

/** What a run did beside the report: its stages in order, and the files it wrote. */
export type RunFacts = {
  readonly stages: readonly { readonly name: string; readonly detail: string }[];
  readonly files: readonly { readonly path: string; readonly bytes: number }[];
};

/** Colours a piece of text by what it is. */
export type Paint = (role: 'heading' | 'value' | 'bar' | 'quiet', text: string) => string;
const plain: Paint = (_role, text) => text;

const width = 80;
const margin = 13;
const barWidth = 26;
/** Losses below this share of the peak are added up in one line. */
const smallest = 0.0005;

type Line = { readonly heading: string; readonly text: string };

/** The report on one screen: at most 80 columns, about 45 lines. `~` marks what rests on assumptions. */
export function renderText(report: CostReport, facts: RunFacts, paint: Paint = plain): string {
  const sections: readonly (readonly [string, readonly string[]])[] = [
    ['stages', wrap(facts.stages.map(({ name, detail }) => (detail === '' ? name : `${name} ${detail}`)), ' > ')],
    ['model', modelLines(report)],
    ['mapping', mappingLines(report)],
    ['memory', memoryLines(report)],
    ['speed', speedLines(report)],
    ['engines', engineLines(report)],
    ['peak to', lossLines(report)],
    ['assumed ~', assumptionLines(report)],
    ['written', facts.files.map(({ path, bytes }) => `${path}  ${si(bytes, 'B')}`)],
  ];
  return sectioned(sections, paint);
}

/** Sections of lines, the heading of each beside its first. */
export function sectioned(sections: readonly (readonly [heading: string, lines: readonly string[]])[], paint: Paint = plain): string {
  const lines = sections.flatMap(([heading, texts]) => texts.map((text, index): Line => ({ heading: index === 0 ? heading : '', text })));
  return `${lines.map((line) => painted(line, paint)).join('\n')}\n`;
}

function painted({ heading, text }: Line, paint: Paint): string {
  const coloured = text.replace(/[█▏▎▍▌▋▊▉]+/g, (blocks) => paint('bar', blocks)).replace(/·{2,}/g, (dots) => paint('quiet', dots));
  return `${paint('heading', heading.padEnd(margin))}${coloured}`.trimEnd();
}

/** Items joined, broken before an item that would pass the edge. */
export function wrap(items: readonly string[], joint: string): readonly string[] {
  const lines: string[] = [];
  for (const item of items) {
    const last = lines.at(-1);
    if (last === undefined || margin + last.length + joint.length + item.length > width) lines.push(item);
    else lines[lines.length - 1] = `${last}${joint}${item}`;
  }
  return lines.map((line, index) => (index < lines.length - 1 ? `${line}${joint.trimEnd()}` : line));
}

const cut = (text: string, length: number): string => (text.length <= length ? text : `${text.slice(0, length - 3)}...`);

function modelLines({ model, recognition, program }: CostReport): readonly string[] {
  const { sourceNodes, hardware, folded, host, refused, hardwareOpsPerLayer, fusedOpsPerLayer, fusedOps } = recognition;
  const covered = sourceNodes === 0 ? [] : [`${plural(sourceNodes, 'source node')}: ${hardware} hardware, ${folded} folded, ${host} host, ${refused} refused`];
  return [
    `${cut(model.name, 36)} (${cut(model.family, 14)}), ${billions(model.parameters)} parameters, ${plural(model.layers, 'layer')}`.slice(0, width - margin),
    ...covered,
    `${three(fusedOpsPerLayer)} fused ops a layer of ${three(hardwareOpsPerLayer)} hardware ops, ${plural(program.instructions, 'instruction')}, ${si(program.bytes, 'B')}`,
    ...wrap(fusedOps.map(computing), ' | ').slice(0, 3),
  ];
}

/** A fused op without the ops that only cut rows or change their format. */
function computing(kinds: string): string {
  const left = kinds.split(' ').filter((kind) => !['columns', 'quantise', 'convert'].includes(kind));
  return [...new Set(left)].join(' ');
}

function mappingLines({ mapping, program }: CostReport): readonly string[] {
  const lent = program.entries[0]?.lent ?? 0;
  const { machine, chips, tp, pp, ep, replicas, cut } = mapping;
  return [`${machine}: TP ${tp} x PP ${pp} x EP ${ep}, ${plural(chips, 'chip')} a replica, ${plural(replicas, 'replica')}`, ...(pp === 1 ? [] : [`stages of ${new Set(cut).size === 1 ? cut[0] : cut.join(' + ')} layers`]), ...(lent === 0 ? [] : [lentText(lent)])];
}

function memoryLines({ memory }: CostReport): readonly string[] {
  const line = (name: string, used: number, all: number, text: (bytes: number) => string): string =>
    `${name.padEnd(9)} ${bar(used / all, barWidth)} ${text(used)} of ${text(all)}`;
  const bytes = (value: number): string => si(value, 'B');
  const regions = memory.regions.filter((region) => region.bytes > 0).map((region) => line(region.base === 'kv' ? 'KV' : region.base, region.bytes, memory.hbmBytes, bytes));
  const keys = memory.kvBytesPerToken > 0 ? [`KV takes ${si(memory.kvBytesPerToken, 'B')} a token on all chips together`] : [];
  return [...regions, line('SRAM', memory.sramPeakBytes, memory.sramBytes, binary), ...keys];
}

function speedLines({ timing, workload }: CostReport): readonly string[] {
  const load = workload.osl === 0 ? `${grouped(workload.isl)} tokens` : `${grouped(workload.isl)} in, ${grouped(workload.osl)} out`;
  return [
    `~${grouped(timing.totalTokensPerSecond)} tok/s = ~${grouped(timing.inputTokensPerSecond)} input + ~${grouped(timing.outputTokensPerSecond)} output`,
    `${load}, batch ${grouped(workload.batch)}; a step of ${plural(timing.tokens, 'row')} takes ~${duration(timing.stepSeconds)}`,
    `~${percent(timing.matrixUtilisation)} of matrix peak, ~${percent(timing.speedOfLightRatio)} of speed of light`,
    `bound by ${readable(timing.boundBy)}: ~${duration(timing.speedOfLightSeconds)} at the least${holdUp(timing)}`,
  ];
}

/** The largest loss, named where it is more than the bound explains. */
function holdUp(timing: CostReport['timing']): string {
  const largest = timing.losses.reduce((most, loss) => (loss.fraction > most.fraction ? loss : most));
  return largest.fraction < smallest ? '' : `; most lost to ${readable(largest.name)}`;
}

function engineLines({ timing }: CostReport): readonly string[] {
  return timing.engines
    .filter(({ work, busy }) => work > 0 || busy > 0)
    .map(({ name, utilisation, busy, unit, peakPerSecond }) =>
      `${readable(name).padEnd(9)} ${bar(utilisation, 20)} ${percent(utilisation).padStart(7)} of ${rate(unit, peakPerSecond)}, busy ${Math.round(busy * 100)} %`.slice(0, width - margin));
}

function lossLines({ timing }: CostReport): readonly string[] {
  const shown = timing.losses.filter(({ fraction }) => fraction >= smallest).toSorted((a, b) => b.fraction - a.fraction);
  const rest = 1 - timing.matrixUtilisation - shown.reduce((sum, { fraction }) => sum + fraction, 0);
  let left = 1;
  const steps = [...shown, ...(Math.abs(rest) >= 5e-5 ? [{ name: 'other', fraction: rest }] : [])].map(({ name, fraction }) => {
    left -= fraction;
    const kept = Math.min(barWidth, Math.max(0, Math.round(left * barWidth)));
    const lost = Math.min(barWidth - kept, Math.max(1, Math.round(fraction * barWidth)));
    return `${readable(name).padEnd(16)} ${' '.repeat(kept)}${'█'.repeat(lost)}${' '.repeat(barWidth - kept - lost)} ${`-${percent(fraction)}`.padStart(8)}`;
  });
  return [...steps, `${'achieved'.padEnd(16)} ${bar(timing.matrixUtilisation, barWidth)} ${percent(timing.matrixUtilisation).padStart(8)}`];
}

function assumptionLines({ assumptions }: CostReport): readonly string[] {
  const named = assumptions.map((one) => `${one.name} ${machineNumber(one.value)}${one.provenance === 'derived' ? ' (derived)' : ''}`);
  const lines = wrap(named, ', ');
  const most = 5;
  return lines.length <= most ? lines : [...lines.slice(0, most - 1), `... ${assumptions.length} in all, with sources in the JSON report`];
}
