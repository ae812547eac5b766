import type { Token } from '../../isa-spec/instructions.ts';
import { decodeWorklist, openStepBlock } from '../../isa-spec/step-block.ts';
import { SimulationFault } from '../fault.ts';
import { advancePc } from '../functional/control.ts';
import type { MachineState } from '../functional/machine-state.ts';
import { type Prepared, type PreparedQueue, queueState } from '../functional/queue.ts';
import type { Chip, QueueState } from '../functional/state.ts';
import { hbmEfficiency, pipelineCycles, type Rates, ratesOf } from '../timing/rates.ts';
import { AccumulatorBanks } from './accumulators.ts';
import { SystolicArray } from './array.ts';
import { ClosedForms } from './closed.ts';
import { HbmChannel, type Transfer } from './dma.ts';
import { Epilogue } from './epilogue.ts';
import { RowStream, type Station } from './multiply.ts';
import { drainOf, type Issuing, jobOf, type Lines, linesOf, loadOf } from './operands.ts';
import { readPorts } from './port.ts';
import { AdderTree } from './tree.ts';
import { WeightPath, Weights } from './weights.ts';

/** What a step took: cycles; instructions issued; cycles arrays had an operand in them, all arrays together; cycles the epilogue waited for a bank of accumulators the arrays used. */
export type ReferenceResult = { readonly cycles: number; readonly instructions: number; readonly arrayCycles: number; readonly bankConflicts: number };

/** When something is done; undefined as long as that is not known. */
type Completion = { done: number | undefined };
/** An instruction not complete: its effect on the chip, if no unit has had it on the way, and its posts. */
type Flight = { readonly completion: Completion; readonly effect: () => void; readonly posts: readonly Token[] };
type Lane = { readonly queue: QueueState; readonly code: readonly Prepared[]; readonly flights: Flight[]; occupied: (cycle: number) => boolean; complete: number };

const dmaClients: Readonly<Partial<Record<string, number>>> = { dma0: 0, dma1: 1 };
const attentionClient = 2;
const highestCount = 15;

/**
 * Runs one step of a program on a machine of one chip, cycle by cycle; its matrix arrays share nothing but k. `state` keeps what it wrote to
 * HBM, as after a functional run. What is not of the arrays, their memories and the DMA takes its closed form, its effect coming whole as it completes.
 * `shared`: rows of `side` bytes a cycle that an array's readers of SRAM share, if they do not have ports of their own. Throws a SimulationFault, one if
 * `limit` cycles do not suffice.
 */
export function runReference(state: MachineState, block: Uint8Array, limit: number, shared: number | 'own' = 'own'): ReferenceResult {
  return new Clock(state, block, shared).run(limit);
}

class Clock {
  readonly #chip: Chip;
  readonly #rates: Rates;
  readonly #lanes: readonly Lane[];
  readonly #stations: readonly Station[];
  readonly #tree: AdderTree;
  readonly #weights: Weights;
  readonly #stream: RowStream;
  readonly #epilogue: Epilogue;
  readonly #channel: HbmChannel;
  readonly #closed: ClosedForms;
  #posts: { readonly time: number; readonly token: Token }[] = [];
  /** The `wld` being loaded. */
  #loading: Completion = { done: undefined };
  #instructions = 0;
  #lastPost = 0;

