import { firstOf, membersOf } from '../../isa-spec/groups.ts';
import { type ChipView, type Finding, nameOf, placeOf } from '../chip.ts';
import { registersOf } from '../registers.ts';
import { type Frame, loopsAround } from '../unroll.ts';

/**
 * V18. Chips come to the collectives they meet in, in the same order: kind, tag, rows and bytes. As their queues of collectives
 * agree and each chip comes to its end by itself (V05), the chips come to theirs together: a chip can only be held up by another
 * that has still to come to the same collective. Groups lie within one another, so of the chips held up one in a smallest group waits for a chip that is
 * held up in none smaller, in which both meet: the one furthest behind is held up by none. Neighbours that agree are enough: those between two chips that meet, meet them.
 */
export function collectives(views: readonly ChipView[]): readonly Finding[] {
  const [first] = views;
  if (first === undefined) return [];
  const { chips } = first.program;
  const shapes = new Map(views.map((view) => [view, shapeOf(view)]));
  const groups = [...new Set([chips, ...[...shapes.values()].flat().map(({ group }) => group)])];
  const uneven = views.flatMap((view) => {
    const found = shapes.get(view)!.find(({ group }) => groups.some((other) => (other >= group || other === chips) && other % group !== 0));
    return found === undefined ? [] : [broken(view, found.pc, `groups of ${groups.toSorted((a, b) => a - b).join(', ')} chips do not lie within one another`)];
  });
  if (uneven.length > 0) return uneven;

  const viewOf = new Map(views.flatMap((view) => view.chips.map((chip) => [chip, view] as const)));
  const findings = new Map<string, Finding>();
  for (let chip = 1; chip < chips; chip++) {
    const [before, view] = [viewOf.get(chip - 1), viewOf.get(chip)];
    if (before === undefined || view === undefined || before === view) continue;
    const shared = (of: ChipView): readonly Shared[] => withLoops(shapes.get(of)!.filter(({ members }) => firstOf(chip, members) < chip));
    const [wanted, found] = [shared(before), shared(view)];
    const at = found.findIndex((one, i) => one.text !== wanted[i]?.text);
    if (at < 0 && found.length === wanted.length) continue;
    const [mine, theirs] = [found[at], wanted[at < 0 ? found.length : at]];
    const say = (of: ChipView, one: Shared | undefined): string => `chip ${of.chips.join(', ')} ${one === undefined ? 'has none left' : `comes to ${one.text} (${nameOf(of, 'col', one.pc)})`}`;
    const message = `chips do not come to the same collectives: ${say(before, theirs)}, ${say(view, mine)}`;
    findings.set(message, broken(view, mine?.pc, message));
  }
  return [...findings.values()];
}

const broken = (view: ChipView, pc: number | undefined, message: string): Finding => ({ rule: 'V18', place: placeOf(view, 'col', pc), message, notes: [] });

/** A collective: how many chips meet, those of a group, and the loops around it. */
type Shape = { readonly pc: number; readonly members: number; readonly group: number; readonly text: string; readonly loops: readonly Frame[] };
type Shared = Pick<Shape, 'pc' | 'text'>;

/** Collectives with the loops around each, and how many of them each loop is around: which, is then their order. */
const withLoops = (shapes: readonly Shape[]): readonly Shared[] =>
  shapes.map(({ pc, text, loops }) => {
    const inside = (loop: Frame): number => shapes.filter((other) => other.loops.some(({ begin }) => begin === loop.begin)).length;
    return { pc, text: `${text}${loops.map((loop) => `, ${inside(loop)} in I${loop.level} < ${loop.count}`).join('')}` };
  });

/** A queue's collectives in order. */
const shapeOf = ({ program, queues }: ChipView): readonly Shape[] => {
  const code = queues.find(({ queue }) => queue === 'col')?.code ?? [];
  const around = loopsAround(code);
  const { before } = registersOf(code, {});
  return code.flatMap((instruction, pc) => {
    if (instruction.op !== 'coll') return [];
    const { kind, format, tag, bytes, rows, root, peer, group } = instruction.fields;
    const members = membersOf(instruction.fields, program.chips);
    return [{ pc, members, group: group ?? program.chips, loops: around[pc]!, text: `${kind}${format === undefined ? '' : ` of ${format}`} ${tag} from ${root ?? 0} to ${peer ?? 0}${group === undefined ? '' : ` in groups of ${group}`} of ${rows.max} rows (of ${before[pc]!.get(rows.reg)?.text}, by I${rows.level}) of ${bytes} bytes` }];
  });
};
