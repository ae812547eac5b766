import type { Format } from '../../isa-spec/fields.ts';
import { binsOf } from '../../isa-spec/bins.ts';
import { shareOf } from '../../isa-spec/groups.ts';
import { blockScales } from '../../isa-spec/numerics-scales.ts';
import { takesOperand } from '../../isa-spec/numerics-vector.ts';
import type { Buffer, Region, TileModule, TileOp, TileOpOf } from './module.ts';
import type { TileKind, tileOperands } from './ops.ts';

/** What is at hand to judge an op by: its module and the buffers of its regions. */
export type Near = { readonly module: TileModule; readonly buffer: (region: Region) => Buffer };
/** A rule an op may break: what it says reads on from `<kind> of <label>`; undefined when it holds. */
type Check<K extends TileKind> = (op: TileOpOf<K>, near: Near) => readonly (string | false)[];

type Space = Buffer['space'];
/** Which memory each operand of each kind is in: the units have no other ports. */
const operandSpaces: { readonly [K in TileKind]: { readonly [N in keyof (typeof tileOperands)[K]]: Space } } = {
  input: { out: 'sram' },
  load: { from: 'hbm', out: 'sram' },
  store: { from: 'sram', out: 'hbm' },
  gather: { table: 'hbm', index: 'sram', out: 'sram' },
  scatter: { from: 'sram', index: 'sram', out: 'hbm' },
  fill: { out: 'sram' },
  weights: { from: 'sram', scales: 'sram' },
  multiply: { a: 'sram', scales: 'sram', acc: 'acc' },
  drain: { acc: 'acc', params: 'sram', residual: 'sram', rowScale: 'sram', out: 'sram' },
  query: { q: 'sram', worklist: 'sram', slopes: 'sram' },
  attend: { kv: 'hbm', pages: 'sram' },
  finish: { sinks: 'sram', out: 'sram' },
  map: { x: 'sram', y: 'sram', same: 'sram', out: 'sram' },
  norm: { x: 'sram', params: 'sram', out: 'sram' },
  rope: { x: 'sram', table: 'sram', out: 'sram' },
  quantise: { x: 'sram', out: 'sram', rowScale: 'sram' },
  quantiseBlocks: { x: 'sram', out: 'sram', scales: 'sram' },
  route: { x: 'sram', biases: 'sram', indices: 'sram', weights: 'sram', offsets: 'sram' },
  bin: { indices: 'sram', offsets: 'sram', sources: 'sram', places: 'sram', owners: 'sram' },
  mix: { x: 'sram', weights: 'sram', out: 'sram' },
  allgather: { from: 'sram', out: 'sram' },
  reduceScatter: { from: 'sram', out: 'sram' },
  exchange: { from: 'sram', out: 'sram' },
  collect: { from: 'sram', out: 'sram' },
  collectList: { from: 'sram', out: 'sram' },
  shift: { from: 'sram', out: 'sram' },
};

/** Operands that are lists: packed, all of the step's rows or all from the first of a part on, not moved. */
const lists = new Set(['index', 'worklist', 'pages', 'rowScale', 'biases', 'indices', 'offsets', 'sources', 'places', 'owners']);
const isList = (kind: TileKind, name: string): boolean => lists.has(name) || kind === 'collectList';
/** Operands of which every op works on a window of rows; the others are read as wholes. */
const wholes = new Set([...lists, 'params', 'sinks', 'slopes', 'same', 'weights']);
const isWhole = (kind: TileKind, name: string): boolean =>
  wholes.has(name) || isList(kind, name) || kind === 'input' || kind === 'attend' || kind === 'weights' || (kind === 'mix' && name === 'x') || (kind === 'gather' && name === 'table') || (kind === 'scatter' && name === 'out');

/** Rows of an operand that an op on so many has: all, or a chip's share. */
const rowsWanted = ({ kind, attrs, rows }: TileOp, name: string): number => ((kind === 'exchange' && name === 'out') || (kind === 'collect' && name === 'from') ? shareOf(rows.max, attrs.parts) : rows.max);