  constructor({ program, chips, codeOf }: MachineState, block: Uint8Array, shared: number | 'own') {
    const { machine } = program;
    const rates = ratesOf(machine, program.chips);
    const [chip] = chips;
    if (chip === undefined || chips.length !== 1) throw new RangeError('the reference is of one chip');
    const step = openStepBlock(block);
    chip.sram.reset();
    chip.semaphores.fill(0);
    chip.events.length = 0;
    chip.attention = undefined;
    chip.step = step;
    this.#chip = chip;
    this.#rates = rates;
    this.#lanes = codeOf(step.entry)[0]!.map(laneOf);
    const accumulators = new AccumulatorBanks(chip.geometry.accumulatorRows, rates.side);
    this.#tree = new AdderTree(rates.side, accumulators);
    // The epilogue drains the first array's accumulators, and reads beside it.
    const ports = Array.from({ length: rates.arrays }, () => readPorts(rates.side, shared));
    this.#stations = ports.map(({ operands, weights }) => {
      const array = new SystolicArray(rates.side, accumulators, this.#tree);
      return { array, path: new WeightPath(array, weights, rates.fifoTiles), operands };
    });
    this.#weights = new Weights(this.#stations.map(({ path }) => path));
    this.#stream = new RowStream(this.#stations, this.#weights);
    this.#epilogue = new Epilogue(accumulators, ports[0]!.epilogue, pipelineCycles);
    this.#channel = new HbmChannel(attentionClient + 1, rates.hbmLatency);
    this.#closed = new ClosedForms(chip, rates, decodeWorklist(step.tables.worklist));
  }

  run(limit: number): ReferenceResult {
    for (let cycle = 0; cycle <= limit; cycle++) {
      this.#channel.deliver(cycle);
      for (const lane of this.#lanes) this.#retire(lane, cycle);
      this.#deliver(cycle);
      for (const lane of this.#lanes) this.#issue(lane, cycle);
      if (this.#posts.length === 0 && this.#lanes.every(ended)) return this.#result();
      this.#step(cycle);
    }
    const stuck = this.#lanes.filter((lane) => !ended(lane)).map(({ queue }) => `${queue.name}[${queue.pc}]`);
    throw new SimulationFault('deadlock', `${stuck.join(', ')} not through after ${limit} cycles`);
  }

  /** The units, in the order of their claim to a read port they share. */
  #step(cycle: number): void {
    this.#channel.step(cycle);
    this.#stream.step(cycle);
    for (const { array } of this.#stations) array.step(cycle);
    this.#tree.step(cycle);
    this.#epilogue.step(cycle);
    if (this.#weights.step(cycle)) this.#loading.done = cycle + 1;
  }

  #result(): ReferenceResult {
    if (this.#weights.left > 0) throw new SimulationFault('unbalanced', `${this.#weights.left} weight tiles are left`);
    const cycles = this.#lanes.reduce((last, { complete }) => Math.max(last, complete), this.#lastPost);
    const arrayCycles = this.#stations.reduce((sum, { array }) => sum + array.busy, 0);
    return { cycles, instructions: this.#instructions, arrayCycles, bankConflicts: this.#epilogue.conflicts };
  }

  /** Instructions complete in order; their posts arrive `sync` cycles later. */
  #retire(lane: Lane, cycle: number): void {
    for (let flight = lane.flights[0]; flight?.completion.done !== undefined && flight.completion.done <= cycle; flight = lane.flights[0]) {
      flight.effect();
      lane.complete = Math.max(lane.complete, flight.completion.done);
      for (const token of flight.posts) this.#posts.push({ time: lane.complete + this.#rates.sync, token });
      lane.flights.shift();
    }
  }

  #deliver(cycle: number): void {
    if (this.#posts.every(({ time }) => time > cycle)) return;
    for (const { time, token } of this.#posts) {
      if (time > cycle) continue;
      const count = (this.#chip.semaphores[token.semaphore]! += token.count);
      if (count > highestCount) throw new SimulationFault('semaphore', `semaphore ${token.semaphore} would hold ${count}`);
      this.#lastPost = time;
    }
    this.#posts = this.#posts.filter(({ time }) => time > cycle);
  }

  /** Issues what the queue can issue in this cycle: one word, and the loop control around it. */
  #issue(lane: Lane, cycle: number): void {
    const { queue, code } = lane;
    const { semaphores } = this.#chip;
    while (!lane.occupied(cycle)) {
      const next = code[queue.pc];
      if (next === undefined || next.waits.some(({ semaphore, count }) => semaphores[semaphore]! < count)) return;
      for (const { semaphore, count } of next.waits) semaphores[semaphore]! -= count;
      this.#instructions++;
      lane.flights.push(this.#start(lane, next, cycle));
      advancePc(queue);
      this.#retire(lane, cycle);
    }
  }

  /** Hands an instruction to its unit, which occupies the queue until it can take the next. */
  #start(lane: Lane, prepared: Prepared, cycle: number): Flight {
    const { instruction, posts, run } = prepared;
    const issuing: Issuing = { chip: this.#chip, queue: lane.queue, slow: this.#rates.slow };
    const stepped = (completion: Completion, occupied: Lane['occupied']): Flight => {
      lane.occupied = occupied;
      return { completion, effect: () => {}, posts };
    };
    if (instruction.predicate !== undefined && lane.queue.P[instruction.predicate] !== 1) return { completion: { done: cycle }, effect: () => {}, posts };
    switch (instruction.op) {
      case 'loop':
      case 'call':
      case 'ret':
      case 'sreg':
      case 'salu':
      case 'setp':
        run(this.#chip, lane.queue);
        return { completion: { done: cycle }, effect: () => {}, posts };
      case 'wld':
        this.#loading = { done: undefined };
        this.#weights.begin(loadOf(issuing, instruction.fields));
        return stepped(this.#loading, () => this.#weights.loading);
      case 'mm': {
        const job = jobOf(issuing, instruction.fields);
        this.#stream.begin(job);
        return stepped(job.product, () => this.#stream.streaming);
      }
      case 'epi': {
        const drain = drainOf(issuing, instruction.fields);
        this.#epilogue.begin(drain);
        return stepped(drain.completed, () => this.#epilogue.draining);
      }
      case 'dld':
      case 'dst':
      case 'dgat':
      case 'dsct': {
        const lines = linesOf(issuing, instruction);
        if (lines === undefined) return stepped({ done: cycle + 1 }, (now) => now <= cycle);
        const completed = this.#transfer(dmaClients[lane.queue.name]!, lines, cycle, 0);
        return stepped(completed, (now) => completed.left === undefined || now < completed.left);
      }
      default:
        return this.#whole(lane, prepared, cycle);
    }
  }

  #transfer(client: number, lines: Lines, from: number, pace: number): Transfer['completed'] {
    const completed: Transfer['completed'] = { left: undefined, done: undefined };
    const { run, ...transfer } = lines;
    this.#channel.begin(client, { ...transfer, from, pace, cost: this.#rates.lineBytes / (this.#rates.hbm * hbmEfficiency(this.#rates, run)), completed });
    return completed;
  }

  /** An instruction by its closed form. Its effect comes as it completes, with the loop indices and registers of now. */
  #whole(lane: Lane, { instruction, posts, run }: Prepared, cycle: number): Flight {
    const { cycles, latency, hbmBytes, runBytes } = this.#closed.costOf(instruction, lane.queue);
    const then: QueueState = { ...lane.queue, I: [...lane.queue.I], R: lane.queue.R.slice() };
    const effect = (): void => run(this.#chip, then);
    if (hbmBytes === 0) {
      lane.occupied = (now) => now < cycle + cycles;
      return { completion: { done: cycle + cycles + latency }, effect, posts };
    }
    const count = hbmBytes / this.#rates.lineBytes;
    const completed = this.#transfer(attentionClient, { lines: count, run: runBytes, move: () => () => {} }, cycle, cycles / count);
    lane.occupied = (now) => completed.left === undefined || now < Math.max(completed.left, cycle + cycles);
    return { completion: completed, effect, posts };
  }
}

const ended = ({ queue, flights, code }: Lane): boolean => queue.pc >= code.length && flights.length === 0;

const laneOf = (prepared: PreparedQueue): Lane => ({ queue: queueState(prepared), code: prepared.code, flights: [], occupied: () => false, complete: 0 });
