import { type Format, formatBytes } from '../isa-spec/fields.ts';
import type { InstructionOf, Instruction, Mnemonic, OperandKind } from '../isa-spec/instructions.ts';
import { binsOf } from '../isa-spec/bins.ts';
import { blockScales } from '../isa-spec/numerics-scales.ts';
import { rowScales, weightScales } from '../isa-spec/profiles.ts';
import { collected, partialColumns, resultColumns, type Sizes } from './accesses.ts';

/** What an instruction says of an operand's elements: their format, and how many a row has; how many all rows have together; or a row's bytes; or its lines; and how far apart the rows of a table are that an index picks from. */
export type Shape = { readonly format?: Format; readonly columns?: number; readonly elements?: number; readonly bytes?: number; readonly lines?: number; readonly rows?: number; readonly apart?: number };
type Shapes = { readonly [field: string]: Shape };
type ShapesOf = { readonly [M in Mnemonic]?: (fields: InstructionOf<M>['fields'], sizes: Sizes) => Shapes };

const words = { format: 'i32' } as const;
const scales = { format: 'f32' } as const;
const operand = (is: OperandKind | undefined, format: Format, columns: number): Shape => (is === undefined ? { format, columns } : { format, columns: is === 'vector' ? columns : 1, rows: 1 });
const bothLines = ({ lines }: { readonly lines: number }): Shapes => ({ src: { lines }, dst: { lines } });

/** By mnemonic and field, of the instructions compiled programs have. Rows are those of the window where nothing else is said. */
const shapes: ShapesOf = {
  hostw: ({ bytes }) => ({ dst: { format: 'i32', columns: bytes / formatBytes.i32, rows: 1 } }),
  dld: bothLines,
  dst: bothLines,
  dcp: bothLines,
  dgat: (f) => ({ src: { lines: f.lines, apart: f.srcPitch }, dst: { lines: f.lines }, index: words }),
  dsct: (f) => ({ src: { lines: f.lines }, dst: { lines: f.lines, apart: f.dstPitch }, index: words }),
  wld: (f, { side }) => {
    const scales = weightScales(f, side);
    return { src: { format: f.format, elements: f.kTiles * f.nTiles * side * side }, ...(scales === undefined ? {} : { scales }) };
  },
  mm: (f, { side }) => {
    const columns = (f.kTiles - 1) * side + f.kLast;
    const scales = rowScales(f, columns);
    return { a: { format: f.format, columns }, acc: { format: 'f32', columns: f.nTiles * side }, ...(scales === undefined ? {} : { scales: { format: scales.format, columns: scales.columns } }) };
  },
  epi: (f, { side }) => {
    const out = { format: f.format, columns: ((f.gated ? f.nTiles / 2 : f.nTiles) - 1) * side + f.nLast };
    return { acc: { format: 'f32', columns: f.nTiles * side }, out, residualAt: out, params: { format: 'f32', columns: ((f.scale ? 1 : 0) + (f.bias ? 1 : 0)) * f.nTiles * side, rows: 1 }, rowScale: scales };
  },
  aq: (f) => ({ q: { format: f.format, columns: f.heads * f.headDim }, worklist: words, slopes: { format: 'f32', columns: f.heads, rows: 1 } }),
  attn: (f, { queries }) => ({ kv: { format: f.format, ...(queries === undefined ? {} : { columns: f.kvHeads * queries.headDim }) }, pages: words }),
  afin: (f, { queries, lineBytes }) => {
    if (queries === undefined) return { out: { format: f.format } };
    const line = lineBytes / formatBytes.f32;
    return {
      out: { format: f.format, columns: f.partial === true ? partialColumns(queries) : resultColumns(queries) },
      partials: { format: 'f32', columns: (f.merge ?? 0) * line * Math.ceil(partialColumns(queries) / line) },
      sinks: { format: 'f32', columns: queries.heads, rows: 1 },
    };
  },
  vmap: (f) => ({ x: { format: f.xFormat, columns: f.columns }, y: operand(f.yIs, f.yFormat, f.columns), out: { format: f.format, columns: f.columns } }),
  vmap3: (f) => ({ x: { format: f.xFormat, columns: f.columns }, y: operand(f.yIs, f.yFormat, f.columns), z: operand(f.zIs, f.zFormat, f.columns), out: { format: f.format, columns: f.columns } }),
  vnorm: (f, { lineBytes }) => {
    const line = lineBytes / formatBytes.f32;
    const vectors = f.kind === 'layer' ? 2 : 1;
    return { x: { format: f.xFormat, columns: f.columns }, params: { format: 'f32', columns: line * (1 + vectors * Math.ceil(f.columns / line)), rows: 1 }, out: { format: f.format, columns: f.columns } };
  },
  vrope: (f) => ({ x: { format: f.xFormat, columns: f.heads * f.headDim }, table: { format: 'f32', columns: f.rotary }, out: { format: f.format, columns: f.heads * f.headDim } }),
  vqnt: (f) => ({ x: { format: f.xFormat, columns: f.columns }, out: { format: f.format, columns: f.columns }, rowScale: scales }),
  vqblk: (f) => ({
    x: { format: f.xFormat, columns: f.columns }, out: { format: f.format, columns: f.columns },
    scales: { format: blockScales[f.scaling].format, columns: Math.ceil(f.columns / blockScales[f.scaling].size) },
  }),
  route: (f) => ({
    x: { format: f.xFormat, columns: f.experts }, biases: { format: 'f32', columns: f.experts, rows: 1 },
    indices: { format: 'i32', columns: f.rows.max * f.k, rows: 1 }, weights: { format: 'f32', columns: f.rows.max * f.k, rows: 1 }, offsets: { format: 'i32', columns: f.experts + 1, rows: 1 },
  }),
  bin: (f) => {
    const bins = binsOf({ ...f, max: f.rows.max });
    const list = (columns: number): Shape => ({ format: 'i32', columns, rows: 1 });
    return { indices: list(f.rows.max * f.k), offsets: list(f.experts + 1), sources: list(bins * f.size), targets: list(f.inverse === true ? f.rows.max * f.k : bins * f.size), owners: list(bins) };
  },
  mix: (f) => ({ x: { format: f.xFormat, columns: f.columns, rows: f.rows.max * f.k }, weights: { format: 'f32', columns: f.rows.max * f.k, rows: 1 }, out: { format: f.format, columns: f.columns } }),
  coll: (f, { chips }) => ({ src: { bytes: f.bytes }, out: { bytes: collected(f, chips) } }),
};

export const shapesOf = (instruction: Instruction, sizes: Sizes): Shapes => (shapes[instruction.op] as ((fields: unknown, sizes: Sizes) => Shapes) | undefined)?.(instruction.fields, sizes) ?? {};

/** Instructions that hand on what they read, in its format, and from which field. */
export const copies: Readonly<Partial<Record<Mnemonic, string>>> = { dld: 'src', dst: 'src', dcp: 'src', dgat: 'src', dsct: 'src', coll: 'src' };
