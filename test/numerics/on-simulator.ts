import type { Activation, Queue } from '../../isa-spec/instructions.ts';
import { all, at, type Code, hbmAt, Image, ins, runOnImage, token } from '../simulator/functional/harness.ts';
import { fromSingleBits, singleBits } from './bits.ts';
import type { AttentionCase, Codes, ConvertCase, DotCase, Format, FunctionCase, MapCase, NormCase, PartsCase, ProductCase, QuantiseCase, RopeCase, SampleCase, ScalesCase } from './vectors.ts';
import { unpack } from './vectors.ts';

const bytes = { e4m3: 1, e5m2: 1, ue8m0: 1, bf16: 2, f32: 4 } as const;
type Stored = keyof typeof bytes;
const lineBytes = 8;
const linesOf = (format: Stored, count: number): number => Math.ceil((count * bytes[format]) / lineBytes);

const put = (image: Image, format: Stored, line: number, codes: readonly number[]): void => {
  if (bytes[format] === 1) image.codes8(line, codes);
  else if (format === 'bf16') image.codes16(line, codes);
  else image.f32(line, codes.map(fromSingleBits));
};
const take = (image: Image, format: Stored, line: number, count: number): number[] => {
  if (bytes[format] === 1) return image.read8(line, count);
  return format === 'bf16' ? image.read16(line, count) : image.readF32(line, count).map(singleBits);
};

const [first, second, third, result] = [0, 200, 400, 700];
const done = [token(10)];
const run = (image: Image, queues: readonly Queue[], code: Code): Image => runOnImage(image, queues, code).image;

/** One row times one column, both padded to tiles of 8 with zeros. */
const dot = ({ format, a, b }: DotCase): number[] => {
  const [x, w] = [unpack(a), unpack(b)];
  const kTiles = Math.ceil(x.length / 8);
  const image = new Image();
  put(image, format, first, x);
  // A tile row is one weight of column 0 and seven zeros.
  const tileRow = linesOf(format, 8);
  for (let k = 0; k < 8 * kTiles; k++) put(image, format, 80 + k * tileRow, [w[k] ?? 0, 0, 0, 0, 0, 0, 0, 0]);
  const mm = ins('mm', { format, accumulate: 'no', split: 0, a: at(first), pitch: 1, acc: at(0), kTiles, kLast: x.length - 8 * (kTiles - 1), nTiles: 1, rows: all(1) }, [], [token(9)]);
  const epi = ins('epi', { format: 'f32', activation: 'none', scale: false, bias: false, residual: false, gated: false, split: 0, acc: at(0), out: at(result), pitch: 1, params: at(0), residualAt: at(0), rowScale: 0, nTiles: 1, nLast: 1, rows: all(1) }, [token(9)], done);
  return take(run(image, ['wld', 'mxu'], { wld: [ins('wld', { format, src: at(80), kTiles, nTiles: 1, split: 0 })], mxu: [mm], epi: [epi] }), 'f32', result, 1);
};

/** As `dot`, with the formats and scales of the case. */
const product = ({ format, weightFormat, scaling, a, b, scalesA, scalesB }: ProductCase): number[] => {
  const [x, w] = [unpack(a), unpack(b)];
  const kTiles = Math.ceil(x.length / 8);
  const [weightsAt, rowScalesAt, weightScalesAt] = [80, 600, 620];
  const scaleFormat = scaling === 'mx' ? 'ue8m0' : 'f32';
  const image = new Image();
  put(image, format, first, x);
  const tileRow = linesOf(weightFormat, 8);
  for (let k = 0; k < 8 * kTiles; k++) put(image, weightFormat, weightsAt + k * tileRow, [w[k] ?? 0, 0, 0, 0, 0, 0, 0, 0]);
  put(image, scaleFormat, rowScalesAt, unpack(scalesA));
  // Of blocks of 128 x 128 one number is for all columns, of MX one for each: a line of either.
  unpack(scalesB).forEach((code, block) => put(image, scaleFormat, weightScalesAt + block, scaling === 'mx' ? [code, 127, 127, 127, 127, 127, 127, 127] : [code]));
  const scales = scaling === 'outer' ? {} : { scaling, scales: at(weightScalesAt) };
  const rowScales = scaling === 'outer' ? {} : { scaling, scales: at(rowScalesAt), scalePitch: 1 };
  const mm = ins('mm', { format, ...(weightFormat === format ? {} : { weightFormat }), accumulate: 'no', split: 0, a: at(first), pitch: 1, acc: at(0), kTiles, kLast: x.length - 8 * (kTiles - 1), nTiles: 1, rows: all(1), ...rowScales }, [], [token(9)]);
  const epi = ins('epi', { format: 'f32', activation: 'none', scale: false, bias: false, residual: false, gated: false, split: 0, acc: at(0), out: at(result), pitch: 1, params: at(0), residualAt: at(0), rowScale: 0, nTiles: 1, nLast: 1, rows: all(1) }, [token(9)], done);
  return take(run(image, ['wld', 'mxu'], { wld: [ins('wld', { format: weightFormat, src: at(weightsAt), kTiles, nTiles: 1, split: 0, ...scales })], mxu: [mm], epi: [epi] }), 'f32', result, 1);
};

