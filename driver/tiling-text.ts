import type { Decision } from '../passes/plan/decisions.ts';
import { pieceCount, type Pieces } from '../passes/plan/matmul.ts';
import { heldSuffix } from '../passes/tile/matmul.ts';
import type { Try } from '../passes/plan/tiling.ts';
import { binary, grouped, plural } from '../report/format.ts';
import type { StageTiling, TilingExplained } from './explain-tiling.ts';

/** The plans as tables, a kind of stage after the other. */
export const renderTiling = ({ machine, stages }: TilingExplained): string => stages.map((stage) => stageText(stage, machine, stages.length)).join('\n\n');

function stageText({ stages, plan: { homes, tries, decisions }, sram, products, attentions, rings, values }: StageTiling, machine: string, kinds: number): string {
  const whose = kinds === 1 ? '' : `, ${stages.length === 1 ? 'stage' : 'stages'} ${stages.map((stage) => stage + 1).join(', ')} of the pipeline`;
  const parts = homes.parts.map(({ first, rows }) => `${grouped(first)} to ${grouped(first + rows - 1)}`);
  return [
    `tiling on \`${machine}\`${whose}`,
    `  SRAM    ${binary(sram.peakBytes)} of ${binary(sram.bytes)} in use at most; an op may stage ${binary(Math.floor(homes.stageBytes))}, half of it weights`,
    `  rows    ${parts.length === 1 ? 'in one part' : `in ${parts.length} parts, ${parts.join(' and ')}${homes.parked === 'no' ? '' : `; what they carry is parked in HBM ${homes.parked === 'attending' ? 'while they attend' : 'whenever nobody adds to it'}`}`}`,
    ...(tries.length === 0 ? [] : ['  tried   all in SRAM; then', ...tries.map((one) => `    ${tryText(one)}`)]),
    ...section('products: row tiles, in each groups of columns, in each chunks of k', ['rows x k x columns', 'arrays', 'row tiles', 'groups', 'chunks', 'slots', 'weights read', 'cycles'], products.map((one) => [
      `${one.op} ${shortName(one.weight)}`, `${one.rows} x ${one.k} x ${one.columns}${one.gated ? ' gated' : ''}`, `${one.arrays.across} x ${one.arrays.sharing}${one.arrays.along === 1 ? '' : ` x ${one.arrays.along}`}`, tiles(one.rowTile, one.rowTiles), piecesText(one.groups), piecesText(one.chunks),
      String(one.slots), `${one.held ? 'once for all parts' : one.streamed === 1 ? 'once' : `${one.streamed} times`}${one.aside === 0 ? '' : `, ${one.aside} tiles of a chunk aside`}`, `${grouped(Math.max(one.arrayCycles, one.hbmCycles))} ${one.boundBy}`,
    ])),
    ...section('attention', ['queries', 'heads', 'at once', 'keys, values at once', 'page', 'run'], attentions.map((one) => [
      one.op, String(one.rows), `${one.heads} x ${one.headDim}, ${one.kvHeads} KV`, plural(one.window, 'row'), `${one.append.keys}, ${one.append.values}`, plural(one.pageRows, 'row'), `${grouped(one.runBytes)} B`,
    ])),
    ...section('brought ahead, as soon as a slot is free', ['slots', 'bytes', 'queues', 'ahead'], rings.map((one) => [ringName(one.name), String(one.slots), grouped(one.bytes), one.queues.join(', '), `${grouped(one.aheadCycles)} cycles of HBM, ${plural(one.aheadOps, 'op')}`])),
    ...section('values', ['bytes', 'in', 'from ... to'], values.map((one) => [one.name, grouped(one.bytes), one.why === '' ? one.space.toUpperCase() : `${one.space.toUpperCase()}, ${one.why}`, [...new Set(one.live.map(({ from, to }) => (from === to ? from : `${from} ... ${to}`)))].join(', ')])),
    ...section('rows staged from and to HBM', ['rows', 'row tiles', 'bytes a row'], stagedRows(decisions).map(({ op, what, rows, rowTile, bytesPerRow }) => [`${op} ${what}`, String(rows), tiles(rowTile, Math.ceil(rows / rowTile)), grouped(bytesPerRow)])),
  ].join('\n');
}

/** `q_proj|k_proj` of `model.layers.self_attn.q_proj.weight|model.layers.self_attn.k_proj.weight.e4m3`. */
const shortName = (weight: string): string => weight.split('|').map((name) => name.split(' ').map((word) => word.split('.').findLast((part) => !['weight', 'e4m3', 'bf16'].includes(part)) ?? word).join(' ')).join('|');

/** `down_proj, held` of `layers.mlp.down_proj.weight.e4m3.held`. */
const ringName = (name: string): string => (name.endsWith(heldSuffix) ? `${shortName(name.slice(0, -heldSuffix.length))}, held` : name);

const tiles = (size: number, count: number): string => (count === 1 ? String(size) : `${size} x ${count}`);
const piecesText = (of: Pieces): string => (pieceCount(of) === 1 ? String(of.full * of.size + of.tail) : `${of.size} x ${of.full}${of.tail === 0 ? '' : ` + ${of.tail}`}`);

const stagedRows = (decisions: readonly Decision[]): readonly { readonly op: string; readonly what: string; readonly rows: number; readonly rowTile: number; readonly bytesPerRow: number }[] =>
  decisions.flatMap((one) => ((one.kind === 'rows' || one.kind === 'mix') && one.settled !== undefined && one.of.bytesPerRow > 0 ? [{ op: one.op, what: one.what, ...one.of, ...one.settled }] : []));

/** What was wrong, and what was done about it. */
function tryText(one: Try): string {
  const wrong = one.why === 'crowd' ? `${binary(one.bytes)} were alive together` : one.why === 'sum' ? 'what is added to was in HBM' : 'an op had no room for its stages';
  const done = one.so === 'spill' ? `\`${one.value}\` to HBM${one.why === 'crowd' ? `, which ${plural(one.touched, 'op')} ${one.touched === 1 ? 'touches' : 'touch'}` : ', which is the sum'}` : does[one.so];
  return `${wrong}: ${done}`;
}
const does = { park: 'parts park what they carry', fewer: 'fewer parts have their queries before they attend', shallower: 'the weight ring has fewer slots', halve: 'ops stage half as much' } as const;

/** A table under a heading, its first column flush left; none without rows. Rows that are alike but for the part of the step are one. */
function section(heading: string, columns: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  if (rows.length === 0) return [];
  const alike = new Map<string, { cells: readonly string[]; count: number }>();
  for (const cells of rows) {
    const key = cells.map((cell) => cell.replaceAll(/\.part\d+/g, '')).join('\n');
    alike.set(key, { cells: alike.get(key)?.cells ?? cells, count: (alike.get(key)?.count ?? 0) + 1 });
  }
  const lines = [['', ...columns], ...[...alike.values()].map(({ cells: [name = '', ...rest], count }) => [count === 1 ? name : `${name} (${count} parts)`, ...rest])];
  const widths = lines.reduce<readonly number[]>((most, line) => line.map((cell, i) => Math.max(most[i] ?? 0, cell.length)), []);
  const last = widths.length - 1;
  return ['', `  ${heading}`, ...lines.map((line) => `    ${line.map((cell, i) => (i === 0 || i === last ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  ').trimEnd()}`)];
}
