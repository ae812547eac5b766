import { queues } from '../../isa-spec/instructions.ts';
import type { Chip } from './chip.ts';
import { finishCost } from './cycles.ts';
import { EventHeap } from './heap.ts';
import { type Lane, laneState, queueIndex, stallIndex } from './lane.ts';
import { account } from './losses.ts';
import { hbmEfficiency } from './rates.ts';
import type { Recording } from './recording.ts';
import { Repetition } from './repetition.ts';
import { actionCode, issuesOf, prepare } from './stream.ts';
import { accumulate, bookAttention, bookMultiply, bookQueries, drain, flowOf, hostCycles, queueOfFlow, transferWork, windowCost } from './units.ts';

/** Why a program cannot be run to its end, and where that was found. */
export type TimingFault = {
  readonly kind: 'deadlock' | 'semaphoreOverflow' | 'sharedSemaphore' | 'weightFifo' | 'control' | 'register' | 'noQueries' | 'budget';
  readonly message: string;
  readonly chip: number;
  readonly queue: string;
  readonly pc: number;
  readonly cycle: number;
};

/** Which of the chips simulated stand for those that one of them meets in a collective of `members`. */
export type Meets = (chip: number, members: number) => readonly number[];

/** Instructions after which to give up, and cycles: once they are over, or are sure to be. */
export type Limits = { readonly budget: number; readonly cycles?: number | undefined };

/** What is issued in a quarter of the time is a quarter of all, give or take what queues run ahead of each other. */
const leastPace = 0.9;

/** A semaphore counts in four bits. */
const highestCount = 15;
const { ctl, wld, mxu, att, col } = queueIndex;
const { ready, busy, waiting, joining, finished } = laneState;
const { loop, call, return: leave, count, compute, compare, dma, weights, multiply, drain: drains, query, attend, finish, gather } = actionCode;

const steers = (action: number): boolean => action === loop || action === call || action === leave;
/** What keeps a queue from going on there. */
const controlFaults: Readonly<Record<number, string>> = {
  [loop]: 'a loop nests more than four deep, or its body runs past what is around it',
  [call]: 'a call leads beyond the code, or is one too many in force',
  [leave]: 'a subprogram returns from inside a loop',
};

/** The event loop over the simulated chips of a program. After `run`, what happened in the steps so far is in the chips. */
export class Simulation {
  readonly #chips: readonly Chip[];
  readonly #lanes: readonly Lane[];
  readonly #budget: number;
  readonly #cycles: number;
  #checkpoint: number;
  readonly #events = new EventHeap();
  readonly #recording: Recording | undefined;
  readonly #repetition: Repetition | undefined;
  readonly #meets: Meets;
  #now = 0;
  /** Instructions issued. */
  instructions = 0;
  #fault: TimingFault | undefined;

  constructor(chips: readonly Chip[], meets: Meets, { budget, cycles = Infinity }: Limits, recording: Recording | undefined) {
    this.#recording = recording;
    this.#repetition = recording === undefined ? new Repetition(chips, this.#events) : undefined;
    this.#meets = meets;
    this.#chips = chips;
    this.#lanes = chips.flatMap((chip) => chip.lanes);
    this.#budget = budget;
    this.#cycles = cycles;
    this.#checkpoint = cycles / 4;
  }