const matrixFormats: readonly Format[] = ['e4m3', 'bf16'];
const isMatrix = (format: Format): boolean => matrixFormats.includes(format);
const differ = (what: string, a: number | string, b: number | string): string | false => a !== b && `has ${what}: ${a} and ${b}`;

/** Column parameters of a drain: column scales, biases. */
const partsOf = (op: TileOpOf<'drain'>): number => (op.attrs.scale ? 1 : 0) + (op.attrs.bias ? 1 : 0);

/** Formats, shapes and presence of operands, kind by kind. */
const checks: { readonly [K in TileKind]: Check<K> } = {
  input: ({ regions: { out } }, { buffer }) => [buffer(out).role !== 'list' && 'fills a buffer that is no list'],
  load: (op, near) => moved(op.regions.from, op.regions.out, near),
  store: (op, near) => moved(op.regions.from, op.regions.out, near),
  gather: ({ regions: { table, out } }, near) => moved(table, out, near),
  scatter: ({ regions: { from, out } }, near) => moved(from, out, near),
  fill: ({ regions: { out } }, { buffer }) => [buffer(out).format !== 'f32' && `fills ${buffer(out).format} with an f32`],
  weights: ({ attrs, regions: { from, scales } }, { module, buffer }) => [
    !isMatrix(buffer(from).format) && `streams ${buffer(from).format} weights`,
    attrs.kTiles < 1 || attrs.nTiles < 1 ? 'streams no tile' : differ('elements that are not its tiles', from.rows * from.columns, attrs.kTiles * attrs.nTiles * module.tile ** 2),
    from.columns % module.tile ** 2 !== 0 && `has rows of ${from.columns} elements, which are not tiles`,
    ...(scales === undefined ? [] : [
      ...scaled(scales, buffer(from).format, buffer),
      differ('scales that are not those of its blocks of k', scales.rows, blocksOf(attrs.kTiles * module.tile)),
      differ('scales that are not those of its blocks of n', scales.columns, blocksOf(attrs.nTiles * module.tile)),
      differ('scales with others between them', scales.columns, buffer(scales).columns),
    ]),
  ],
  multiply: ({ attrs, regions: { a, scales, acc } }, { module, buffer }) => [
    attrs.kLast < 1 || attrs.kLast > module.tile ? `has a last k-tile of ${attrs.kLast} of ${module.tile}` : differ('operand columns that are not its k', a.columns, (attrs.kTiles - 1) * module.tile + attrs.kLast),
    differ('sums that are not its n-tiles', acc.columns, attrs.nTiles * module.tile),
    buffer(acc).format !== 'f32' && 'accumulates in a format that is not f32',
    ...(scales === undefined ? [] : [...scaled(scales, buffer(a).format, buffer), differ('scales that are not those of its blocks', scales.columns, blocksOf(a.columns))]),
  ],
  drain: (op, { module, buffer }) => {
    const { attrs, regions: { acc, params, residual, rowScale, out } } = op;
    const outTiles = attrs.gated ? attrs.nTiles / 2 : attrs.nTiles;
    return [
      !Number.isInteger(outTiles) && `is gated and has ${attrs.nTiles} tiles`,
      differ('sums that are not its n-tiles', acc.columns, attrs.nTiles * module.tile),
      attrs.nLast < 1 || attrs.nLast > module.tile ? `has a last tile of ${attrs.nLast} of ${module.tile} columns` : differ('output columns that are not its tiles', out.columns, (outTiles - 1) * module.tile + attrs.nLast),
      residual !== undefined && differ('a residual of another width', residual.columns, out.columns),
      residual !== undefined && differ('a residual of another format than its output', buffer(residual).format, buffer(out).format),
      residual !== undefined && differ('a residual in rows of another length than its output: the unit has one pitch for both', buffer(residual).columns, buffer(out).columns),
      (params !== undefined) !== partsOf(op) > 0 && (params === undefined ? 'has no parameters for its scale or bias' : 'has parameters it does not use'),
      params !== undefined && params.columns < partsOf(op) * attrs.nTiles * module.tile && `has ${params.columns} parameters for ${partsOf(op)} x ${attrs.nTiles} tiles`,
      params !== undefined && buffer(params).format !== 'f32' && 'has parameters that are not f32',
      (rowScale !== undefined) !== attrs.scale && (attrs.scale ? 'scales without row scales' : 'has row scales it does not use'),
    ];
  },
  query: ({ attrs, regions: { q, slopes } }, { buffer }) => [slopes !== undefined && differ('slopes that are not one a head', slopes.columns, attrs.heads), slopes !== undefined && buffer(slopes).format !== 'f32' && 'has slopes that are not f32', !isMatrix(buffer(q).format) && `has ${buffer(q).format} queries`, differ('columns that are not its heads', q.columns, attrs.heads * attrs.headDim), !(attrs.scale > 0) && `scales by ${attrs.scale}`],
  attend: ({ attrs, regions: { kv } }, { module, buffer }) => [
    buffer(kv).role !== 'kv' && 'reads a buffer that is no KV pool',
    attrs.kvHeads < 1 && 'has no KV head',
    differ('pages of another height than the pool', attrs.pageRows, module.bounds.pageRows),
    !(attrs.softCap >= 0) && `caps scores at ${attrs.softCap}`,
    attrs.window > 0 && attrs.mask !== 'causal' && 'has a window without the causal mask',
  ],
  finish: ({ regions: { sinks } }, { buffer }) => [sinks !== undefined && buffer(sinks).format !== 'f32' && 'has sinks that are not f32'],
  map: ({ attrs, regions: { x, y, same, out } }, { buffer }) => {
    const binary = takesOperand(attrs.function);
    const others = [y, same].filter((other) => other !== undefined);
    return [
      differ('operands of other widths', x.columns, out.columns), y !== undefined && differ('operands of other widths', y.columns, out.columns),
      same !== undefined && same.columns !== 1 && differ('numbers that are not one a column', same.columns, out.columns), same !== undefined && buffer(same).format !== 'f32' && 'has numbers that are not f32',
      others.length > 1 ? 'has two operands beside x' : binary !== (others.length > 0) && (binary ? 'has one operand' : 'has an operand it does not use'),
    ];
  },
  norm: ({ attrs: { groups }, regions: { x, params, out } }, { buffer }) => [
    differ('operands of other widths', x.columns, out.columns), (groups < 1 || x.columns % groups > 0) && `cuts rows of ${x.columns} into ${groups} groups`,
    buffer(params).format !== 'f32' && 'has parameters that are not f32', params.columns <= x.columns && `has ${params.columns} parameters for rows of ${x.columns}`,
  ],
  rope: ({ attrs, regions: { x, table, out } }, { buffer }) => [
    differ('columns that are not its heads', x.columns, attrs.heads * attrs.headDim),
    differ('operands of other widths', x.columns, out.columns),
    attrs.rotary % 2 !== 0 || attrs.rotary > attrs.headDim ? `rotates ${attrs.rotary} elements of heads of ${attrs.headDim}` : differ('angles of another width', table.columns, attrs.rotary),
    buffer(table).format !== 'f32' && 'has angles that are not f32',
  ],
  quantise: ({ regions: { x, out, rowScale } }, { buffer }) => [
    differ('operands of other widths', x.columns, out.columns),
    buffer(out).format !== 'e4m3' && `quantises to ${buffer(out).format}`,
    buffer(rowScale).format !== 'f32' && 'writes row scales that are not f32',
  ],
  quantiseBlocks: ({ regions: { x, out, scales } }, { buffer }) => [
    differ('operands of other widths', x.columns, out.columns),
    ...scaled(scales, buffer(out).format, buffer),
    differ('scales that are not those of its blocks', scales.columns, blocksOf(x.columns)),
  ],
  route: ({ attrs, regions: { x, biases, indices, weights, offsets }, rows }, { buffer }) => [
    differ('logits that are not its experts', x.columns, attrs.experts),
    (attrs.k < 1 || attrs.k > attrs.experts) && `chooses ${attrs.k} of ${attrs.experts} experts`,
    biases !== undefined && differ('biases that are not its experts', biases.columns, attrs.experts),
    differ('a list that is not its pairs', indices.columns, rows.max * attrs.k),
    differ('weights that are not its pairs', weights.columns, rows.max * attrs.k),
    differ('a list that is not where its experts begin', offsets.columns, attrs.experts + 1),
    buffer(weights).format !== 'f32' && 'writes weights that are not f32',
    (buffer(indices).format !== 'i32' || buffer(offsets).format !== 'i32') && 'writes lists that are not i32',
  ],
  bin: ({ attrs, regions: { indices, offsets, sources, places, owners }, rows }) => {
    const bins = binsOf({ ...attrs, max: rows.max });
    return [
      attrs.size < 1 && 'has bins of no place',
      differ('a list that is not its pairs', indices.columns, rows.max * attrs.k),
      differ('a list that is not where its experts begin', offsets.columns, attrs.experts + 1),
      differ('sources that are not its places', sources.columns, bins * attrs.size),
      differ('places that are not those of its pairs', places.columns, rows.max * attrs.k),
      differ('owners that are not its bins', owners.columns, bins),
    ];
  },
  mix: ({ attrs, regions: { x, weights, out }, rows }, { buffer }) => [
    differ('operands of other widths', x.columns, out.columns),
    differ('rows that are not k for each', x.rows, rows.max * attrs.k),
    differ('weights that are not k for each', weights.columns, rows.max * attrs.k),
    buffer(weights).format !== 'f32' && 'has weights that are not f32',
  ],
  allgather: sideBySide,
  reduceScatter: ({ attrs, regions: { from, out } }, { module, buffer }) => [
    differ('parts that are not the chips', attrs.parts, module.chips),
    differ('columns that are not its part of them', out.columns * attrs.parts, from.columns),
    differ('different formats', buffer(from).format, buffer(out).format),
  ],
  exchange: sideBySide,
  collect: (op, near) => [differ('parts that are not the chips', op.attrs.parts, near.module.chips), ...moved(op.regions.from, op.regions.out, near)],
  collectList: ({ attrs, regions: { from, out } }, { module, buffer }) => [differ('parts that are not the chips', attrs.parts, module.chips), differ('different formats', buffer(from).format, buffer(out).format)],
  shift: ({ regions: { from, out } }, near) => moved(from, out, near),
};

