/**
 * What a program can do wrong while it runs.
 * bounds: an address outside its memory, HBM region or accumulators. operand: fields that contradict each other or the machine.
 * control: loops that do not nest. table: a host table that is missing or not well formed. semaphore: a count above 15.
 * fifo: a matrix product whose weights are not those pushed. collective: chips that meet with different collectives.
 * assert: a `trace` whose register, or a `salu` whose result, is not within its bounds. deadlock: queues that wait for ever. unbalanced: tokens or weights left when every queue has ended.
 * race: two accesses to the same memory, one of them a write, that nothing orders. limit: more instructions than the run was to take.
 */
export type FaultKind = 'bounds' | 'operand' | 'control' | 'table' | 'semaphore' | 'fifo' | 'collective' | 'assert' | 'deadlock' | 'unbalanced' | 'race' | 'limit';

/** Where a program stopped: the instruction `pc` of a chip's queue, in iteration `I` of its loops; `calls`: those in force, by their pc, innermost last; `label`: the op it was made of, if known. */
export type FaultPlace = { readonly chip: number; readonly queue: string; readonly pc: number; readonly op: string; readonly I: readonly number[]; readonly calls: readonly number[]; readonly label?: string };

export const placeText = ({ chip, queue, pc, op, I, calls, label }: FaultPlace): string => {
  const called = calls.length === 0 ? '' : `, called at ${calls.toReversed().join(', at ')}`;
  return `chip ${chip} ${queue}[${pc}] ${op}${label === undefined ? '' : ` \`${label}\``} (I = ${I.join(', ')}${called})`;
};

/** What a queue that cannot go on waits for. */
export type Blocked = FaultPlace & { readonly waitsFor: string };

/**
 * The program stopped. `place` is there unless the whole machine is at fault; `blocked` lists the queues of a deadlock; `other` is the
 * instruction that this one races with.
 */
export class SimulationFault extends Error {
  readonly kind: FaultKind;
  readonly reason: string;
  readonly place: FaultPlace | undefined;
  readonly blocked: readonly Blocked[];
  readonly other: FaultPlace | undefined;

  constructor(kind: FaultKind, reason: string, place?: FaultPlace, blocked: readonly Blocked[] = [], other?: FaultPlace) {
    const where = place === undefined ? '' : ` at ${placeText(place)}`;
    const waiting = blocked.map((b) => `\n  ${placeText(b)} waits for ${b.waitsFor}`);
    super(`${kind}: ${reason}${where}${waiting.join('')}`);
    this.name = 'SimulationFault';
    this.kind = kind;
    this.reason = reason;
    this.place = place;
    this.blocked = blocked;
    this.other = other;
  }

  /** The same fault, said of the instruction that caused it. */
  at(place: FaultPlace): SimulationFault {
    return this.place === undefined && this.blocked.length === 0 ? new SimulationFault(this.kind, this.reason, place, [], this.other) : this;
  }
}
