import { type Queue, queues } from '../isa-spec/instructions.ts';
import type { Program } from '../isa-spec/program.ts';
import { type Link, links, type PathCause, pathCauses } from '../simulator/timing/recording.ts';
import type { PathStep, Timing } from '../simulator/timing/result.ts';
import { duration, grouped, percent, plural } from './format.ts';

/** A share of the path: its cycles are the most the steps could gain, were they none and everything else as long as it is. */
type Share = { readonly cycles: number; readonly fraction: number };

/** What an op spends on the path at one queue for one cause, and the instructions that do: `CHIP:QUEUE:PC`, as the debugger stops at. */
export type PathOp = Share & { readonly label: string; readonly sources: readonly string[]; readonly queue: Queue; readonly cause: PathCause; readonly executions: number; readonly instructions: readonly string[] };

/** The critical path of consecutive steps: added up in three ways, each to all their cycles, and whole. `chain`: what of it is work, or results on the way: that much the program takes whoever else wants HBM, and however soon news is heard. `began`: why the instructions on it did not start before. */
export type CriticalPathReport = {
  readonly schema: 'sohuc-critical-path/1';
  readonly machine: string;
  readonly steps: number;
  readonly cycles: number;
  readonly seconds: number;
  readonly chain: Share;
  readonly ops: readonly PathOp[];
  readonly queues: readonly (Share & { readonly queue: Queue })[];
  readonly causes: readonly (Share & { readonly cause: PathCause })[];
  readonly began: readonly (Share & { readonly link: Link })[];
  readonly path: readonly { readonly instruction: string; readonly layer: number; readonly label: string; readonly cause: PathCause; readonly began: Link; readonly from: number; readonly to: number }[];
};

const idOf = ({ chip, queue, pc }: PathStep): string => `${chip}:${queue}:${pc}`;

/** The report of a timing that was asked for its path. */
export function criticalPathReport({ debugMap }: Program, { path = [], steps, cycles, seconds, machine }: Timing): CriticalPathReport {
  const sources = new Map(debugMap.labels.map(({ label, sources: names }) => [label, names]));
  const share = (parts: readonly PathStep[]): Share => {
    const own = parts.reduce((sum, { from, to }) => sum + to - from, 0);
    return { cycles: own, fraction: own / cycles };
  };
  const by = <K extends string>(names: readonly K[], of: (step: PathStep) => K): readonly (readonly [K, Share])[] =>
    names.map((name) => [name, share(path.filter((step) => of(step) === name))] as const).filter(([, { cycles: own }]) => own > 0).toSorted(([, a], [, b]) => b.cycles - a.cycles);
  const ops = new Map<string, PathStep[]>();
  for (const part of path) {
    const key = JSON.stringify([part.label, part.queue, part.cause]);
    const parts = ops.get(key);
    if (parts === undefined) ops.set(key, [part]);
    else parts.push(part);
  }
  return {
    schema: 'sohuc-critical-path/1', machine: machine.name, steps, cycles, seconds,
    chain: share(path.filter(({ cause }) => cause === 'work' || cause === 'latency')),
    ops: [...ops.values()].map((parts): PathOp => {
      const [{ label, queue, cause }] = parts as [PathStep];
      return { label, sources: sources.get(label) ?? [], queue, cause, ...share(parts), executions: new Set(parts.map(({ instance }) => instance)).size, instructions: [...new Set(parts.map(idOf))].toSorted(byPlace) };
    }).toSorted((a, b) => b.cycles - a.cycles || (a.label < b.label ? -1 : 1)),
    queues: by(queues, ({ queue }) => queue).map(([queue, own]) => ({ queue, ...own })),
    causes: by(pathCauses, ({ cause }) => cause).map(([cause, own]) => ({ cause, ...own })),
    began: by(links, ({ link }) => link).map(([link, own]) => ({ link, ...own })),
    path: path.map((step) => ({ instruction: idOf(step), layer: step.layer, label: step.label, cause: step.cause, began: step.link, from: step.from, to: step.to })),
  };
}

const placeOf = (id: string): readonly [string, number] => [id.slice(0, id.lastIndexOf(':')), Number(id.slice(id.lastIndexOf(':') + 1))];
const byPlace = (a: string, b: string): number => {
  const [[left, x], [right, y]] = [placeOf(a), placeOf(b)];
  return left === right ? x - y : left < right ? -1 : 1;
};

const causeNames: Readonly<Record<PathCause, string>> = { work: 'work', weights: 'awaits weights', fifo: 'awaits room', hbm: 'shares HBM', latency: 'latency', synchronisation: 'synchronisation' };
const linkNames: Readonly<Record<Link, string>> = { beginning: 'nothing', order: 'the one before in its queue', data: 'a post of another', join: 'the other chips' };

/** Ops listed; the JSON has all. */
const shown = 16;

/** The path on one screen, at most 80 columns. */
export function renderCriticalPath(report: CriticalPathReport): string {
  const { ops, path, steps, cycles: all, seconds } = report;
  const rest = ops.slice(shown);
  const [first] = ops;
  const lines = ops.slice(0, shown).map(({ label, queue, cause, cycles, fraction, instructions }) =>
    `${percent(fraction).padStart(7)} ${grouped(cycles).padStart(12)}  ${cut(label, 22).padEnd(22)} ${`${queue} ${causeNames[cause]}`.padEnd(19)} ${spans(instructions)}`);
  const others = rest.reduce((sum, { cycles }) => sum + cycles, 0);
  const list = (of: readonly (Share & { readonly name: string })[]): string => of.map(({ name, fraction }) => `${name} ${percent(fraction)}`).join(', ');
  return [
    `critical path of ${plural(steps, 'step')} of ~${duration(seconds / steps)}: ${plural(all, 'cycle')}, ${plural(path.length, 'part')}`,
    '', ...lines, ...(rest.length === 0 ? [] : [`${percent(others / all).padStart(7)} ${grouped(others).padStart(12)}  ${rest.length} more`]), '',
    `queues       ${list(report.queues.map(({ queue, ...own }) => ({ name: queue, ...own })))}`,
    `causes       ${list(report.causes.map(({ cause, ...own }) => ({ name: causeNames[cause], ...own })))}`,
    `chain        ${percent(report.chain.fraction)} of work and latency, one after the other`,
    `began after  ${list(report.began.map(({ link, ...own }) => ({ name: linkNames[link], ...own })))}`,
    ...(first === undefined ? [] : [`first to fix \`${first.label}\` at ${first.queue} (${causeNames[first.cause]}): at most ${percent(first.fraction)} of the time to gain`]),
  ].join('\n');
}

const cut = (text: string, length: number): string => (text.length <= length ? text : `${text.slice(0, length - 3)}...`);

/** The first place and how many more: `0:att:5 +3`. */
const spans = (instructions: readonly string[]): string => `${instructions[0]}${instructions.length > 1 ? ` +${instructions.length - 1}` : ''}`;
