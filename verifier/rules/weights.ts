import { hbmBases, type Queue } from '../../isa-spec/instructions.ts';
import { anything, integerFrom, listOf, record, text } from '../../isa-spec/json.ts';
import { move, still } from '../../isa-spec/encoding.ts';
import { type ChipView, type Finding, nameOf, placeOf } from '../chip.ts';
import { iterations } from '../grid.ts';
import { type Frame, loopsAround } from '../unroll.ts';

const size = integerFrom(0, 2 ** 50);
/** The container's map of weights; offsets, sizes and pitches in lines. */
const weightMapCheck = listOf(record({ name: text, packing: anything, format: text, rows: size, columns: size, offset: size, lines: size, pitch: size }));
type Weight = ReturnType<typeof weightMapCheck>[number];

/** Whether a program says where its weights are. */
export const hasWeightMap = ({ program }: ChipView): boolean => Array.isArray(program.weightMap) && program.weightMap.length > 0;

/** Most iterations of one load that are worth following. */
const iterationsMax = 2_000_000;

/**
 * V22. Every row of a packed weight (a tile, a group's parameters, a norm's vectors) is loaded exactly once in each pass over
 * the weight: once for each turn of the loops that do not move the load (row tiles; layers, if they share it). Loads begin and end with rows of one weight. Tables whose rows are gathered are
 * not counted: the host's indices say which.
 */
export function weights(chip: ChipView): readonly Finding[] {
  const problems: string[] = [];
  const map = weightMapCheck(chip.program.weightMap, 'weightMap', problems);
  if (problems.length > 0) return [{ rule: 'V22', place: placeOf(chip), message: `the map of weights cannot be read: ${problems[0]}`, notes: problems.slice(1, 4) }];
  const found: Finding[] = [];
  const counts = map.map(({ rows }) => ({ loads: new Int32Array(rows + 1), passes: 0, pc: 0, queue: 'dma0' as Queue }));
  for (const { queue, code, strideSets } of chip.queues) {
    const around = loopsAround(code);
    code.forEach((instruction, pc) => {
      if (instruction.op !== 'dld' || hbmBases[instruction.fields.src.base] !== 'weights') return;
      const { src, srcPitch, lines, rows } = instruction.fields;
      const report = (message: string): void => void found.push({ rule: 'V22', place: placeOf(chip, queue, pc), message: `${nameOf(chip, queue, pc)} ${message}`, notes: [] });
      const set = strideSets[src.ss] ?? still;
      const turns = (moving: boolean) => around[pc]!.filter(({ level }) => (set.strides[level] !== 0 || set.ring.steps[level] !== 0) === moving);
      const loops = turns(true);
      if (countOf(loops) > iterationsMax) return report('has too many iterations to count what it loads');
      const passes = countOf(turns(false));
      let number = -1;
      for (const I of iterations(loops)) {
        const start = src.off + move(set, I);
        if (!within(map[number], start)) number = map.findIndex((weight) => within(weight, start));
        const problem = number < 0 ? 'loads what no weight is' : loadProblem(map[number]!, start, srcPitch, lines, rows.max);
        if (problem !== undefined) return report(problem);
        const count = counts[number]!;
        const row = (start - map[number]!.offset) / map[number]!.pitch;
        count.loads[row]! += passes;
        count.loads[row + rows.max]! -= passes;
        count.passes = passes;
        count.pc = pc;
        count.queue = queue;
      }
    });
  }
  counts.forEach(({ loads, passes, pc, queue }, number) => {
    if (passes === 0) return;
    let now = 0;
    for (let row = 0; row < map[number]!.rows; row++) {
      now += loads[row]!;
      if (now === passes) continue;
      found.push({ rule: 'V22', place: placeOf(chip), message: `row ${row} of ${map[number]!.rows} of \`${map[number]!.name}\` is loaded ${now} ${now === 1 ? 'time' : 'times'} in a step, not ${passes}`, notes: [`loaded by ${nameOf(chip, queue, pc)}`] });
      return;
    }
  });
  return found;
}

const within = (weight: Weight | undefined, line: number): boolean => weight !== undefined && weight.offset <= line && line < weight.offset + weight.lines;
const countOf = (loops: readonly Frame[]): number => loops.reduce((product, { count }) => product * count, 1);

function loadProblem(weight: Weight, start: number, pitch: number, lines: number, rows: number): string | undefined {
  const from = start - weight.offset;
  const of = `\`${weight.name}\``;
  if (from % weight.pitch !== 0) return `begins inside row ${Math.floor(from / weight.pitch)} of ${of}`;
  if (rows > 1 && pitch !== weight.pitch) return `loads rows ${pitch} lines apart; those of ${of} are ${weight.pitch} apart`;
  if (lines > weight.pitch) return `loads ${lines} lines of rows of ${weight.pitch} of ${of}`;
  if (from / weight.pitch + rows > weight.rows) return `loads rows up to ${from / weight.pitch + rows} of ${weight.rows} of ${of}`;
  return undefined;
}
