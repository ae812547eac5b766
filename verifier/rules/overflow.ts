import type { InstructionOf } from '../../isa-spec/instructions.ts';
import { profileOf } from '../../isa-spec/profiles.ts';
import { type ChipView, type Finding, nameOf, placeOf } from '../chip.ts';
import { type Effect, effectOf, type Effects, type Site } from '../effects.ts';
import type { Instance, Watcher } from '../walk.ts';

/** Largest magnitude of an e4m3 element, and what an accumulator of 54 bits with 18 of them fraction holds: below 2^35. */
const elementMax = 448;
const accumulatorMax = 2 ** 35;

/** V21. No exact sum can leave its accumulator: K * 448 * 448 < 2^35, with K all that is added up before the sum is overwritten. */
export class Overflow implements Watcher {
  readonly findings: Finding[] = [];
  readonly #chip: ChipView;
  readonly #products: readonly (readonly (Product | undefined)[])[];
  readonly #k = new Map<number, number>();

  constructor(chip: ChipView, effects: Effects) {
    this.#chip = chip;
    this.#products = effects.map((sites) => sites.map(productOf));
  }

  sees(queue: number, pc: number): boolean {
    return this.#products[queue]![pc] !== undefined;
  }

  issued({ queue, pc, I }: Instance): void {
    const { acc, accumulate, adds } = this.#products[queue]![pc]!;
    const { start } = acc.box(I);
    const begins = accumulate === 'no' || (accumulate === 'first' && I[3] === 0);
    const k = (begins ? 0 : (this.#k.get(start) ?? 0)) + adds;
    this.#k.set(start, k);
    if (k * elementMax * elementMax < accumulatorMax || this.findings.length > 0) return;
    const name = nameOf(this.#chip, 'mxu', pc);
    this.findings.push({ rule: 'V21', place: placeOf(this.#chip, 'mxu', pc), message: `${name} adds up ${k} products of e4m3: ${k} * 448 * 448 is not below 2^35`, notes: ['drain the sum and go on with another, or multiply in bf16'] });
  }

  state(): string {
    return [...this.#k].map(([start, k]) => `${start} ${k}`).join(',');
  }
}

type Product = { readonly acc: Effect; readonly accumulate: InstructionOf<'mm'>['fields']['accumulate']; readonly adds: number };

/** An exact product: how many it adds to each sum. */
function productOf(site: Site): Product | undefined {
  const { instruction, sizes: { side } } = site;
  if (instruction.op !== 'mm' || profileOf(instruction.fields) !== 'exact') return undefined;
  const { accumulate, kTiles, kLast } = instruction.fields;
  return { acc: effectOf(site, 'acc'), accumulate, adds: (kTiles - 1) * side + kLast };
}