const norm = ({ kind, epsilon, x, gamma, beta }: NormCase): number[] => {
  const columns = unpack(x).length;
  const image = new Image();
  put(image, 'bf16', first, unpack(x));
  put(image, 'f32', second, unpack(epsilon));
  put(image, 'f32', second + 1, unpack(gamma));
  put(image, 'f32', second + 1 + linesOf('f32', columns), unpack(beta));
  const vnorm = ins('vnorm', { xFormat: 'bf16', format: 'f32', kind, x: at(first), xPitch: 1, params: at(second), out: at(result), outPitch: 1, columns, rows: all(1) }, [], done);
  return take(run(image, ['vec'], { vec: [vnorm] }), 'f32', result, columns);
};

const rope = ({ interleaved, x, table }: RopeCase): number[] => {
  const headDim = unpack(x).length;
  const image = new Image();
  put(image, 'bf16', first, unpack(x));
  put(image, 'f32', second, unpack(table));
  const vrope = ins('vrope', { xFormat: 'bf16', format: 'f32', interleaved, x: at(first), xPitch: 1, table: at(second), out: at(result), outPitch: 1, headDim, rotary: unpack(table).length, heads: 1, rows: all(1) }, [], done);
  return take(run(image, ['vec'], { vec: [vrope] }), 'f32', result, headDim);
};

const quantise = ({ x }: QuantiseCase): { readonly codes: number[]; readonly scale: number[] } => {
  const columns = unpack(x).length;
  const image = new Image();
  put(image, 'bf16', first, unpack(x));
  const vqnt = ins('vqnt', { xFormat: 'bf16', format: 'e4m3', x: at(first), xPitch: 1, out: at(result), outPitch: 1, rowScale: third, columns, rows: all(1) }, [], done);
  const after = run(image, ['vec'], { vec: [vqnt] });
  return { codes: take(after, 'e4m3', result, columns), scale: take(after, 'f32', third, 1) };
};

const scales = ({ mode, format, pow2, x, scales: wanted }: ScalesCase): { readonly codes: number[]; readonly scales: number[] } => {
  const columns = unpack(x).length;
  const image = new Image();
  put(image, 'f32', first, unpack(x));
  if (mode === 'given') put(image, 'f32', third, unpack(wanted));
  const fields = { xFormat: 'f32', format, x: at(first), xPitch: 1, out: at(result), outPitch: 1, columns, rows: all(1), pow2 } as const;
  const made = mode === 'row' || mode === 'given' ? ins('vqnt', { ...fields, mode, rowScale: third }, [], done) : ins('vqblk', { ...fields, scaling: mode, scales: at(third), scalePitch: 1 }, [], done);
  const after = run(image, ['vec'], { vec: [made] });
  return { codes: take(after, format, result, columns), scales: take(after, mode === 'mx' ? 'ue8m0' : 'f32', third, unpack(wanted).length) };
};

const map = (name: Exclude<Activation, 'none'> | 'copy', x: Codes, format: Stored): number[] => {
  const columns = unpack(x).length;
  const image = new Image();
  put(image, 'f32', first, unpack(x));
  const vmap = ins('vmap', { function: name, xFormat: 'f32', yFormat: 'f32', format, x: at(first), xPitch: 1, y: at(0), yPitch: 0, out: at(result), outPitch: 1, columns, rows: all(1) }, [], done);
  return take(run(image, ['vec'], { vec: [vmap] }), format, result, columns);
};

