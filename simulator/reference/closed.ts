import { type Instruction } from '../../isa-spec/instructions.ts';
import type { WorkEntry } from '../../isa-spec/step-block.ts';
import { SimulationFault } from '../fault.ts';
import { type Chip, type QueueState, windowOf } from '../functional/state.ts';
import { attentionCost } from '../timing/attention.ts';
import { finishCost } from '../timing/cycles.ts';
import type { Rates } from '../timing/rates.ts';
import { costOf } from '../timing/stream.ts';

/** What an instruction of a unit that is not stepped takes: cycles in its unit, cycles more to completion, bytes it asks HBM for meanwhile, evenly. */
export type ClosedCost = { readonly cycles: number; readonly latency: number; readonly hbmBytes: number; readonly runBytes: number };

/** The closed forms of the host, the vector unit and the attention unit, whose window of queries it remembers. */
export class ClosedForms {
  readonly #chip: Chip;
  readonly #rates: Rates;
  readonly #work: readonly WorkEntry[];
  #window: { readonly query: Extract<Instruction, { op: 'aq' }>['fields']; readonly first: number; readonly rows: number } | undefined;

  constructor(chip: Chip, rates: Rates, work: readonly WorkEntry[]) {
    this.#chip = chip;
    this.#rates = rates;
    this.#work = work;
  }

  costOf(instruction: Instruction, queue: QueueState): ClosedCost {
    const { op, fields } = instruction;
    if (op === 'coll') throw new SimulationFault('operand', 'a collective, on the only chip');
    if (op === 'attn' || op === 'afin') return this.#attention(instruction);
    const { first, rows } = 'rows' in fields ? windowOf(queue, fields.rows) : { first: 0, rows: 0 };
    if (op === 'aq') this.#window = { query: fields, first, rows };
    const counted = op === 'hostw' ? { ...instruction, fields: { ...fields, bytes: Math.min(fields.bytes, this.#chip.step.tables[fields.table].length) } } : instruction;
    const { cycles, latency } = costOf(counted, rows, this.#rates);
    return { cycles, latency, hbmBytes: 0, runBytes: 0 };
  }

  #attention({ op, fields }: Extract<Instruction, { op: 'attn' | 'afin' }>): ClosedCost {
    const window = this.#window;
    if (window === undefined) throw new SimulationFault('operand', `${op} without aq before it`);
    if (op === 'afin') return { cycles: finishCost(window.query, fields, window.rows, this.#rates).cycles, latency: 0, hbmBytes: 0, runBytes: 0 };
    const { cycles, hbmBytes, runBytes } = attentionCost({ query: window.query, keys: fields, rates: this.#rates }, this.#work, window.first, window.rows);
    return { cycles, latency: hbmBytes > 0 ? this.#rates.hbmLatency : 0, hbmBytes, runBytes };
  }
}