function sideBySide({ attrs, regions: { from, out } }: TileOpOf<'allgather' | 'exchange'>, { module, buffer }: Near): readonly (string | false)[] {
  return [
    differ('parts that are not the chips', attrs.parts, module.chips),
    differ('columns that are not those of its parts', out.columns, from.columns * attrs.parts),
    differ('different formats', buffer(from).format, buffer(out).format),
  ];
}

const blocksOf = (columns: number): number => Math.ceil(columns / blockScales.block.size);
const scaled = (scales: Region, format: Format, buffer: Near['buffer']): readonly (string | false)[] => [format !== 'e4m3' && `has scales of blocks of ${format}`, buffer(scales).format !== 'f32' && 'has scales that are not f32'];

const moved = (from: Region, out: Region, { buffer }: Near): readonly (string | false)[] => [differ('different formats', buffer(from).format, buffer(out).format), differ('different widths', from.columns, out.columns)];

/** What an op on its own breaks: memories, windows, lists, then the rules of its kind. */
export function opProblems(op: TileOp, near: Near): readonly string[] {
  const regions = Object.entries(op.regions as Readonly<Record<string, Region | undefined>>).flatMap(([name, region]) => (region === undefined ? [] : [{ name, region, buffer: near.buffer(region) }]));
  const spaces: Readonly<Record<string, Space>> = operandSpaces[op.kind];
  const common = regions.flatMap(({ name, region, buffer }) => [
    buffer.space !== spaces[name] && `has \`${name}\` in ${buffer.space} (\`${buffer.name}\`), its unit reaches ${spaces[name]}`,
    !isWhole(op.kind, name) && region.rows !== rowsWanted(op, name) && `works on ${rowsWanted(op, name)} rows and has ${region.rows} of \`${buffer.name}\``,
    isList(op.kind, name) && (buffer.role !== 'list' || region.column.base + region.columns !== buffer.columns || region.row.base !== 0) && `has a \`${name}\` that is not a list to its end`,
    isList(op.kind, name) && region.column.base !== 0 && region.column.base !== op.rows.part?.first && `has a \`${name}\` from element ${region.column.base} on, which is not its first row`,
  ]);
  const own = (checks[op.kind] as Check<TileKind>)(op as never, near);
  return [op.rows.max < 1 && 'works on no row', ...common, ...own].filter((problem) => problem !== false);
}

