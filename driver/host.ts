import type { Step } from '../ir/step.ts';
import type { Program } from '../isa-spec/program.ts';
import { encodeStepBlock, type StepTables } from '../isa-spec/step-block.ts';
import { readElements, writeElements } from '../simulator/functional/elements.ts';
import { createMachineState, type MachineState, readHbm, writeHbm } from '../simulator/functional/machine-state.ts';
import { type Checks, noChecks, type Observe, type StepResult, StepRun } from '../simulator/functional/run.ts';
import { roundRobin, type Schedule } from '../simulator/functional/schedule.ts';
import { type ByteSource, viewsOf } from '../simulator/memory.ts';
import { stageCount } from './steady-report.ts';
import { tablesOf } from './step-tables.ts';

/**
 * New rows of one sequence: its token ids (as many numbers as rows, where the program takes none), their positions (default: on from what is cached) and types (default: 0), and
 * which of the rows outputs are wanted of (entries whose outputs have a row a token ignore it).
 */
export type SequenceRows = {
  readonly id: number;
  readonly ids: readonly number[];
  readonly positions?: readonly number[];
  readonly types?: readonly number[];
  readonly samples: 'last' | 'first' | 'largest' | 'all' | 'none';
  /** Activations by the name of the input, row-major, where the program takes any. */
  readonly rows?: ReadonlyMap<string, Float64Array>;
};

/** A result of a step: `rows` rows of `columns` values, row-major. */
export type Output = { readonly rows: number; readonly columns: number; readonly data: Float64Array };

/** What a step was and gave. `outputs`: by the source model's names, one row a token or a sampled row, in the order of `step`. */
export type SessionStep = { readonly step: Step; readonly tables: StepTables; readonly outputs: ReadonlyMap<string, Output>; readonly result: StepResult };

/** A step under way: its runs, each to be run to its end before the next is asked for (one; of a pipeline one for each stage), then ended. */
export type Begun = { readonly runs: Iterable<StepRun>; readonly end: () => SessionStep };

/** A step the program cannot take: too large for its bounds, or not made of sequences. */
export class HostError extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'HostError';
  }
}

const boundNames = ['tokens', 'sequences', 'samples', 'memory', 'poolPages', 'pageRows', 'pageListEntries'] as const;
type Bounds = Readonly<Record<(typeof boundNames)[number], number>>;

const boundsOf = (program: Program, entry: number): Bounds => {
  const { name, bounds } = program.entries[entry]!;
  return Object.fromEntries(
    boundNames.map((bound) => {
      const value = bounds[bound];
      if (value === undefined) throw new HostError(`entry \`${name}\` does not say its bound \`${bound}\``);
      return [bound, value];
    }),
  ) as Record<keyof Bounds, number>;
};

/** Why a step's ids, positions or types are none the model has, if so: what lies behind a table would be read as a row of it. */
const beyond = (meta: Program['meta'], step: Step): string | undefined => {
  const limits = (meta['limits'] ?? {}) as Readonly<Record<string, unknown>>;
  return (['ids', 'positions', 'types'] as const).flatMap((feed) => {
    const limit = limits[feed];
    const value = typeof limit === 'number' ? step[feed].find((one) => !Number.isInteger(one) || one < 0 || one >= limit) : undefined;
    return value === undefined ? [] : [`${feed.slice(0, -1)} ${value} where the model has ${String(limit)}`];
  })[0];
};

/** Why a step is too large for an entry, if it is. */
const excess = (bounds: Bounds, tables: StepTables): string | undefined => {
  const wanted = { ...tables.counts, pageListEntries: Math.max(tables.pages.length, tables.memoryPages.length) };
  const over = (['tokens', 'sequences', 'samples', 'memory', 'pageListEntries'] as const).find((bound) => wanted[bound] > bounds[bound]);
  return over === undefined ? undefined : `a step of ${wanted[over]} ${over} where the program takes ${bounds[over]}`;
};

