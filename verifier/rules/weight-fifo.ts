import type { Format } from '../../isa-spec/fields.ts';
import type { InstructionOf } from '../../isa-spec/instructions.ts';
import { weightFormatOf } from '../../isa-spec/profiles.ts';
import { type ChipView, type Finding, nameOf, placeOf } from '../chip.ts';
import type { Effects } from '../effects.ts';
import type { Instance, Watcher } from '../walk.ts';

type Geometry = Pick<InstructionOf<'wld' | 'mm'>['fields'], 'scaling' | 'kTiles' | 'nTiles' | 'split' | 'kSplit'>;

/** V17. What a product takes from the weight FIFO is what was pushed for it: the same format, scaling, tiles and splits. That there is as much of it as is taken is V05 and V06. */
export class WeightFifo implements Watcher {
  readonly findings: Finding[] = [];
  readonly #chip: ChipView;
  readonly #effects: Effects;
  readonly #wld: number;
  readonly #pushed: number[] = [];
  /** Products and what they took, by their instructions: what was pushed there is the same each time. */
  readonly #taken = new Set<number>();

  constructor(chip: ChipView, effects: Effects) {
    this.#chip = chip;
    this.#effects = effects;
    this.#wld = chip.queues.findIndex(({ queue }) => queue === 'wld');
  }

  sees(queue: number, pc: number): boolean {
    const { op } = this.#effects[queue]![pc]!.instruction;
    return op === 'wld' || op === 'mm';
  }

  issued({ queue, pc }: Instance): void {
    const { instruction } = this.#effects[queue]![pc]!;
    if (instruction.op === 'wld') this.#pushed.push(pc);
    if (instruction.op !== 'mm') return;
    const pushed = this.#pushed.shift()!;
    const push = this.#effects[this.#wld]![pushed]!.instruction as InstructionOf<'wld'>;
    const taken = pc * this.#effects[this.#wld]!.length + pushed;
    if (this.#taken.has(taken)) return;
    this.#taken.add(taken);
    const [is, should] = [geometry(weightFormatOf(instruction.fields), instruction.fields), geometry(push.fields.format, push.fields)];
    if (is === should) return;
    this.findings.push({
      rule: 'V17', place: placeOf(this.#chip, 'mxu', pc),
      message: `${nameOf(this.#chip, 'mxu', pc)} multiplies by ${is}, ${nameOf(this.#chip, 'wld', pushed)} has pushed ${should}`, notes: [],
    });
  }

  state(): string {
    return this.#pushed.join(' ');
  }
}

const geometry = (format: Format, { scaling, kTiles, nTiles, split, kSplit = 0 }: Geometry): string => `${format}${scaling === undefined ? '' : ` with ${scaling} scales`} ${kTiles} x ${nTiles} tiles, for ${2 ** split} groups${kSplit === 0 ? '' : ` of ${2 ** kSplit} along k`}`;