/** What ops break together: weights and products pair up in their block, attention loads, streams and stores in this order. */
export function sequenceProblems(ops: readonly TileOp[], near: Near): readonly { readonly op: TileOp; readonly problem: string }[] {
  const problems: { op: TileOp; problem: string }[] = [];
  const pushed: TileOpOf<'weights'>[] = [];
  let query: TileOpOf<'query'> | undefined;
  for (const op of ops) {
    const report = (problem: string | false): void => void (problem !== false && problems.push({ op, problem }));
    switch (op.kind) {
      case 'weights':
        pushed.push(op);
        break;
      case 'multiply': {
        const weights = pushed.shift();
        if (weights === undefined) {
          report('has no weights pushed for it in its block');
          break;
        }
        report(differ('k-tiles that are not those of its weights', op.attrs.kTiles, weights.attrs.kTiles));
        report(differ('n-tiles that are not those of its weights', op.attrs.nTiles, weights.attrs.nTiles));
        report(differ('a split that is not that of its weights', op.attrs.split, weights.attrs.split));
        report(differ('a split of k that is not that of its weights', op.attrs.kSplit, weights.attrs.kSplit));
        report((op.regions.scales === undefined) !== (weights.regions.scales === undefined) && `has ${op.regions.scales === undefined ? 'no ' : ''}scales of blocks, unlike its weights`);
        report(differ('an operand of another format than its weights', near.buffer(op.regions.a).format, near.buffer(weights.regions.from).format));
        break;
      }
      case 'query':
        query = op;
        break;
      case 'attend':
      case 'finish': {
        if (query === undefined) {
          report('has no queries loaded in its block');
          break;
        }
        const { heads, headDim } = query.attrs;
        if (op.kind === 'finish') {
          report(differ('columns that are not those of its queries', op.regions.out.columns, heads * headDim));
          report(op.regions.sinks !== undefined && differ('sinks that are not one a head', op.regions.sinks.columns, heads));
          report(differ('rows that are not those of its queries', JSON.stringify(op.rows), JSON.stringify(query.rows)));
          query = undefined;
          break;
        }
        report(heads % op.attrs.kvHeads !== 0 && `shares ${op.attrs.kvHeads} KV heads among ${heads}`);
        report(differ('columns that are not its KV heads', op.regions.kv.columns, op.attrs.kvHeads * headDim));
        report(differ('keys of another format than its queries', near.buffer(op.regions.kv).format, near.buffer(query.regions.q).format));
        break;
      }
    }
  }
  for (const op of pushed) problems.push({ op, problem: 'pushes weights nothing in its block multiplies by' });
  return problems;
}