const chain = ({ functions: [head, then, last], x, y, z }: MapCase): number[] => {
  const columns = unpack(x).length;
  const image = new Image();
  [x, y, z].forEach((codes, i) => put(image, 'f32', [first, second, third][i]!, unpack(codes)));
  const fields = { function: head, second: then, third: last, xFormat: 'f32', yFormat: 'f32', format: 'f32', x: at(first), y: at(second), out: at(result), columns, rows: all(1) } as const;
  const made = z === '' ? ins('vmap', { ...fields, xPitch: 1, yPitch: 1, outPitch: 1 }, [], done) : ins('vmap3', { ...fields, zFormat: 'f32', z: at(third) }, [], done);
  return take(run(image, ['vec'], { vec: [made] }), 'f32', result, columns);
};

/** Keys, and values unless they are latents, in pages of 16 rows, in reverse order in the pool. */
const pagesOf = (format: Format, planes: readonly (readonly Codes[])[], kvLines: number): { readonly kv: Uint8Array; readonly pages: readonly number[] } => {
  const pageRows = 16;
  const keys = planes[0]!.length;
  const count = Math.ceil(keys / pageRows);
  const kv = new Uint8Array(65536).fill(0xff);
  const view = new DataView(kv.buffer);
  const store = (row: number, codes: Codes): void =>
    unpack(codes).forEach((code, i) => (format === 'e4m3' ? view.setUint8(row * kvLines * lineBytes + i, code) : view.setUint16(row * kvLines * lineBytes + 2 * i, code, true)));
  const pages = Array.from({ length: count }, (_, page) => count - 1 - page);
  planes.forEach((rows, plane) => rows.forEach((codes, j) => store((planes.length * pages[Math.floor(j / pageRows)]! + plane) * pageRows + (j % pageRows), codes)));
  return { kv, pages };
};

const parts = ({ format, scale, window, splitBlocks, q, k, v, out }: PartsCase): number[] => {
  const latent = v.length === 0;
  const [headDim, valueDim] = [unpack(q).length, unpack(out).length];
  const kvLines = linesOf(format, latent ? headDim : Math.max(headDim, valueDim));
  const image = new Image();
  put(image, format, first, unpack(q));
  const { kv, pages } = pagesOf(format, latent ? [k] : [k, v], kvLines);
  const rows = all(1);
  const att = [
    ins('aq', { format, q: at(first), pitch: 1, worklist: second, heads: 1, headDim, valueDim, scale: fromSingleBits(unpack(scale)[0]!), rows }, [token(5)]),
    ins('attn', { format, mask: 'causal', kv: hbmAt('kv', 0), pages: third, pageRows: 16, kvLines, kvHeads: 1, window, ...(latent ? { latent } : {}), ...(splitBlocks === 0 ? {} : { splitBlocks }) }),
    ins('afin', { format: 'f32', out: at(result), pitch: 1, rows }, [], done),
  ];
  const ctl = [ins('hostw', { table: 'worklist', dst: at(second), bytes: 64 }), ins('hostw', { table: 'pages', dst: at(third), bytes: 1024 }, [], [token(5)])];
  const step = { counts: { tokens: 1, sequences: 1, samples: 0, memory: 0 }, worklist: [{ firstRow: 0, rows: 1, keys: k.length, firstPosition: k.length - 1, firstPage: 0 }], pages };
  return take(runOnImage(image, ['att', 'ctl'], { att, ctl }, step, { kv }).image, 'f32', result, valueDim);
};

const attention = (one: AttentionCase): number[] => parts({ ...one, splitBlocks: 0 });

/** A row of what `sample` draws by takes 32 bytes, a little-endian word each: temperature, topK, topP, the seed's two, position. */
const sample = ({ logits, temperature, topK, topP, seed, position }: SampleCase): number => {
  const image = new Image();
  put(image, 'f32', first, unpack(logits));
  image.i32(second, [unpack(temperature)[0]!, topK, unpack(topP)[0]!, ...seed, position, 0, 0]);
  const draw = ins('sample', { mode: 'draw', xFormat: 'f32', x: at(first), xPitch: 1, params: at(second), out: result, columns: unpack(logits).length, rows: all(1) }, [], done);
  return new Int32Array(run(image, ['vec'], { vec: [draw] }).bytes.slice(result * lineBytes, result * lineBytes + 4).buffer)[0]!;
};

/** What the functional simulator's instructions make of each case: the codes of the result in memory. */
export const onSimulator = {
  dot, product, norm, rope, quantise, attention, parts, sample, chain, scales,
  functions: ({ name, x }: FunctionCase): number[] | undefined => (name === 'exp2' ? undefined : map(name, x, 'f32')),
  convert: ({ name, x }: ConvertCase): number[] => map('copy', x, name),
};
