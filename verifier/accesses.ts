import { type AccOperand, formatBytes, type Format, type HbmOperand, type RowWindow, type SramOperand } from '../isa-spec/fields.ts';
import { hbmBases, type Instruction, type InstructionOf, type Mnemonic, type OperandKind, samplingBytes, workEntryBytes } from '../isa-spec/instructions.ts';
import { binsOf } from '../isa-spec/bins.ts';
import { membersOf } from '../isa-spec/groups.ts';
import { blockScales } from '../isa-spec/numerics-scales.ts';
import { rowScales, weightScales } from '../isa-spec/profiles.ts';
import { takesOperand } from '../isa-spec/numerics-vector.ts';

/**
 * Memory an instruction touches by one operand: `rows` rows, `pitch` units apart, of `units` units each, from where the
 * operand points; units are lines, or accumulator rows. `window`: as many rows as the instruction's window has; of `shared` chips, a chip's share of them.
 */
export type Access = {
  readonly name: string;
  readonly does: Does;
  readonly space: 'sram' | 'acc' | 'hbm';
  readonly operand: SramOperand | AccOperand | HbmOperand;
  readonly rows: 'window' | number;
  readonly shared?: number;
  readonly pitch: number;
  readonly units: number;
  /** Rows are picked by an index list: they may be any from the operand to the end of the table it is in. */
  readonly picked: boolean;
};
/** `updates`: reads and writes. */
export type Does = 'reads' | 'writes' | 'updates';
/** A row list: packed elements of which the window takes its own; of `shared` chips, a chip's share of them. */
export type ListAccess = { readonly name: string; readonly does: Does; readonly list: number; readonly shared?: number };
/** What an instruction touches. */
export type Touched = readonly (Access | ListAccess)[];

/** Sizes accesses depend on. `queries`: the aq before an afin. `bound`: a bound of the entry, undefined if it has none of that name. */
export type Sizes = {
  readonly side: number;
  readonly lineBytes: number;
  readonly chips: number;
  readonly bound: (name: string) => number | undefined;
  readonly queries: InstructionOf<'aq'>['fields'] | undefined;
};

type AccessesOf = { readonly [M in Mnemonic]: (fields: InstructionOf<M>['fields'], sizes: Sizes) => Touched };

const lines = (bytes: number, { lineBytes }: Sizes): number => Math.ceil(bytes / lineBytes);
const rowLines = (columns: number, format: Format, sizes: Sizes): number => lines(columns * formatBytes[format], sizes);
const still = (addr: number): SramOperand => ({ addr, ss: 0 });
const matrix = (name: string, does: Does, operand: SramOperand, pitch: number, units: number): Access => ({ name, does, space: 'sram', operand, rows: 'window', pitch, units, picked: false });
const run = (name: string, does: Does, operand: SramOperand, units: number): Access => ({ name, does, space: 'sram', operand, rows: 1, pitch: 0, units, picked: false });
const far = (name: string, does: Does, operand: HbmOperand, pitch: number, units: number): Access => ({ name, does, space: 'hbm', operand, rows: 'window', pitch, units, picked: false });
const sums = (does: Does, f: { readonly acc: AccOperand; readonly rows: RowWindow; readonly split: number }): Access =>
  ({ name: 'acc', does, space: 'acc', operand: f.acc, rows: 1, pitch: 0, units: Math.ceil(f.rows.max / 2 ** f.split), picked: false });

type Given = { readonly name: string; readonly is: OperandKind | undefined; readonly operand: SramOperand; readonly pitch: number; readonly units: number };

/** What a micro-operation reads of its operand: `units` lines of each row, or of one; a list; or one number. */
const read = ({ name, is, operand, pitch, units }: Given): Access | ListAccess => {
  switch (is) {
    case 'vector': return run(name, 'reads', operand, units);
    case 'list': return { name, does: 'reads', list: operand.addr };
    case 'number': return run(name, 'reads', operand, 1);
    default: return matrix(name, 'reads', operand, pitch, units);
  }
};

/** Those of the operands that a chain's micro-operations take: one each, in turn. */
const operandsTaken = ({ function: head, second = 'copy', third = 'copy' }: InstructionOf<'vmap' | 'vmap3'>['fields'], given: readonly Given[]): Touched =>
  given.slice(0, [head, second, third].filter(takesOperand).length).map(read);