const noRows: StepTables = { entry: 0, counts: { tokens: 0, sequences: 0, samples: 0, memory: 0 }, ids: [], positions: [], types: [], slots: [], samples: [], worklist: [], pages: [], memorySlots: [], memoryWorklist: [], memoryPages: [] };

const merged = (results: readonly StepResult[]): StepResult => ({
  events: (results[0]?.events ?? []).map((_, chip) => results.flatMap(({ events }) => events[chip] ?? [])),
  instructions: results.reduce((sum, { instructions }) => sum + instructions, 0),
});

/** A cached sequence: its rows so far and the pages that hold them. */
type Cached = { readonly rows: number; readonly pages: readonly number[] };

/**
 * Pages of the KV pool. Those of a sequence stay its own until it is released; handed out lowest first.
 */
class PagePool {
  readonly #free: number[];

  constructor(pages: number) {
    this.#free = Array.from({ length: pages }, (_, i) => pages - 1 - i);
  }

  get free(): number {
    return this.#free.length;
  }

  take(count: number): readonly number[] {
    return this.#free.splice(this.#free.length - count, count).toReversed();
  }

  give(pages: readonly number[]): void {
    this.#free.push(...pages);
    this.#free.sort((a, b) => b - a);
  }
}

type Planned = { readonly step: Step; readonly tables: StepTables; readonly cached: ReadonlyMap<number, Cached>; readonly taken: readonly number[]; readonly lent: readonly number[] };

/**
 * What the host keeps of a program that runs: its machine, which pages of the KV pool each sequence has, and how far it is.
 * Entries named `encode` remember nothing: their pages are given back after each step, and so are those of memory, which comes with every step.
 * Sequences share no pages.
 */
export class HostSession {
  readonly state: MachineState;
  readonly #program: Program;
  readonly #bounds: readonly Bounds[];
  readonly #pool: PagePool;
  readonly #cached = new Map<number, Cached>();

