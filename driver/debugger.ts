import { setImmediate as turn } from 'node:timers/promises';
import { mnemonics, queues } from '../isa-spec/instructions.ts';
import { type FaultPlace, placeText, SimulationFault } from '../simulator/fault.ts';
import type { MachineState } from '../simulator/functional/machine-state.ts';
import type { Runner, StepRun } from '../simulator/functional/run.ts';
import type { Commands } from './debug-commands.ts';
import { accumulatorText, bytesOf, placeOf, regionNamed, regionText, slotOf, type Tensor, tensorsOf } from './debug-memory.ts';

/** `QUEUE:PC` of a chip or of all, an op by its label or a name it had in the model, a mnemonic, or the start of a step. */
type Breakpoint = { readonly text: string; readonly hits: (place: Place) => boolean };
type Place = ReturnType<StepRun['placeOf']> & { readonly entered: boolean };
type Watchpoint = { readonly tensor: Tensor; readonly chip: number; held: readonly Uint8Array[] | undefined };

/** How far to go: instructions of any queue, or of one; to another op; until a queue has so few calls in force; or to the next breakpoint. */
type Until = { readonly kind: 'steps'; left: number; readonly queue: string | undefined } | { readonly kind: 'op'; readonly label: string | undefined } | { readonly kind: 'depth'; readonly of: Runner; readonly calls: number } | { readonly kind: 'break' };

/** What the user asked for that cannot be done. */
class Misunderstood extends Error {}

const helpText = `step [N] | step QUEUE [N]   run one instruction (N of them), of whichever queue is next or of one queue
next                        the same of one instruction; if it is a call, run until its queue has come back from it
out                         run until the queue that is next has come back from the subprogram it is in
op                          run until an instruction of another op is next
continue                    run until a breakpoint, a change of what is watched, or the end
break OP | QUEUE:PC | start stop before an op (its label or its name in the model), an instruction, all of a mnemonic, a step
watch TENSOR                stop when its contents change
breakpoints, delete N       list what stops, remove one
print TENSOR [ROW]          its first rows and columns, or one row whole
print sram LINE[:ROWS] FORMAT [COLUMNS] | hbm BASE LINE[:ROWS] FORMAT [COLUMNS] | acc ARRAY ROW[:ROWS]
tensors [TEXT], ops [TEXT]  their names
queues                      where each queue is and what it waits for
where, chip N, quit
A command may be shortened to its first letters; an empty line repeats the last.`;
const names = ['step', 'next', 'out', 'op', 'continue', 'break', 'watch', 'breakpoints', 'delete', 'print', 'tensors', 'ops', 'queues', 'where', 'chip', 'quit', 'help'] as const;
/** What one letter means where several commands begin with it. */
const letters: Readonly<Record<string, (typeof names)[number]>> = { s: 'step', b: 'break', c: 'continue', o: 'op', p: 'print', q: 'quit', w: 'where', t: 'tensors', n: 'next' };

/** Whether that is where to stop, and the instruction at `place` is next. */
function arrived(until: Until, place: FaultPlace): boolean {
  switch (until.kind) {
    case 'steps':
      return until.left <= 0;
    case 'op':
      return until.label !== place.label;
    case 'depth':
      return until.of.queue.calls.length <= until.calls;
    case 'break':
      return false;
  }
}

/** One line of an instruction about to run: how many came before, where it is, its tokens. */
export function traceLine(run: StepRun, runner: Runner): string {
  const { waits, posts } = runner.prepared[runner.queue.pc]!;
  const tokens = (verb: string, list: typeof waits): string => (list.length === 0 ? '' : `  ${verb} ${list.map(({ semaphore, count }) => `s${semaphore}${count === 1 ? '' : `*${count}`}`).join(' ')}`);
  return `${String(run.instructions).padStart(7)}  ${placeText(run.placeOf(runner))}${tokens('takes', waits)}${tokens('gives', posts)}`;
}

/** Drives steps by commands. Breakpoints and watches stay from step to step. */
export class Debugger {
  readonly #state: MachineState;
  readonly #say: (text: string) => void;
  readonly #commands: Commands;
  readonly #trace: boolean;
  readonly #stops: (Breakpoint | Watchpoint)[] = [];
  #run: StepRun | undefined;
  #until: Until = { kind: 'break' };
  #chip = 0;
  #last = '';
  /** No more commands will come: stops are only told. */
  #deaf = false;
  readonly #labels = new Map<number, string | undefined>();