/** Planes of a page: keys and values, or latents alone. */
const planesOf = ({ bound }: Sizes): number => bound('pagePlanes') ?? 2;

/** Rows of a KV pool from its first plane on. */
function poolRows(sizes: Sizes): number | undefined {
  const [pages, rows] = [sizes.bound('poolPages'), sizes.bound('pageRows')];
  return pages === undefined || rows === undefined ? undefined : planesOf(sizes) * pages * rows;
}

/** Elements of a row of results. */
export const resultColumns = ({ heads, headDim, valueDim = headDim }: InstructionOf<'aq'>['fields']): number => heads * valueDim;
/** FP32 numbers of a row's partial: its results, and m and l of each head. */
export const partialColumns = (queries: InstructionOf<'aq'>['fields']): number => resultColumns(queries) + 2 * queries.heads;

/** Bytes of a row that a collective leaves on a chip. */
export const collected = (fields: InstructionOf<'coll'>['fields'], chips: number): number => {
  const [{ kind, bytes }, members] = [fields, membersOf(fields, chips)];
  return kind === 'allgather' || kind === 'exchange' ? bytes * members : kind === 'reducescatter' ? bytes / members : bytes;
};

/**
 * By mnemonic: everything the instruction reads or writes that can be known without its data. Rows picked by an index list
 * are the host's promise; of those only a KV pool's are bounded, by the entry's pool.
 */
