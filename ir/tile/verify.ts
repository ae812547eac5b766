import type { Diagnostic, Origin } from '../../diagnostics/diagnostic.ts';
import { type Affine, type Buffer, type BufferId, isLoop, type Region, type TileLoop, type TileModule, type TileNode, type TileOp } from './module.ts';
import { type Near, opProblems, sequenceProblems } from './verify-ops.ts';

/**
 * What a tile module must be, as E5004 for each breach; none for a module the backend can take. In all iterations:
 *
 * - Buffers have rows, columns and slots. Only weights in HBM are packed, and all of them are; accumulators are f32.
 * - A loop repeats at least once, at a higher level than every loop around it.
 * - Regions lie in their buffers, whatever the loop indices; only rings have slots.
 * - Operands are in the memory their unit reaches, of the formats and shapes the op wants (verify-ops.ts).
 * - Weights pushed and products pair up within a block, in order; query, attend and finish follow each other.
 * - A label belongs to one origin.
 * - An output is a buffer of HBM with room for all rows.
 */
export function verifyTile(module: TileModule): readonly Diagnostic[] {
  const found: Diagnostic[] = [];
  const report = (message: string, origin: Origin): void => void found.push({ code: 'E5004', message, origin });
  module.buffers.forEach((buffer, id) => bufferProblems(buffer).forEach((problem) => report(`buffer ${id} \`${buffer.name}\` ${problem}`, { kind: 'none' })));
  endProblems(module).forEach((problem) => report(problem, { kind: 'none' }));

  const near: Near = { module, buffer: (region) => module.buffers[region.buffer] as Buffer };
  const labels = new Map<string, string>();
  const about = (op: TileOp, problem: string): void => report(`${op.kind} of \`${op.label}\` ${problem}`, op.origin);
  const walk = (nodes: readonly TileNode[], loops: readonly TileLoop[]): void => {
    for (const node of nodes) {
      if (isLoop(node)) {
        loopProblems(node, loops).forEach((problem) => report(`loop \`${node.name}\` ${problem}`, { kind: 'none' }));
        walk(node.body, [...loops, node]);
        continue;
      }
      const strangers = strangeBuffers(node, module);
      strangers.forEach((problem) => about(node, problem));
      if (strangers.length > 0) continue;
      for (const problem of [...labelProblems(node, labels), ...regionProblems(node, loops, near), ...opProblems(node, near)]) about(node, problem);
    }
    const ops = nodes.filter((node) => !isLoop(node) && strangeBuffers(node, module).length === 0) as TileOp[];
    for (const { op, problem } of sequenceProblems(ops, near)) about(op, problem);
  };
  walk(module.body, []);
  return found;
}

function bufferProblems({ space, role, format, rows, columns, depth, packing }: Buffer): readonly string[] {
  const weights = space === 'hbm' && role === 'weights';
  return [
    ...Object.entries({ rows, columns, depth }).flatMap(([name, value]) => (Number.isInteger(value) && value >= 1 ? [] : [`has ${name} ${value}`])),
    ...(weights && packing === undefined ? ['holds weights and does not say how they are packed'] : []),
    ...(!weights && packing !== undefined ? ['is packed and does not hold weights in hbm'] : []),
    ...(space === 'acc' && format !== 'f32' ? [`accumulates in ${format}`] : []),
    ...((role === 'kv' || role === 'pipe' || role === 'input' || role === 'output') && space !== 'hbm' ? [`outlives the step and is in ${space}`] : []),
    ...(role === 'list' && (rows !== 1 || (format !== 'i32' && format !== 'f32')) ? ['is a list and not one row of i32 or f32'] : []),
  ];
}

function endProblems({ inputs, outputs, buffers, bounds }: TileModule): readonly string[] {
  const ends = [...inputs.map((input) => ({ what: `input \`${input.name}\``, ...input })), ...outputs.map((output) => ({ what: `output \`${output.name}\``, ...output }))];
  return ends.flatMap(({ what, buffer: id, rows }) => {
    const buffer = buffers[id];
    if (buffer === undefined) return [`${what} names buffer ${id} of ${buffers.length}`];
    return [
      ...(buffer.space === 'hbm' ? [] : [`${what} is in ${buffer.space}`]),
      ...(buffer.rows >= bounds[rows] ? [] : [`${what} has ${buffer.rows} rows, the step up to ${bounds[rows]} ${rows}`]),
    ];
  });
}

function loopProblems({ level, count }: TileLoop, outer: readonly TileLoop[]): readonly string[] {
  const around = outer.find((loop) => loop.level >= level);
  return [
    ...(Number.isInteger(count) && count >= 1 ? [] : [`repeats ${count} times`]),
    ...(around === undefined ? [] : [`is of level ${level}, inside \`${around.name}\` of level ${around.level}`]),
  ];
}

const regionsOf = (op: TileOp): readonly [string, Region][] => Object.entries(op.regions as Readonly<Record<string, Region | undefined>>).filter((entry): entry is [string, Region] => entry[1] !== undefined);

const strangeBuffers = (op: TileOp, { buffers }: TileModule): readonly string[] =>
  regionsOf(op).flatMap(([name, { buffer }]) => (buffers[buffer] === undefined ? [`has \`${name}\` in buffer ${buffer as BufferId} of ${buffers.length}`] : []));

function labelProblems({ label, origin }: TileOp, known: Map<string, string>): readonly string[] {
  const here = JSON.stringify(origin);
  const first = known.get(label) ?? here;
  known.set(label, first);
  return [...(label === '' ? ['has no label'] : []), ...(first === here ? [] : ['comes from elsewhere than other ops of its label'])];
}

/** The least and greatest value over all iterations of the loops; an index of no loop around is 0. */
function rangeOf({ base, steps }: Affine, loops: readonly TileLoop[]): readonly [number, number] {
  const reach = loops.map(({ level, count }) => (steps[level] as number) * (count - 1));
  return [base + reach.reduce((sum, by) => sum + Math.min(by, 0), 0), base + reach.reduce((sum, by) => sum + Math.max(by, 0), 0)];
}

function regionProblems(op: TileOp, loops: readonly TileLoop[], { buffer: bufferOf }: Near): readonly string[] {
  return regionsOf(op).flatMap(([name, region]) => {
    const buffer = bufferOf(region);
    const inside = (what: 'rows' | 'columns', at: Affine): readonly string[] => {
      const [least, greatest] = rangeOf(at, loops);
      const size = region[what];
      if (!Number.isInteger(least) || !Number.isInteger(greatest) || size < 1) return [`takes ${size} ${what} from ${least} of \`${buffer.name}\``];
      return least >= 0 && greatest + size <= buffer[what] ? [] : [`has \`${name}\` in ${what} ${least} to ${greatest + size} of \`${buffer.name}\`, which has ${buffer[what]}`];
    };
    const turned = region.slot.base !== 0 || region.slot.steps.some((step) => step !== 0);
    const slot = turned && buffer.depth === 1 ? [`names a slot of \`${buffer.name}\`, which is no ring`] : rangeOf(region.slot, loops)[0] < 0 ? [`names a slot of \`${buffer.name}\` before the first`] : [];
    return [...inside('rows', region.row), ...inside('columns', region.column), ...slot];
  });
}
