/**
 * A read port of the array's part of SRAM: so many bytes a cycle, given to whoever asks first in the cycle. Where units share one, the order
 * in which the clock steps them is their priority.
 */
export class ReadPort {
  readonly #bytesPerCycle: number;
  #cycle = -1;
  #left = 0;

  constructor(bytesPerCycle: number) {
    this.#bytesPerCycle = bytesPerCycle;
  }

  /** Takes as much of `bytes` as is left in this cycle; how much that was. */
  upTo(bytes: number, cycle: number): number {
    if (cycle !== this.#cycle) this.#left = this.#bytesPerCycle;
    this.#cycle = cycle;
    const taken = Math.min(bytes, this.#left);
    this.#left -= taken;
    return taken;
  }

  /** Takes `bytes`, all or none. */
  take(bytes: number, cycle: number): boolean {
    const taken = this.upTo(bytes, cycle);
    if (taken === bytes) return true;
    this.#left += taken;
    return false;
  }
}

/** The ports of the units that read for the array, in the order of their claim to a port they share. */
export type ReadPorts = { readonly operands: ReadPort; readonly epilogue: ReadPort; readonly weights: ReadPort };

/**
 * own: every unit has its port, a row of `side` bytes a cycle wide for operands and weights, a row of any format for the epilogue.
 * Shared: one port of so many such rows for all three.
 */
export function readPorts(side: number, shared: number | 'own'): ReadPorts {
  if (shared === 'own') return { operands: new ReadPort(side), epilogue: new ReadPort(Infinity), weights: new ReadPort(side) };
  const port = new ReadPort(shared * side);
  return { operands: port, epilogue: port, weights: port };
}