  /** `weights[chip]` reads a chip's weight region. */
  constructor(program: Program, weights: readonly ByteSource[]) {
    this.#program = program;
    this.#bounds = program.entries.map((_, entry) => boundsOf(program, entry));
    const pools = new Set(this.#bounds.map(({ poolPages, pageRows }) => `${poolPages} of ${pageRows}`));
    if (pools.size !== 1) throw new HostError(`entries share the KV pool and disagree on its pages: ${[...pools].join(', ')} rows`);
    this.#pool = new PagePool(this.#bounds[0]!.poolPages);
    this.state = createMachineState(program, weights);
  }

  /** Rows cached of a sequence. */
  past(id: number): number {
    return this.#cached.get(id)?.rows ?? 0;
  }

  /** Forgets a sequence: its pages are free again. */
  release(id: number): void {
    this.#pool.give(this.#cached.get(id)?.pages ?? []);
    this.#cached.delete(id);
  }

  /**
   * Runs one step of new rows of some sequences, prompts and single tokens mixed as they come. Throws HostError if the step does not
   * fit (nothing has changed then), and SimulationFault if the program stops.
   */
  step(sequences: readonly SequenceRows[], schedule: Schedule = roundRobin, observe?: Observe): SessionStep {
    const { runs, end } = this.begin(sequences, schedule, noChecks, observe);
    for (const run of runs) while (run.advance());
    return end();
  }

  /** As `step`, for who runs it an instruction at a time. */
  begin(sequences: readonly SequenceRows[], schedule: Schedule, checks: Checks, observe?: Observe): Begun {
    const planned = this.#plan(sequences);
    this.#bring(planned.step);
    const ended: StepResult[] = [];
    return { runs: this.#runs(planned, (blocks) => new StepRun(this.state, blocks, schedule, observe, checks), ended), end: () => this.#ended(planned, merged(ended)) };
  }

  /** The step goes through the stages of a pipeline one after the other, while the others have nothing to do. */
  *#runs({ tables }: Planned, start: (blocks: readonly Uint8Array[]) => StepRun, ended: StepResult[]): Generator<StepRun> {
    const { entries, chips } = this.#program;
    const stages = stageCount(this.#program);
    const stageOf = (chip: number): number => Math.floor((chip * stages) / chips);
    const entryOf = (chip: number): number => (stages === 1 ? tables.entry : entries.findIndex((one) => one.chips.includes(chip)));
    for (let stage = 0; stage < stages; stage++) {
      const ofChip = (chip: number): StepTables => ({ ...(stageOf(chip) === stage ? tables : noRows), entry: entryOf(chip) });
      const run = start(Array.from({ length: chips }, (_, chip) => encodeStepBlock(ofChip(chip))));
      yield run;
      ended.push(run.finish());
    }
  }

  #ended(planned: Planned, result: StepResult): SessionStep {
    const outputs = this.#outputs(planned.tables);
    if (this.#program.entries[planned.tables.entry]!.name === 'encode') this.#pool.give(planned.taken);
    else {
      this.#pool.give(planned.lent);
      for (const [id, cached] of planned.cached) this.#cached.set(id, cached);
    }
    return { step: planned.step, tables: planned.tables, outputs, result };
  }

  #plan(sequences: readonly SequenceRows[]): Planned {
    if (sequences.length === 0) throw new HostError('a step of no sequences');
    const { pageRows } = this.#bounds[0]!;
    const wanted = sequences.map((sequence, i) => {
      const problem = malformed(sequence, this.#program.ioMap.inputs) ?? (sequences.findIndex(({ id }) => id === sequence.id) < i ? 'comes twice in a step' : undefined);
      if (problem !== undefined) throw new HostError(`sequence ${sequence.id} ${problem}`);
      const before = this.#cached.get(sequence.id) ?? { rows: 0, pages: [] };
      const rows = before.rows + sequence.ids.length;
      const memory = memoryRows(sequence.rows, this.#program.ioMap.inputs);
      return { sequence, before, rows, memory, more: Math.ceil(rows / pageRows) - before.pages.length, besides: Math.ceil(memory / pageRows) };
    });
    const step = stepOf(wanted.map(({ sequence, before, memory }) => ({ sequence, past: before.rows, memory })));
    const outside = beyond(this.#program.meta, step);
    if (outside !== undefined) throw new HostError(outside);
    const pages = wanted.reduce((sum, { more, besides }) => sum + more + besides, 0);
    if (pages > this.#pool.free) throw new HostError(`a step that takes ${pages} more pages of the KV pool, which has ${this.#pool.free} free`);

    const taken = this.#pool.take(pages);
    let used = 0;
    const cached = new Map(wanted.map(({ sequence, before, rows, more }) => [sequence.id, { rows, pages: [...before.pages, ...taken.slice(used, (used += more))] }]));
    const lent = new Map(wanted.map(({ sequence, besides }) => [sequence.id, taken.slice(used, (used += besides))]));
    const tables = tablesOf(step, (id) => ({ own: cached.get(id)!.pages, memory: lent.get(id)! }), pageRows);
    const entry = this.#bounds.findIndex((bounds) => excess(bounds, tables) === undefined);
    if (entry < 0) {
      this.#pool.give(taken);
      throw new HostError(excess(this.#bounds.at(-1)!, tables)!);
    }
    return { step, tables: { ...tables, entry }, cached, taken, lent: [...lent.values()].flat() };
  }

  /** Writes a step's activations to every chip of the first stage, rounded to the format they are read in. */
  #bring({ rows }: Step): void {
    const line = this.#program.machine.sram.lineBytes.value;
    for (const { name, base, offset, pitch, columns, format } of this.#program.ioMap.inputs) {
      const data = rows?.get(name) as Float64Array;
      const views = viewsOf((data.length / columns) * pitch * line);
      for (let r = 0; r * columns < data.length; r++) writeElements[format](views, r * pitch * line, columns, data, r * columns);
      for (const chip of this.#program.entries[0]!.chips) writeHbm(this.state, chip, base, offset * line, views.u8);
    }
  }

  /** Results as a chip of the last stage holds them; gathered results are alike on all. */
  #outputs(tables: StepTables): ReadonlyMap<string, Output> {
    const line = this.#program.machine.sram.lineBytes.value;
    const holder = this.#program.entries.at(-1)!.chips[0]!;
    return new Map(
      this.#program.ioMap.outputs.map(({ name, base, offset, pitch, columns, format, rows: of }) => {
        const rows = tables.counts[of];
        const views = viewsOf(rows * pitch * line);
        views.u8.set(readHbm(this.state, holder, base, offset * line, rows * pitch * line));
        const data = new Float64Array(rows * columns);
        for (let r = 0; r < rows; r++) readElements[format](views, r * pitch * line, columns, data, r * columns);
        return [name, { rows, columns, data }];
      }),
    );
  }
}

const malformed = ({ ids, positions, types, rows }: SequenceRows, inputs: Program['ioMap']['inputs']): string | undefined => {
  if (ids.length === 0) return 'brings no rows';
  const memory = memoryRows(rows, inputs);
  if (memory === 0 && inputs.some(({ rows: of }) => of === 'memory')) return 'brings nothing to attend to';
  const wrong = inputs.find(({ name, columns, rows: of }) => rows?.get(name)?.length !== (of === 'memory' ? memory : ids.length) * columns);
  if (wrong !== undefined) return `has ${rows?.get(wrong.name)?.length ?? 'no'} elements of \`${wrong.name}\` for ${wrong.rows === 'memory' ? memory : ids.length} rows of ${wrong.columns}`;
  if (positions !== undefined && positions.length !== ids.length) return `has ${positions.length} positions for ${ids.length} rows`;
  if (types !== undefined && types.length !== ids.length) return `has ${types.length} types for ${ids.length} rows`;
  return undefined;
};

/** How many rows a sequence brings to attend to besides its own. */
const memoryRows = (rows: SequenceRows['rows'] | undefined, inputs: Program['ioMap']['inputs']): number => {
  const first = inputs.find(({ rows: of }) => of === 'memory');
  return first === undefined ? 0 : Math.floor((rows?.get(first.name)?.length ?? 0) / first.columns);
};

/** The ragged batch of sequences' new rows. */
const stepOf = (sequences: readonly { readonly sequence: SequenceRows; readonly past: number; readonly memory: number }[]): Step => {
  const samples: number[] = [];
  let row = 0;
  for (const { sequence: { ids, samples: wanted } } of sequences) {
    if (wanted === 'all') samples.push(...ids.map((_, i) => row + i));
    else if (wanted !== 'none') samples.push(row + { first: 0, last: ids.length - 1, largest: ids.indexOf(ids.reduce((most, id) => Math.max(most, id), -Infinity)) }[wanted]);
    row += ids.length;
  }
  return {
    sequences: sequences.map(({ sequence: { id, ids }, past, memory }) => ({ id, rows: ids.length, past, ...(memory === 0 ? {} : { memory }) })),
    ids: sequences.flatMap(({ sequence }) => sequence.ids),
    positions: sequences.flatMap(({ sequence: { ids, positions }, past }) => positions ?? ids.map((_, i) => past + i)),
    types: sequences.flatMap(({ sequence: { ids, types } }) => types ?? ids.map(() => 0)),
    samples,
    rows: new Map([...(sequences[0]?.sequence.rows?.keys() ?? [])].map((name) => [name, joined(sequences.map(({ sequence }) => sequence.rows?.get(name) ?? new Float64Array(0)))])),
  };
};

function joined(parts: readonly Float64Array[]): Float64Array {
  const all = new Float64Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => {
    all.set(part, at);
    return at + part.length;
  }, 0);
  return all;
}
