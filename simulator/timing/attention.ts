import { formatBytes } from '../../isa-spec/fields.ts';
import type { InstructionOf } from '../../isa-spec/instructions.ts';
import type { WorkEntry } from '../../isa-spec/step-block.ts';
import { keyBytes, valueDimOf } from './cycles.ts';
import type { Rates } from './rates.ts';

/**
 * What one `attn` over a window of queries costs. `cycles` = sum over entries of max(`arrayCycles`, `softmaxCycles`) of the entry.
 * `hbmBytes`: KV lines of all key blocks touched, in runs of `runBytes`; `newBytes`: those no earlier window of the same sequence has read.
 * `pairs`: unmasked (query row, head, key) triples; useful FLOPs are 2 * (headDim + valueDim) of each.
 */
export type AttentionCost = {
  readonly cycles: number;
  readonly arrayCycles: number;
  readonly softmaxCycles: number;
  readonly exponentials: number;
  readonly hbmBytes: number;
  readonly newBytes: number;
  readonly runBytes: number;
  readonly pairs: number;
};

/** Keys the attention unit masks and normalises together. */
const keyBlock = 128;

type Attend = { readonly query: InstructionOf<'aq'>['fields']; readonly keys: InstructionOf<'attn'>['fields']; readonly rates: Rates };

/**
 * Cost of streaming the keys of every sequence that has rows in the window `first`..`first + count`. A block of 128 keys is skipped for the
 * rows that see none of it. QK and PV of a block take ceil(keys/S) * ceil(headDim/S), and valueDim, tiles of at most S x S a KV head, each
 * max(query rows of the head's group, load of its elements) cycles, spread over the unit's arrays. Latents are read from HBM once, and
 * loaded for QK and again, turned, for PV. Of split keys only those of the parts attended to count; adding a part takes two exponentials
 * a row and head.
 */
export function attentionCost(attend: Attend, work: readonly WorkEntry[], first: number, count: number): AttentionCost {
  const { query, keys, rates } = attend;
  const rowBytes = keys.kvLines * rates.lineBytes;
  const begin = ((query.from ?? 0) * rates.lineBytes) / formatBytes.i32 + first;
  const total = { cycles: 0, arrayCycles: 0, softmaxCycles: 0, exponentials: 0, hbmBytes: 0, newBytes: 0, pairs: 0 };
  for (const entry of work) {
    const from = Math.max(begin, entry.firstRow);
    const to = Math.min(begin + count, entry.firstRow + entry.rows);
    if (from >= to) continue;
    const cost = entryCost(attend, entry, from - entry.firstRow, to - entry.firstRow);
    total.cycles += cost.cycles;
    total.arrayCycles += cost.arrayCycles;
    total.softmaxCycles += cost.softmaxCycles;
    total.exponentials += cost.exponentials;
    total.hbmBytes += cost.hbmBytes;
    total.newBytes += cost.newBytes;
    total.pairs += cost.pairs;
  }
  return { ...total, cycles: Math.max(1, total.cycles), runBytes: rowBytes * (keys.pageRows <= keyBlock ? planesOf(keys) * keys.pageRows : keyBlock) };
}

/** Planes of a page. */
const planesOf = ({ latent }: Attend['keys']): number => (latent === true ? 1 : 2);

/** Keys of the parts attended to: [low, high). */
const partKeys = ({ splitBlocks, firstPart = 0, parts = Infinity }: Attend['keys']): readonly [low: number, high: number] =>
  splitBlocks === undefined ? [0, Infinity] : [firstPart * splitBlocks * keyBlock, (firstPart + parts) * splitBlocks * keyBlock];

/** Rows `from`..`to` of the entry. */
function entryCost({ query, keys, rates }: Attend, entry: WorkEntry, from: number, to: number): Omit<AttentionCost, 'runBytes'> {
  const side = rates.attentionSide;
  const causal = keys.mask === 'causal';
  const low = entry.firstPosition + from;
  const high = entry.firstPosition + to - 1;
  const group = query.heads / keys.kvHeads;
  const rate = keys.format === 'bf16' ? rates.slow : 1;
  const bytesPerKey = planesOf(keys) * keys.kvLines * rates.lineBytes;
  const [partLow, partHigh] = partKeys(keys);
  const end = Math.min(partHigh, causal ? Math.min(entry.keys, high + 1) : entry.keys);
  const start = Math.max(partLow, keys.window > 0 ? low - keys.window + 1 : 0);
  const widths = [query.headDim, valueDimOf(query)];

  let tileCycles = 0;
  let exponentials = 0;
  let touched = 0;
  for (let key = start - (start % keyBlock); key < end; key += keyBlock) {
    const size = Math.min(keyBlock, entry.keys - key);
    const firstSeeing = causal ? Math.max(low, key) : low;
    const lastSeeing = keys.window > 0 ? Math.min(high, key + size - 2 + keys.window) : high;
    const rows = lastSeeing - firstSeeing + 1;
    if (rows <= 0) continue;
    const stream = Math.ceil(rows * group * rate);
    const load = (elements: number): number => Math.ceil((elements * keyBytes(keys)) / rates.attentionLoad);
    for (const width of widths) tileCycles += keys.kvHeads * blockCycles(size, width, stream, load, side);
    exponentials += rows * query.heads * (size + 1);
    if (keys.splitBlocks !== undefined && (key / keyBlock) % keys.splitBlocks === 0) exponentials += 2 * rows * query.heads;
    touched += size;
  }
  const arrayCycles = Math.ceil(tileCycles / rates.attentionArrays);
  const softmaxCycles = Math.ceil(exponentials / rates.exponentials);
  return {
    cycles: Math.max(arrayCycles, softmaxCycles),
    arrayCycles,
    softmaxCycles,
    exponentials,
    hbmBytes: touched * bytesPerKey,
    newBytes: Math.max(0, end - Math.max(start, from === 0 ? 0 : readBefore(entry, causal, low))) * bytesPerKey,
    pairs: unmasked(entry, keys, low, high) * query.heads,
  };
}

/** Cycles of all tiles of a block of keys: each is loaded while the one before streams its rows. */
function blockCycles(size: number, width: number, stream: number, load: (elements: number) => number, side: number): number {
  let cycles = 0;
  for (let key = 0; key < size; key += side) {
    for (let element = 0; element < width; element += side) cycles += Math.max(stream, load(Math.min(side, size - key) * Math.min(side, width - element)));
  }
  return cycles;
}

/** Keys the rows before position `low` have read already. */
const readBefore = (entry: WorkEntry, causal: boolean, low: number): number => (causal ? Math.min(entry.keys, low) : entry.keys);

/** Unmasked (row, key) pairs of the rows at positions `low`..`high`. */
function unmasked(entry: WorkEntry, keys: Attend['keys'], low: number, high: number): number {
  const [partLow, partHigh] = partKeys(keys);
  let pairs = 0;
  for (let position = low; position <= high; position++) {
    const upper = Math.min(partHigh, keys.mask === 'causal' ? Math.min(position + 1, entry.keys) : entry.keys);
    const lower = Math.max(partLow, keys.window > 0 ? position - keys.window + 1 : 0);
    if (upper > lower) pairs += upper - lower;
  }
  return pairs;
}
