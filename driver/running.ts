import type { Program } from '../isa-spec/program.ts';
import type { Checks, StepRun } from '../simulator/functional/run.ts';
import { type Schedule, scheduleNamed } from '../simulator/functional/schedule.ts';
import { Commands } from './debug-commands.ts';
import { Debugger, traceLine } from './debugger.ts';
import type { HostSession, SequenceRows, SessionStep } from './host.ts';
import type { Start } from './inputs.ts';
import type { Options } from './options.ts';
import { UsageError } from './session.ts';
import type { Terminal } from './terminal.ts';

/** How a program's steps are run. `drive` runs one; false if the user has quit. */
export type Conduct = { readonly schedule: Schedule; readonly checks: Checks; readonly drive: (run: StepRun) => Promise<boolean>; readonly close: () => void };

/** As the options have it: as fast as can be, traced, or by the debugger. */
export function conductOf(options: Options, { state }: HostSession, terminal: Terminal): Conduct {
  const schedule = scheduleNamed(options.schedule);
  if (schedule === undefined) throw new UsageError(`there is no schedule \`${options.schedule}\`: take roundRobin, early, late or random:SEED`);
  const checks = { races: options.checkRaces, instructions: options.maxInstructions };
  const say = (text: string): void => terminal.print(text);
  if (options.break.length === 0 && options.watch.length === 0) return { schedule, checks, drive: options.trace ? traced(say) : freely, close: () => {} };
  const commands = new Commands(process.stdin, process.stdout);
  const driver = new Debugger(state, commands, options.trace, say);
  const problem = [...options.break.map((text) => driver.addBreak(text)), ...options.watch.map((text) => driver.addWatch(text))].find((one) => one !== undefined);
  if (problem !== undefined) {
    commands.close();
    throw new UsageError(problem);
  }
  return { schedule, checks, drive: (run) => driver.drive(run), close: () => commands.close() };
}

const freely: Conduct['drive'] = async (run) => {
  while (run.advance());
  return true;
};

const traced = (say: (text: string) => void): Conduct['drive'] => async (run) => {
  for (let runner = run.next(); runner !== undefined; runner = run.next()) {
    if (runner.queue.offer === undefined) say(traceLine(run, runner));
    run.advance();
  }
  return true;
};

/** `1,2,3;4,5`: one prompt each. */
export function promptsOf({ prompt }: Options): readonly (readonly number[])[] {
  const text = prompt === '' ? '1,5,9,2,7,3,8;4,1,6' : prompt;
  return text.split(';').map((sequence) =>
    sequence.split(',').map((id) => {
      const value = Number(id);
      if (id.trim() === '' || !Number.isInteger(value) || value < 0) throw new UsageError(`\`--prompt\` takes token ids, and \`${id}\` is none`);
      return value;
    }),
  );
}

/** Sequences under way: a prompt first, then the tokens chosen, the most likely each time. */
export class Running {
  readonly sequences: { readonly prompt: readonly number[]; readonly generated: number[] }[];
  readonly #starts: readonly Start[];
  readonly #samples: 'first' | 'last' | 'largest';
  readonly #program: Program;
  readonly #session: HostSession;
  readonly #conduct: Conduct;
  #last: { readonly name: string; readonly columns: number; readonly rows: readonly Float64Array[] } | undefined;

  constructor(program: Program, session: HostSession, starts: readonly Start[], conduct: Conduct) {
    this.#program = program;
    this.#session = session;
    this.#conduct = conduct;
    this.#starts = starts;
    this.#samples = (['first', 'largest'] as const).find((sample) => program.meta['samples'] === sample) ?? 'last';
    this.sequences = starts.map(({ ids }) => ({ prompt: ids, generated: [] }));
  }

  /** Undefined if the user has quit. Throws as `HostSession.step`. */
  async step(): Promise<{ readonly rows: readonly SequenceRows[]; readonly made: SessionStep } | undefined> {
    const cached = this.#program.entries[0]?.name !== 'encode';
    const rows = this.sequences.map(({ prompt, generated }, id): SequenceRows => {
      const whole = [...prompt, ...generated];
      return { id, ids: cached && generated.length > 0 ? whole.slice(-1) : whole, samples: this.#samples, rows: this.#starts[id]?.rows ?? new Map() };
    });
    const { runs, end } = this.#session.begin(rows, this.#conduct.schedule, this.#conduct.checks);
    for (const run of runs) if (!(await this.#conduct.drive(run))) return undefined;
    const made = end();
    this.#choose(made);
    return { rows, made };
  }

  /** The sampled row of each sequence of the first result: logits, of which the largest is the next token. */
  #choose({ step, outputs }: SessionStep): void {
    const [entry] = outputs;
    if (entry === undefined) return;
    const [name, { rows, columns, data }] = entry;
    const perToken = rows === step.ids.length;
    const picked = step.sequences.map((_, s) => {
      const row = perToken ? (step.samples[s] ?? 0) : s;
      return data.subarray(row * columns, (row + 1) * columns);
    });
    this.#last = { name, columns, rows: picked };
    picked.forEach((logits, s) => this.sequences[s]?.generated.push(largest(logits)));
  }

  text(): string {
    const lm = this.#program.ioMap.outputs.some(({ name }) => /logits/i.test(name));
    if (lm) return this.sequences.map(({ prompt, generated }, i) => `sequence ${i}: ${prompt.join(',')} -> ${generated.join(',')}`).join('\n');
    const shown = (row: Float64Array): string => `[${[...row.subarray(0, 4)].map((value) => value.toFixed(4)).join(', ')}, ...]`;
    return (this.#last?.rows ?? []).map((row, i) => `sequence ${i}: ${this.#last?.name ?? ''}, ${this.#samples === 'largest' ? 'row of the largest id,' : `${this.#samples} row of`} ${this.#last?.columns ?? 0}: ${shown(row)}`).join('\n');
  }
}

function largest(values: Float64Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if ((values[i] as number) > (values[best] as number)) best = i;
  return best;
}