  /** Runs the step the chips have begun to its end: the cycle that is at, or why there is none. A step ends when its last post is visible. */
  run(): number | TimingFault {
    const events = this.#events;
    this.#recording?.begins(this.#lanes);
    for (const lane of this.#lanes) this.#advance(lane);
    while (this.#fault === undefined) {
      if (this.#repetition?.isDue === true) this.#skip(this.#repetition);
      const flowing = this.#nextFlow(events.next);
      const time = flowing === undefined ? events.next : flowing.hbm.next;
      if (time === Infinity) break;
      this.#now = time;
      if (flowing !== undefined) {
        this.#flowEnds(flowing);
        continue;
      }
      events.pop();
      const lane = this.#lanes[events.queue]!;
      account(this.#chips[lane.chip]!, time);
      if (events.pc < 0) {
        this.#retire(lane);
        this.#advance(lane);
      } else this.#deliver(lane, events.pc);
    }
    return this.#fault ?? this.#stuck() ?? this.#finish();
  }

  /** Skips repetitions, as many as are sure to end before there is anything to be said of them. */
  #skip(repetition: Repetition): void {
    const period = repetition.look(this.#now, this.instructions);
    if (period === undefined) return;
    const { cycles, instructions } = period;
    const times = Math.floor(Math.min(period.times, (this.#budget - this.instructions) / instructions, (Math.min(this.#cycles, this.#checkpoint) - this.#now) / cycles));
    if (times < 1) return;
    repetition.repeat(times);
    this.#now += times * cycles;
    this.instructions += times * instructions;
  }

  /** The chip whose HBM has a flow that ends no later than `before`, the earliest. */
  #nextFlow(before: number): Chip | undefined {
    let first: Chip | undefined;
    let time = before;
    for (let index = 0; index < this.#chips.length; index++) {
      const chip = this.#chips[index]!;
      if (chip.hbm.next === Infinity || chip.hbm.next > time) continue;
      time = chip.hbm.next;
      first = chip;
    }
    return first;
  }

  /** Issues what the queue can issue now. Loop control takes no time: it runs ahead of the units. */
  #advance(lane: Lane): void {
    const { stream } = lane;
    while (this.#fault === undefined) {
      const pc = lane.head();
      if (pc >= stream.length) return lane.calls === 0 ? lane.enter(finished, this.#now) : this.#fail('control', lane, 'the code ends within a subprogram');
      if (!this.#take(lane, pc)) return;
      if (this.#now > this.#cycles) return this.#fail('budget', lane, `more than ${Math.round(this.#cycles)} cycles`);
      if (this.#now > this.#checkpoint && !this.#keepsPace()) return this.#fail('budget', lane, `at this pace more than ${Math.round(this.#cycles)} cycles`);
      if (++this.instructions > this.#budget) return this.#fail('budget', lane, `more than ${this.#budget} instructions`);
      lane.issued++;
      const action = stream.action[pc]!;
      if (action === compare) lane.compare(pc);
      else if (action === compute) {
        if (!lane.compute(pc)) return this.#fail('register', lane, 'the result is not in the range the instruction declares');
      }
      else if (action === count) lane.setRegister(stream.a[pc]!, this.#chips[lane.chip]!.step.counts[stream.b[pc]!]!);
      else if (!steers(action) && lane.acts(pc)) {
        lane.enter(busy, this.#now);
        this.#recording?.issued(lane, this.#now);
        return this.#issue(lane, action);
      }
      this.#post(lane, this.#now);
      if (!lane.goOn(action, pc)) return this.#fail('control', lane, controlFaults[action]!);
    }
  }

  /** Asked once, when a quarter of the cycles there are is over: whether about a quarter of the first step's instructions is issued. Layers take turns of equal length, so the rest will not be faster. */
  #keepsPace(): boolean {
    this.#checkpoint = Infinity;
    const all = this.#lanes.reduce((sum, { stream }) => sum + issuesOf(stream), 0);
    return this.instructions > (all / 4) * leastPace;
  }

  /** Takes all waits of the instruction at once, or leaves the queue waiting for the first that is not there. */
  #take(lane: Lane, pc: number): boolean {
    const { stream } = lane;
    const from = stream.waitStart[pc]!, to = stream.waitStart[pc + 1]!;
    if (from === to) return true;
    const chip = this.#chips[lane.chip]!;
    if (lane.state === waiting) {
      const poster = chip.poster[lane.blockedOn]!;
      lane.stall(poster < 0 ? stallIndex.unposted : poster, this.#now - lane.since);
    }
    for (let i = from; i < to; i++) {
      const semaphore = stream.waitSemaphore[i]!;
      if (chip.value[semaphore]! >= stream.waitCount[i]!) continue;
      if (chip.waiter[semaphore]! >= 0) this.#fail('sharedSemaphore', lane, `two queues wait for semaphore ${semaphore}`);
      chip.waiter[semaphore] = lane.queue;
      lane.blockedOn = semaphore;
      lane.enter(waiting, this.#now);
      return false;
    }
    for (let i = from; i < to; i++) chip.value[stream.waitSemaphore[i]!]! -= stream.waitCount[i]!;
    return true;
  }

  #issue(lane: Lane, action: number): void {
    const chip = this.#chips[lane.chip]!;
    const { stream, pc } = lane;
    const slot = prepare(stream, pc, lane.rows(pc), chip.rates);
    lane.slot = slot;
    switch (action) {
      case dma:
        if (stream.hbmBytes[slot] === 0) break;
        return this.#transfer(chip, lane);
      case weights:
        this.#recording?.takesTurn(this.#recording.loads, lane);
        if (!chip.fifo.beginLoad(this.#now, stream.a[pc]!, stream.b[pc]!)) this.#fail('weightFifo', lane, 'wld and mm differ in k-tiles');
        return this.#gang(chip);
      case multiply:
        this.#recording?.takesTurn(this.#recording.products, lane);
        accumulate(chip, lane);
        if (!chip.fifo.beginMultiply(this.#now, stream.a[pc]!, stream.tile[slot]!, stream.level[pc]!)) this.#fail('weightFifo', lane, 'wld and mm differ in k-tiles');
        return this.#gang(chip);
      case drains:
        drain(chip, lane);
        break;
      case query:
        chip.window.pc = pc;
        chip.window.first = lane.firstRow(pc);
        chip.window.rows = lane.rows(pc);
        bookQueries(chip, stream.cycles[slot]!);
        break;
      case attend:
        return this.#attend(chip, lane);
      case finish:
        return this.#storeWindow(chip, lane);
      case gather:
        return this.#join(chip, lane);
      default:
        chip.totals.laneOps += stream.work[slot]!;
        if (lane.queue === mxu) lane.slot = -1;
        if (lane.queue === ctl) return this.#occupy(lane, hostCycles(chip, lane));
    }
    this.#occupy(lane, stream.cycles[slot]!);
  }

  /** The queue is at work for `cycles` and completes its latency later. */
  #occupy(lane: Lane, cycles: number): void {
    lane.work(cycles);
    this.#recording?.needs(lane, cycles);
    this.#events.push(this.#now + cycles, lane.index, -1);
  }

  #transfer(chip: Chip, lane: Lane): void {
    const work = transferWork(chip, lane);
    this.#recording?.needs(lane, Math.ceil(work / chip.rates.hbm));
    chip.hbm.begin(flowOf(lane.queue), this.#now, work, Infinity);
  }

  /** Books what has become known of the load and the multiplication under way. */
  #gang(chip: Chip): void {
    const known = chip.fifo.advance();
    if (known & 1) {
      const lane = chip.lanes[wld]!;
      this.#known(lane, lane.stream.a[lane.pc]! * lane.stream.b[lane.pc]!, chip.fifo.loadTime, stallIndex.fifo);
    }
    if (known & 2) {
      const lane = chip.lanes[mxu]!;
      bookMultiply(chip, lane);
      this.#known(lane, lane.stream.cycles[lane.slot]!, chip.fifo.multiplyTime, stallIndex.weights);
    }
  }

  /** The queue's instruction is `cycles` at work until `end`; the rest of its time is a stall. */
  #known(lane: Lane, cycles: number, end: number, reason: number): void {
    lane.work(cycles);
    this.#recording?.needs(lane, cycles);
    lane.stall(reason, end - lane.since - cycles);
    this.#events.push(end, lane.index, -1);
  }

  #attend(chip: Chip, lane: Lane): void {
    const cost = windowCost(chip, lane);
    if (cost === undefined) return this.#fail('noQueries', lane, 'attn without aq before it');
    chip.attend = cost;
    this.#recording?.needs(lane, cost.cycles);
    if (cost.hbmBytes === 0) {
      bookAttention(chip, lane, cost, cost.cycles);
      return this.#events.push(this.#now + cost.cycles, lane.index, -1);
    }
    const keys = lane.stream.instructions[lane.pc]!;
    if (keys.op === 'attn') chip.regionBytes[keys.fields.kv.base]! += cost.hbmBytes;
    const work = cost.hbmBytes / hbmEfficiency(chip.rates, cost.runBytes);
    chip.hbm.begin(flowOf(att), this.#now, work, work / cost.cycles);
  }

  #storeWindow(chip: Chip, lane: Lane): void {
    const loaded = chip.window.pc < 0 ? undefined : lane.stream.instructions[chip.window.pc];
    const stores = lane.stream.instructions[lane.pc]!;
    if (loaded?.op !== 'aq' || stores.op !== 'afin') return this.#fail('noQueries', lane, 'afin without aq before it');
    const { cycles } = finishCost(loaded.fields, stores.fields, chip.window.rows, chip.rates);
    bookQueries(chip, cycles);
    this.#occupy(lane, cycles);
  }

  /** A collective starts when every chip that meets in it has reached it. */
  #join(chip: Chip, lane: Lane): void {
    lane.state = joining;
    chip.joined = this.#now;
    const count = (one: Lane): number => one.stream.a[one.pc]!;
    const members = this.#meets(lane.chip, count(lane)).map((index) => this.#chips[index]!);
    const lanes = members.map((member) => member.lanes[col]!);
    if (lanes.some((one) => one.state !== joining || count(one) !== count(lane))) return;
    this.#recording?.joined(lanes, lane, this.#now);
    // In a shift chips have different numbers of rows: what comes may take longer than what goes.
    const longest = Math.max(...lanes.map((one) => one.stream.cycles[one.slot]!));
    for (const member of members) {
      account(member, this.#now);
      const theirs = member.lanes[col]!;
      theirs.stall(stallIndex.join, this.#now - member.joined);
      theirs.enter(busy, this.#now);
      member.totals.linkBytes += theirs.stream.linkBytes[theirs.slot]!;
      this.#occupy(theirs, longest);
    }
  }

  #flowEnds(chip: Chip): void {
    account(chip, this.#now);
    for (let flow = chip.hbm.end(this.#now); flow >= 0; flow = chip.hbm.end(this.#now)) {
      const lane = chip.lanes[queueOfFlow(flow)]!;
      const took = this.#now - lane.since;
      if (lane.queue === att) bookAttention(chip, lane, chip.attend!, took);
      else lane.work(took);
      this.#retire(lane);
      this.#advance(lane);
    }
  }

  /** The queue's instruction is off its unit: its posts leave when it completes, in order. */
  #retire(lane: Lane): void {
    const chip = this.#chips[lane.chip]!;
    let latency = lane.slot < 0 ? 0 : lane.stream.latency[lane.slot]!;
    if (lane.queue === att && chip.attend !== undefined) {
      if (chip.attend.hbmBytes > 0) latency = chip.rates.hbmLatency;
      chip.attend = undefined;
    }
    this.#recording?.retired(lane, this.#now, latency);
    this.#post(lane, this.#now + latency);
    lane.pc++;
    lane.enter(ready, this.#now);
  }

  #post(lane: Lane, done: number): void {
    if (done > lane.complete) {
      lane.complete = done;
      this.#recording?.completes(lane);
    }
    const { stream, pc } = lane;
    const from = stream.postStart[pc]!, to = stream.postStart[pc + 1]!;
    if (from === to) return;
    const chip = this.#chips[lane.chip]!;
    const time = lane.complete + chip.rates.sync;
    for (let i = from; i < to; i++) chip.visible[stream.postSemaphore[i]!] = time;
    this.#recording?.posted(lane, pc);
    this.#events.push(time, lane.index, pc);
  }

  /** The posts of the instruction at `pc` become visible. */
  #deliver(lane: Lane, pc: number): void {
    const chip = this.#chips[lane.chip]!;
    const { stream } = lane;
    const by = this.#recording?.delivered(lane, pc);
    for (let i = stream.postStart[pc]!; i < stream.postStart[pc + 1]!; i++) {
      const semaphore = stream.postSemaphore[i]!;
      const value = (chip.value[semaphore]! += stream.postCount[i]!);
      if (value > highestCount) return this.#fail('semaphoreOverflow', lane, `semaphore ${semaphore} counts to ${value}`);
      const waiter = chip.waiter[semaphore]!;
      if (waiter < 0) continue;
      chip.waiter[semaphore] = -1;
      if (by !== undefined) this.#recording?.woken(chip.lanes[waiter]!, by);
      this.#advance(chip.lanes[waiter]!);
    }
  }

  #fail(kind: TimingFault['kind'], lane: Lane, message: string): void {
    this.#fault ??= { kind, message, chip: lane.chip, queue: queues[lane.queue]!, pc: lane.pc, cycle: this.#now };
  }

  /** A queue that is not through when nothing more will happen. */
  #stuck(): TimingFault | undefined {
    const lane = this.#lanes.find(({ state }) => state !== finished);
    if (lane === undefined) return undefined;
    const value = this.#chips[lane.chip]!.value[lane.blockedOn]!;
    const semaphore = `waits for semaphore ${lane.blockedOn}, which is at ${value}`;
    this.#fail('deadlock', lane, lane.state === waiting ? semaphore : lane.state === joining ? 'waits for the other chips' : 'waits for the weight FIFO');
    return this.#fault;
  }

  /** Closes every account at the end of the last completion. */
  #finish(): number {
    const end = this.#lanes.reduce((last, lane) => Math.max(last, lane.complete), this.#now);
    for (const chip of this.#chips) account(chip, end);
    for (const lane of this.#lanes) lane.stalls[stallIndex.finished]! += end - lane.since;
    return (this.#now = end);
  }
}
