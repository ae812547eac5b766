import { hbmBases, type Queue, type StrideSet } from '../../isa-spec/instructions.ts';
import { anything, integerFrom, listOf, record, text } from '../../isa-spec/json.ts';
import { still } from '../../isa-spec/encoding.ts';
import { type ChipView, type Finding, nameOf, placeOf } from '../chip.ts';
import { type Frame, loopsAround } from '../unroll.ts';

const size = integerFrom(0, 2 ** 50);
/** The container's map of weights, by entry; offsets, sizes and pitches in lines. */
const weightMapCheck = listOf(listOf(record({ name: text, packing: anything, format: text, rows: size, columns: size, offset: size, lines: size, pitch: size })));
type Weight = ReturnType<typeof weightMapCheck>[number][number];

/** Whether a program says where its weights are. */
export const hasWeightMap = ({ program }: ChipView): boolean => Array.isArray(program.weightMap) && program.weightMap.length > 0;

/** Most iterations of one load that are worth following. */
const iterationsMax = 500_000;

/** Rows of a weight loaded together, and how often in a step. */
type Load = { readonly row: number; readonly rows: number; readonly passes: number; readonly queue: Queue; readonly pc: number };

/**
 * V22. Every row of a packed weight (a tile, a group's parameters, a norm's vectors) is loaded exactly once in each pass over
 * the weight, so all of them equally often: once for each turn of the loops that do not move the load (row tiles; layers, if they share it),
 * for each part of the step's rows. Loads begin and end with rows of one weight. Tables whose rows are gathered are not counted: the host's indices say which.
 */
export function weights(chip: ChipView): readonly Finding[] {
  const problems: string[] = [];
  const map = weightMapCheck(chip.program.weightMap, 'weightMap', problems)[chip.entry] ?? [];
  if (problems.length > 0) return [{ rule: 'V22', place: placeOf(chip), message: `the map of weights cannot be read: ${problems[0]}`, notes: problems.slice(1, 4) }];
  const found: Finding[] = [];
  const loads = map.map((): Load[] => []);
  for (const { queue, code, strideSets } of chip.queues) {
    const around = loopsAround(code);
    code.forEach((instruction, pc) => {
      if (instruction.op !== 'dld' || hbmBases[instruction.fields.src.base] !== 'weights') return;
      const { src, srcPitch, lines, rows } = instruction.fields;
      const problem = eachStart(src.off, rows.max * srcPitch, strideSets[src.ss] ?? still, around[pc]!, (start, length, passes) => {
        const number = map.findIndex(({ offset, lines: all }) => offset <= start && start < offset + all);
        if (number < 0) return 'loads what no weight is';
        const wrong = loadProblem(map[number]!, { start, length, pitch: rows.max > 1 ? srcPitch : map[number]!.pitch, lines });
        if (wrong === undefined) loads[number]!.push({ row: (start - map[number]!.offset) / map[number]!.pitch, rows: length / map[number]!.pitch, passes, queue, pc });
        return wrong;
      });
      if (problem !== undefined) found.push({ rule: 'V22', place: placeOf(chip, queue, pc), message: `${nameOf(chip, queue, pc)} ${problem}`, notes: [] });
    });
  }
  if (found.length > 0) return found;
  return loads.flatMap((ofWeight, number) => covered(chip, map[number]!, ofWeight));
}

/**
 * Calls `take` with every place a load starts at in a step, its length, and how often it comes there; what comes one after the
 * other counts as one. Returns the first problem `take` does.
 */
function eachStart(off: number, length: number, { strides, ring }: StrideSet, around: readonly Frame[], take: (start: number, length: number, passes: number) => string | undefined): string | undefined {
  const turning = ring.depth > 1 && ring.stride > 0 && around.some(({ level }) => ring.steps[level]! % ring.depth !== 0);
  if (turning) return 'loads weights by a ring';
  const moving = around.filter(({ level }) => strides[level] !== 0).toSorted((a, b) => strides[a.level]! - strides[b.level]!);
  const passes = around.reduce((product, { level, count }) => (strides[level] === 0 ? product * count : product), 1);
  let all = length;
  while (moving.length > 0 && strides[moving[0]!.level] === all) all *= moving.shift()!.count;
  if (moving.reduce((product, { count }) => product * count, 1) > iterationsMax) return 'has too many iterations to follow what it loads';
  const start = off + (ring.depth === 0 ? 0 : ring.stride * (ring.base % ring.depth));
  const from = (at: number, depth: number): string | undefined => {
    const loop = moving[depth];
    if (loop === undefined) return take(at, all, passes);
    for (let i = 0; i < loop.count; i++) {
      const problem = from(at + i * strides[loop.level]!, depth + 1);
      if (problem !== undefined) return problem;
    }
    return undefined;
  };
  return from(start, 0);
}

/** Whether as many loads end as begin at every row of a weight but its first, up to where it ends. */
function isEven(rows: number, loads: readonly Load[]): boolean {
  const more = new Map<number, number>();
  const add = (at: number, passes: number): void => void more.set(at, (more.get(at) ?? 0) + passes);
  for (const load of loads) {
    add(load.row, load.passes);
    add(load.row + load.rows, -load.passes);
  }
  for (const [at, passes] of more) if (passes !== 0 && at !== 0 && at !== rows) return false;
  return loads.length > 0;
}

/** Loads of a weight are all of it, each row as often as row 0. */
function covered(chip: ChipView, { name, rows }: Weight, loads: readonly Load[]): readonly Finding[] {
  if (isEven(rows, loads)) return [];
  const edges = loads.flatMap((load) => [{ at: load.row, more: load.passes, load }, { at: load.row + load.rows, more: -load.passes, load }]).toSorted((a, b) => a.at - b.at);
  const passes = edges.reduce((sum, { at, more }) => (at === 0 ? sum + more : sum), 0);
  let often = 0;
  let from = 0;
  for (const { at, more, load } of edges) {
    if (at > from && (often === 0 || often !== passes)) return broken(chip, `rows ${from} to ${at - 1} of ${rows} of \`${name}\` are ${often === 0 ? 'never loaded' : `loaded ${often} times, row 0 ${passes} times`}`, load);
    from = at;
    often += more;
  }
  const last = edges.at(-1);
  return last === undefined || last.at === rows ? [] : broken(chip, `rows ${last.at} to ${rows - 1} of ${rows} of \`${name}\` are never loaded`, last.load);
}

const broken = (chip: ChipView, message: string, { queue, pc }: Load): readonly Finding[] => [{ rule: 'V22', place: placeOf(chip, queue, pc), message, notes: [`loaded by ${nameOf(chip, queue, pc)}`] }];

function loadProblem(weight: Weight, { start, length, pitch, lines }: { readonly start: number; readonly length: number; readonly pitch: number; readonly lines: number }): string | undefined {
  const from = start - weight.offset;
  const of = `\`${weight.name}\``;
  if (from % weight.pitch !== 0) return `begins inside row ${Math.floor(from / weight.pitch)} of ${of}`;
  if (pitch !== weight.pitch) return `loads rows ${pitch} lines apart; those of ${of} are ${weight.pitch} apart`;
  if (lines > weight.pitch) return `loads ${lines} lines of rows of ${weight.pitch} of ${of}`;
  if (length % weight.pitch !== 0) return `loads ${length} lines of ${of}, whose rows have ${weight.pitch}`;
  if (from / weight.pitch + length / weight.pitch > weight.rows) return `loads rows up to ${from / weight.pitch + length / weight.pitch} of ${weight.rows} of ${of}`;
  return undefined;
}