  constructor(state: MachineState, commands: Commands, trace: boolean, say: (text: string) => void) {
    this.#state = state;
    this.#commands = commands;
    this.#trace = trace;
    this.#say = say;
  }

  /** A breakpoint as `--break` has it. Returns what is wrong with it, if anything. */
  addBreak(text: string): string | undefined {
    return this.#answer(() => this.#break(text));
  }

  addWatch(text: string): string | undefined {
    return this.#answer(() => this.#watch(text));
  }

  /** Runs a step as far as commands take it: true when it has ended, false if the user quits. Throws the step's SimulationFault. */
  async drive(run: StepRun): Promise<boolean> {
    this.#run = run;
    this.#labels.clear();
    for (const stop of this.#stops) if ('tensor' in stop) stop.held = undefined;
    let stopped = this.#stopAt(run, true);
    for (;;) {
      if (stopped !== undefined) {
        this.#say(stopped);
        if (!(await this.#ask(undefined))) return false;
      }
      try {
        stopped = await this.#go(run);
      } catch (error) {
        if (!(error instanceof SimulationFault)) throw error;
        this.#say(error.message);
        await this.#ask(error);
        throw error;
      }
      if (stopped === undefined) return true;
    }
  }

  /** Runs until something stops it, and says what; undefined when the step has ended. */
  async #go(run: StepRun): Promise<string | undefined> {
    for (let turns = 1; ; turns++) {
      const runner = run.next();
      if (runner === undefined) {
        run.finish();
        return undefined;
      }
      if (this.#trace && runner.queue.offer === undefined) this.#say(traceLine(run, runner));
      const place = run.placeOf(runner);
      this.#labels.set(runner.index, place.label);
      run.advance();
      if (this.#until.kind === 'steps' && (this.#until.queue === undefined || this.#until.queue === place.queue)) this.#until.left--;
      const stopped = this.#changed(placeText(place)) ?? this.#stopAt(run, false);
      if (stopped !== undefined) return stopped;
      if (turns % 4096 === 0) {
        await turn();
        if (this.#commands.interrupted()) return `interrupted\n${this.#where()}`;
      }
    }
  }

  /** Why to stop before the instruction that is next, if there is a reason. */
  #stopAt(run: StepRun, starting: boolean): string | undefined {
    const runner = run.next();
    if (runner === undefined) return undefined;
    const place = run.placeOf(runner);
    const here = { ...place, entered: !this.#labels.has(runner.index) || this.#labels.get(runner.index) !== place.label };
    const hit = this.#stops.findIndex((stop) => 'hits' in stop && (stop.text === 'start' ? starting : runner.queue.offer === undefined && stop.hits(here)));
    if (hit >= 0) return `breakpoint ${hit + 1}: ${(this.#stops[hit] as Breakpoint).text}\n${this.#where()}`;
    return arrived(this.#until, place) ? this.#where() : undefined;
  }

  /** What is watched and has changed. The first look is not a change. */
  #changed(by: string): string | undefined {
    const said: string[] = [];
    for (const stop of this.#stops) {
      if (!('tensor' in stop)) continue;
      const { tensor } = stop;
      const now = Array.from({ length: tensor.slots }, (_, slot) => bytesOf(this.#state.chips[stop.chip]!, slotOf(tensor, slot), 0, tensor.rows)).flat();
      const before = stop.held;
      stop.held = now;
      const row = before === undefined ? -1 : now.findIndex((bytes, i) => Buffer.compare(bytes, before[i]!) !== 0);
      if (row >= 0) said.push(`${tensor.name} has changed, row ${row % tensor.rows}${tensor.slots > 1 ? ` of slot ${Math.floor(row / tensor.rows)}` : ''}: by ${by}`, ...this.#tensorText(tensor, Math.floor(row / tensor.rows), stop.chip, { row: row % tensor.rows, whole: false }));
    }
    return said.length === 0 ? undefined : [...said, this.#where()].join('\n');
  }

  /** Obeys commands until one goes on (true) or quits (false). After a fault nothing goes on. */
  async #ask(fault: SimulationFault | undefined): Promise<boolean> {
    if (this.#deaf) return true;
    for (;;) {
      const line = await this.#commands.next();
      if (line === undefined) {
        if (this.#commands.interactive) return false;
        this.#deaf = true;
        this.#until = { kind: 'break' };
        return true;
      }
      const text = line.trim() === '' ? this.#last : line.trim();
      if (text === '') continue;
      this.#last = text;
      if (!this.#commands.interactive) this.#say(`(sohuc) ${text}`);
      const [word = '', ...rest] = text.split(/\s+/);
      const name = letters[word] ?? names.find((known) => known === word) ?? names.find((known) => known.startsWith(word));
      if (name === 'quit') return false;
      let goesOn = false;
      const problem = this.#answer(() => {
        goesOn = this.#obey(name, rest);
      });
      if (problem !== undefined) this.#say(problem);
      else if (goesOn && fault === undefined) return true;
      else if (goesOn) this.#say('the program has stopped');
    }
  }

  #answer(act: () => void): string | undefined {
    try {
      act();
      return undefined;
    } catch (error) {
      if (error instanceof Misunderstood || error instanceof RangeError) return error.message;
      if (error instanceof SimulationFault) return error.reason;
      throw error;
    }
  }

  /** Obeys one command; true if the program is to go on. */
  #obey(name: (typeof names)[number] | undefined, words: readonly string[]): boolean {
    const [first = '', second = ''] = words;
    switch (name) {
      case 'step':
        this.#until = { kind: 'steps', ...this.#stepsOf(first, second) };
        return true;
      case 'next':
      case 'out':
        this.#until = this.#untilBack(name);
        return true;
      case 'op':
        this.#until = { kind: 'op', label: this.#next()?.label };
        return true;
      case 'continue':
        this.#until = { kind: 'break' };
        return true;
      case 'break':
        this.#say(this.#break(first));
        return false;
      case 'watch':
        this.#say(this.#watch(first));
        return false;
      case 'breakpoints':
        this.#say(this.#stops.length === 0 ? 'none' : this.#stops.map((stop, i) => `${i + 1}  ${'hits' in stop ? `break ${stop.text}` : `watch ${stop.tensor.name} of chip ${stop.chip}`}`).join('\n'));
        return false;
      case 'delete':
        if (this.#stops[Number(first) - 1] === undefined) throw new Misunderstood(`there is no breakpoint \`${first}\``);
        this.#stops.splice(Number(first) - 1, 1);
        this.#say('removed; those after it have new numbers');
        return false;
      case 'print':
        this.#say(this.#print(words).join('\n'));
        return false;
      case 'tensors':
        this.#say(this.#tensors().filter((tensor) => tensor.name.includes(first)).map((tensor) => `${tensor.name}  ${placeOf(tensor)}`).join('\n') || 'none');
        return false;
      case 'ops':
        this.#say(this.#state.program.debugMap.labels.filter(({ label }) => label.includes(first)).map(({ label, sources }) => `${label}${sources.length === 0 ? '' : `  (${sources.join(', ')})`}`).join('\n') || 'none');
        return false;
      case 'queues':
        this.#say(this.#run!.waiting().map((blocked) => `${placeText(blocked)} ${blocked.waitsFor === 'nothing' ? 'can go on' : `waits for ${blocked.waitsFor}`}`).join('\n') || 'all have ended');
        return false;
      case 'where':
        this.#say(this.#where());
        return false;
      case 'chip':
        if (this.#state.chips[Number(first)] === undefined || first === '') throw new Misunderstood(`there is no chip \`${first}\``);
        this.#chip = Number(first);
        this.#say(`print and watch mean chip ${first}`);
        return false;
      case 'help':
        this.#say(helpText);
        return false;
      default:
        throw new Misunderstood('there is no such command; `help` lists them');
    }
  }

  #stepsOf(first: string, second: string): { left: number; readonly queue: string | undefined } {
    const queue = queues.find((name) => name === first);
    const count = queue === undefined ? first : second;
    if (count !== '' && !/^[1-9]\d{0,8}$/.test(count)) throw new Misunderstood(`\`${count}\` is neither a queue nor a number`);
    return { left: count === '' ? 1 : Number(count), queue };
  }

  /** Until the queue that is next has as many calls in force as now; or, to come out of a subprogram, one less. */
  #untilBack(name: 'next' | 'out'): Until {
    const runner = this.#run?.next();
    if (runner === undefined) return { kind: 'break' };
    const { queue } = runner;
    if (name === 'out' && queue.calls.length === 0) throw new Misunderstood(`${queue.name} is in no subprogram`);
    if (name === 'next' && queue.code[queue.pc]!.op !== 'call') return { kind: 'steps', left: 1, queue: undefined };
    return { kind: 'depth', of: runner, calls: queue.calls.length - (name === 'out' ? 1 : 0) };
  }

  #next(): ReturnType<StepRun['placeOf']> | undefined {
    const runner = this.#run?.next();
    return runner === undefined ? undefined : this.#run?.placeOf(runner);
  }

  #where(): string {
    const runner = this.#run?.next();
    return runner === undefined ? 'nothing is next' : `next:${traceLine(this.#run!, runner)}`;
  }

  #break(text: string): string {
    this.#stops.push({ text, hits: this.#hitsOf(text) });
    return `breakpoint ${this.#stops.length}: ${text}`;
  }

  #hitsOf(text: string): Breakpoint['hits'] {
    if (text === 'start') return () => false;
    const { labels, entries } = this.#state.program.debugMap;
    const at = /^(?:(\d+):)?([a-z]+\d?):(\d+)$/.exec(text);
    const queue = queues.find((name) => name === at?.[2]);
    if (at !== null && queue !== undefined) {
      const pc = Number(at[3]);
      const length = Math.max(0, ...entries.map((entry) => entry[queue].length), ...this.#state.codeOf(0).map((chip) => chip.find(({ name }) => name === queue)?.code.length ?? 0));
      if (pc >= length) throw new Misunderstood(`\`${queue}\` has ${length} instructions`);
      return (place) => place.queue === queue && place.pc === pc && (at[1] === undefined || place.chip === Number(at[1]));
    }
    if (mnemonics.some((name) => name === text)) return (place) => place.op === text;
    const named = new Set(labels.filter(({ label, sources }) => label === text || sources.includes(text)).map(({ label }) => label));
    if (named.size > 0) return (place) => place.entered && place.label !== undefined && named.has(place.label);
    const near = labels.filter(({ label }) => text !== '' && label.includes(text)).map(({ label }) => label).slice(0, 8);
    throw new Misunderstood(`nothing is called \`${text}\`${near.length === 0 ? '; `ops` lists the ops, a place is QUEUE:PC' : `: ${near.join(', ')}`}`);
  }

  #watch(text: string): string {
    const tensor = this.#tensor(text);
    this.#stops.push({ tensor, chip: this.#chip, held: undefined });
    if (this.#run !== undefined) this.#changed('');
    return `watch ${this.#stops.length}: ${tensor.name}  ${placeOf(tensor)}`;
  }

  #tensors(): readonly Tensor[] {
    return tensorsOf(this.#state.program, this.#state.chips[0]?.step.entry ?? 0);
  }

  #tensor(text: string): Tensor {
    const all = this.#tensors();
    const near = all.filter(({ name }) => name.includes(text));
    const found = all.find(({ name }) => name === text) ?? (near.length === 1 && text !== '' ? near[0] : undefined);
    if (found !== undefined) return found;
    throw new Misunderstood(`no tensor is called \`${text}\`${near.length === 0 || text === '' ? '; `tensors` lists them' : `: ${near.slice(0, 8).map(({ name }) => name).join(', ')}`}`);
  }

  #print(words: readonly string[]): readonly string[] {
    const chip = this.#state.chips[this.#chip]!;
    const [name = '', second = '', third = ''] = words;
    if (name === 'acc') {
      const rows = /^(\d+)(?::(\d+))?$/.exec(third);
      if (!/^\d+$/.test(second) || rows === null) throw new Misunderstood('`print acc ARRAY ROW[:ROWS]`');
      return accumulatorText(chip, Number(second), Number(rows[1]), Number(rows[2] ?? 1));
    }
    const region = regionNamed(words, this.#state);
    if (region !== undefined) return [placeOf(region), ...regionText(chip, region, undefined, false)];
    const tensor = this.#tensor(name);
    if (second !== '' && !(/^\d+$/.test(second) && Number(second) < tensor.rows)) throw new Misunderstood(`${tensor.name} has ${tensor.rows} rows`);
    const row = second === '' ? undefined : Number(second);
    return Array.from({ length: tensor.slots }, (_, slot) => this.#tensorText(tensor, slot, this.#chip, { row, whole: row !== undefined })).flat();
  }

  #tensorText(tensor: Tensor, slot: number, chip: number, { row, whole }: { readonly row: number | undefined; readonly whole: boolean }): readonly string[] {
    const region = slotOf(tensor, slot);
    return [`${tensor.name}${tensor.slots > 1 ? ` slot ${slot}` : ''}  ${placeOf(region)}`, ...regionText(this.#state.chips[chip]!, region, row, whole)];
  }
}
