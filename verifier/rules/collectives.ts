import { type ChipView, type Finding, nameOf, placeOf } from '../chip.ts';
import { registersOf } from '../registers.ts';
import { loopsAround } from '../unroll.ts';

/**
 * V18. All chips come to the same collectives in the same order: kind, tag, rows and bytes. As their queues of collectives
 * agree and each chip comes to its end by itself (V05), the chips come to theirs together: a chip can only be held up by
 * another that has still to come to the same collective, and the one that is furthest behind is held up by none.
 */
export function collectives(views: readonly ChipView[]): readonly Finding[] {
  const [first, ...others] = views;
  if (first === undefined) return [];
  const wanted = shapeOf(first);
  return others.flatMap((view): readonly Finding[] => {
    const found = shapeOf(view);
    const at = found.findIndex((one, i) => one.text !== wanted[i]?.text);
    if (at < 0 && found.length === wanted.length) return [];
    const [mine, theirs] = [found[at], wanted[at < 0 ? found.length : at]];
    const say = (chip: ChipView, one: (typeof found)[number] | undefined): string => `chip ${chip.chips.join(', ')} ${one === undefined ? 'has none left' : `comes to ${one.text} (${nameOf(chip, 'col', one.pc)})`}`;
    return [{ rule: 'V18', place: placeOf(view, 'col', mine?.pc), message: `chips do not come to the same collectives: ${say(first, theirs)}, ${say(view, mine)}`, notes: [] }];
  });
}

/** A queue's collectives in order, each with the loops around it. */
const shapeOf = ({ queues }: ChipView): readonly { readonly pc: number; readonly text: string }[] => {
  const code = queues.find(({ queue }) => queue === 'col')?.code ?? [];
  const around = loopsAround(code);
  const { before } = registersOf(code, {});
  return code.flatMap((instruction, pc) => {
    if (instruction.op !== 'coll') return [];
    const { kind, format, tag, bytes, rows, root, peer } = instruction.fields;
    const loops = around[pc]!.map(({ count, level }) => `, I${level} < ${count}`).join('');
    return [{ pc, text: `${kind}${format === undefined ? '' : ` of ${format}`} ${tag} from ${root ?? 0} to ${peer ?? 0} of ${rows.max} rows (of ${before[pc]!.get(rows.reg)?.text}, by I${rows.level}) of ${bytes} bytes${loops}` }];
  });
};