const accesses: AccessesOf = {
  nop: () => [],
  sync: () => [],
  loop: () => [],
  sreg: () => [],
  salu: () => [],
  call: () => [],
  ret: () => [],
  setp: () => [],
  trace: () => [],
  event: () => [],
  hostw: ({ dst, bytes }, sizes) => [run('dst', 'writes', dst, lines(bytes, sizes))],
  dld: (f) => [far('src', 'reads', f.src, f.srcPitch, f.lines), matrix('dst', 'writes', f.dst, f.dstPitch, f.lines)],
  dst: (f) => [matrix('src', 'reads', f.src, f.srcPitch, f.lines), far('dst', 'writes', f.dst, f.dstPitch, f.lines)],
  dcp: (f) => [...(f.fill ? [] : [matrix('src', 'reads', f.src, f.srcPitch, f.lines)]), matrix('dst', 'writes', f.dst, f.dstPitch, f.lines)],
  dgat: (f) => [{ ...far('src', 'reads', f.src, 0, f.lines), rows: 1, picked: true }, { name: 'index', does: 'reads', list: f.index }, matrix('dst', 'writes', f.dst, f.dstPitch, f.lines)],
  dsct: (f, sizes) => {
    // Slots are rows of key planes: the last of them is a plane before the pool's end, if there are planes of values.
    const pool = hbmBases[f.dst.base] === 'kv' ? poolRows(sizes) : undefined;
    const rows = pool === undefined ? 1 : pool - (planesOf(sizes) - 1) * sizes.bound('pageRows')!;
    return [matrix('src', 'reads', f.src, f.srcPitch, f.lines), { name: 'index', does: 'reads', list: f.index }, { ...far('dst', 'writes', f.dst, f.dstPitch, f.lines), rows, picked: pool === undefined }];
  },
  wld: (f, sizes) => {
    const scales = weightScales(f, sizes.side);
    return [
      run('src', 'reads', f.src, f.kTiles * f.nTiles * sizes.side * rowLines(sizes.side, f.format, sizes)),
      ...(scales === undefined ? [] : [run('scales', 'reads', f.scales ?? still(0), scales.rows * rowLines(scales.columns, scales.format, sizes))]),
    ];
  },
  mm: (f, sizes) => {
    const k = (f.kTiles - 1) * sizes.side + f.kLast;
    const scales = rowScales(f, k);
    return [
      matrix('a', 'reads', f.a, f.pitch, rowLines(k, f.format, sizes)),
      ...(scales === undefined ? [] : [matrix('scales', 'reads', f.scales ?? still(0), f.scalePitch ?? 0, rowLines(scales.columns, scales.format, sizes))]),
      sums(f.accumulate === 'no' ? 'writes' : 'updates', f),
    ];
  },
  epi: (f, sizes) => {
    const columns = ((f.gated ? f.nTiles / 2 : f.nTiles) - 1) * sizes.side + f.nLast;
    const parts = (f.scale ? 1 : 0) + (f.bias ? 1 : 0);
    const width = rowLines(columns, f.format, sizes);
    return [
      sums('reads', f),
      ...(parts === 0 ? [] : [run('params', 'reads', f.params, parts * rowLines(f.nTiles * sizes.side, 'f32', sizes))]),
      ...(f.residual ? [matrix('residualAt', 'reads', f.residualAt, f.pitch, width)] : []),
      ...(f.scale ? [{ name: 'rowScale', does: 'reads', list: f.rowScale } as const] : []),
      matrix('out', 'writes', f.out, f.pitch, width),
    ];
  },
  aq: (f, sizes) => [
    matrix('q', 'reads', f.q, f.pitch, rowLines(f.heads * f.headDim, f.format, sizes)),
    run('worklist', 'reads', still(f.worklist), lines((sizes.bound('sequences') ?? 0) * workEntryBytes, sizes)),
    ...(f.sloped !== true ? [] : [run('slopes', 'reads', still(f.slopes ?? 0), rowLines(f.heads, 'f32', sizes))]),
  ],
  attn: (f, sizes) => [
    { ...far('kv', 'reads', f.kv, f.kvLines, f.kvLines), rows: poolRows(sizes) ?? 1, picked: poolRows(sizes) === undefined },
    run('pages', 'reads', still(f.pages), lines((sizes.bound('pageListEntries') ?? 0) * formatBytes.i32, sizes)),
  ],
  afin: (f, sizes) => {
    const { queries } = sizes;
    if (queries === undefined) return [matrix('out', 'writes', f.out, f.pitch, 0)];
    const partial = rowLines(partialColumns(queries), 'f32', sizes);
    return [
      ...(f.merge === undefined ? [] : [matrix('partials', 'reads', f.partials ?? still(0), f.partialPitch ?? 0, f.merge * partial)]),
      ...(f.sink === true ? [run('sinks', 'reads', f.sinks ?? still(0), rowLines(queries.heads, 'f32', sizes))] : []),
      matrix('out', 'writes', f.out, f.pitch, f.partial === true ? partial : rowLines(resultColumns(queries), f.format, sizes)),
    ];
  },
  vmap: (f, sizes) => {
    const y = { name: 'y', is: f.yIs, operand: f.y, pitch: f.yPitch, units: rowLines(f.columns, f.yFormat, sizes) };
    return [matrix('x', 'reads', f.x, f.xPitch, rowLines(f.columns, f.xFormat, sizes)), ...operandsTaken(f, [y]), matrix('out', 'writes', f.out, f.outPitch, rowLines(f.columns, f.format, sizes))];
  },
  vmap3: (f, sizes) => {
    const packed = (name: 'x' | 'y' | 'z', is: OperandKind | undefined, format: Format): Given => {
      const units = rowLines(f.columns, format, sizes);
      return { name, is, operand: f[name], pitch: units, units };
    };
    const width = rowLines(f.columns, f.format, sizes);
    return [read(packed('x', undefined, f.xFormat)), ...operandsTaken(f, [packed('y', f.yIs, f.yFormat), packed('z', f.zIs, f.zFormat)]), matrix('out', 'writes', f.out, width, width)];
  },
  vred: (f, sizes) => [matrix('x', 'reads', f.x, f.xPitch, rowLines(f.columns, f.xFormat, sizes)), { name: 'out', does: 'writes', list: f.out }],
  vnorm: (f, sizes) => [
    matrix('x', 'reads', f.x, f.xPitch, rowLines(f.columns, f.xFormat, sizes)),
    run('params', 'reads', f.params, 1 + (f.kind === 'layer' ? 2 : 1) * rowLines(f.columns, 'f32', sizes)),
    matrix('out', 'writes', f.out, f.outPitch, rowLines(f.columns, f.format, sizes)),
  ],
  vrope: (f, sizes) => {
    const angles = rowLines(f.rotary, 'f32', sizes);
    const width = f.heads * f.headDim;
    return [matrix('x', 'reads', f.x, f.xPitch, rowLines(width, f.xFormat, sizes)), matrix('table', 'reads', f.table, angles, angles), matrix('out', 'writes', f.out, f.outPitch, rowLines(width, f.format, sizes))];
  },
  vqnt: (f, sizes) => [
    matrix('x', 'reads', f.x, f.xPitch, rowLines(f.columns, f.xFormat, sizes)),
    matrix('out', 'writes', f.out, f.outPitch, rowLines(f.columns, f.format, sizes)),
    { name: 'rowScale', does: f.mode === 'given' ? 'reads' : 'writes', list: f.rowScale },
  ],
  vqblk: (f, sizes) => {
    const { size, format } = blockScales[f.scaling];
    return [
      matrix('x', 'reads', f.x, f.xPitch, rowLines(f.columns, f.xFormat, sizes)),
      matrix('out', 'writes', f.out, f.outPitch, rowLines(f.columns, f.format, sizes)),
      matrix('scales', 'writes', f.scales, f.scalePitch, rowLines(Math.ceil(f.columns / size), format, sizes)),
    ];
  },
  sample: (f, sizes) => {
    const drawn = lines(samplingBytes, sizes);
    return [
      matrix('x', 'reads', f.x, f.xPitch, rowLines(f.columns, f.xFormat, sizes)),
      ...(f.mode === 'draw' ? [matrix('params', 'reads', f.params, drawn, drawn)] : []),
      { name: 'out', does: 'writes', list: f.out },
    ];
  },
  route: (f, sizes) => {
    const pairs = lines(f.rows.max * f.k * 4, sizes);
    return [
      matrix('x', 'reads', f.x, f.xPitch, rowLines(f.experts, f.xFormat, sizes)),
      ...(f.bias ? [run('biases', 'reads', still(f.biases), rowLines(f.experts, 'f32', sizes))] : []),
      run('indices', 'writes', still(f.indices), pairs), run('weights', 'writes', still(f.weights), pairs), run('offsets', 'writes', still(f.offsets), rowLines(f.experts + 1, 'i32', sizes)),
    ];
  },
  perm: (f, sizes) => {
    const pairs = lines(f.rows.max * f.k * 4, sizes);
    const all = f.rows.max * f.k;
    const x = matrix('x', 'reads', f.x, f.xPitch, rowLines(f.columns, f.xFormat, sizes));
    const out = matrix('out', 'writes', f.out, f.outPitch, rowLines(f.columns, f.format, sizes));
    return [
      f.direction === 'permute' ? x : { ...x, rows: all }, f.direction === 'combine' ? out : { ...out, rows: all }, run('indices', 'reads', still(f.indices), pairs),
      ...(f.direction === 'combine' ? [run('weights', 'reads', still(f.weights), pairs)] : []),
    ];
  },
  bin: (f, sizes) => {
    const bins = binsOf({ ...f, max: f.rows.max });
    const words = (count: number): number => rowLines(count, 'i32', sizes);
    return [
      run('indices', 'reads', still(f.indices), words(f.rows.max * f.k)), run('offsets', 'reads', still(f.offsets), words(f.experts + 1)),
      run('sources', 'writes', still(f.sources), words(bins * f.size)), run('targets', 'writes', still(f.targets), words(f.inverse === true ? f.rows.max * f.k : bins * f.size)), run('owners', 'writes', still(f.owners), words(bins)),
    ];
  },
  mix: (f, sizes) => [
    { ...matrix('x', 'reads', f.x, f.xPitch, rowLines(f.columns, f.xFormat, sizes)), rows: f.rows.max * f.k },
    run('weights', 'reads', f.weights, rowLines(f.rows.max * f.k, 'f32', sizes)),
    matrix('out', 'writes', f.out, f.outPitch, rowLines(f.columns, f.format, sizes)),
  ],
  coll: (f, sizes) => {
    const shared = membersOf(f, sizes.chips);
    if (f.kind === 'collectlist') return [{ name: 'src', does: 'reads', list: f.src.addr, shared }, { name: 'out', does: 'writes', list: f.out.addr }];
    return [
      { ...matrix('src', 'reads', f.src, f.srcPitch, lines(f.bytes, sizes)), ...(f.kind === 'shift' ? { rows: f.rows.max } : f.kind === 'collect' ? { shared } : {}) },
      { ...matrix('out', 'writes', f.out, f.outPitch, lines(collected(f, sizes.chips), sizes)), ...(f.kind === 'exchange' ? { shared } : {}) },
    ];
  },
};

/** What an instruction touches. */
export const touchedBy = (instruction: Instruction, sizes: Sizes): Touched => (accesses[instruction.op] as (fields: unknown, sizes: Sizes) => Touched)(instruction.fields, sizes);
