import type { Mnemonic } from './instructions.ts';
import type { Where } from './names.ts';

/**
 * What one execution takes when nothing else wants what it wants, in cycles: its unit is occupied for `cycles`, and its posts leave
 * `latency` later. Formulas of the instruction's fields, of `count` and `max` of its window, of what `effects` names for it and of the
 * machine. The event simulator has them as code (`simulator/timing/cycles.ts`), and is held against these.
 */
export type ClosedForm = { readonly where?: Where; readonly cycles: string; readonly latency: string; /** What its lists are. */ readonly note?: readonly string[] };

const free: ClosedForm = { cycles: '0', latency: '0' };
const one: ClosedForm = { cycles: '1', latency: '0' };

/** HBM's rate depends on how long the runs are that its lines come in: a row, or the whole block if the pitch leaves no gap. */
const transfer = (run: string): ClosedForm => ({
  where: { moved: 'count * lines * lineBytes', run },
  cycles: 'moved = 0 ? 1 : ceil(moved / (hbmRate * efficiency(run)))',
  latency: 'moved = 0 ? 0 : hbmLatency',
});
const rowRuns = 'lines * lineBytes';

/** The vector unit: `passes` FP32 operations an element, and the depth of its pipeline. */
const vector = (elements: string, passes: string): ClosedForm => ({ where: { passes }, cycles: `max(1, ceil(${elements} * passes / lanes))`, latency: '32' });

/** Rows in and out of the attention unit: an element a cycle for each row of its arrays. */
const attentionRows = (elements: string): ClosedForm => ({ where: { elements }, cycles: 'max(1, ceil(elements / (attentionArrays * attentionSide)))', latency: '0' });

export const costs: { readonly [M in Mnemonic]: ClosedForm } = {
  nop: one,
  sync: one,
  loop: free,
  sreg: free,
  salu: free,
  call: free,
  ret: free,
  setp: free,
  trace: one,
  hostw: { cycles: 'max(1, ceil(min(bytes, length) / lineBytes))', latency: '0' },
  event: one,
  dld: transfer(`srcPitch = lines ? moved : ${rowRuns}`),
  dst: transfer(`dstPitch = lines ? moved : ${rowRuns}`),
  dcp: { cycles: 'max(1, count * lines)', latency: '0' },
  dgat: transfer(rowRuns),
  dsct: transfer(rowRuns),
  wld: { where: { load: 'ceil(A * slow(format))' }, cycles: 'ceil(kTiles / 2^kSplit) * load', latency: '0' },
  mm: {
    where: {
      weights: 'weightFormat = f32 ? format : weightFormat',
      load: 'ceil(A * slow(weights))',
      stream: 'max(1, ceil(ceil(count / 2^split) * max(slow(format), slow(weights))))',
    },
    cycles: '(ceil(kTiles / 2^kSplit) - 1) * max(stream, load) + stream',
    latency: 'count = 0 ? 0 : 2 * A - 2 + kSplit',
  },
  epi: { cycles: 'max(1, ceil(count / 2^split))', latency: 'count = 0 ? 0 : 32' },
  aq: attentionRows('count * heads * headDim'),
  attn: {
    where: {
      planes: 'latent ? 1 : 2',
      stream: 'ceil(seeing * aq.heads / kvHeads * slow(format))',
      load: 'ceil(keys * width * bytes(format) / attentionLoad)',
      products: 'sum(tiles, kvHeads * max(stream, load))',
      softmax: 'sum(blocks, seeing * aq.heads * (keys + 1 + (opens ? 2 : 0)))',
      computing: 'sum(sequences, max(ceil(products / attentionArrays), ceil(softmax / exponentials)))',
      moved: 'sum(sequences, sum(blocks, planes * keys * kvLines * lineBytes))',
      run: 'kvLines * lineBytes * (pageRows > 128 ? 128 : planes * pageRows)',
    },
    cycles: 'max(1, computing, ceil(moved / (hbmRate * efficiency(run))))',
    latency: 'moved = 0 ? 0 : hbmLatency',
    note: [
      '`sequences`: those with rows in the window',
      '`blocks` of a sequence: its blocks of 128 keys that some of those rows see; `seeing`: those rows; `keys`: keys of the block; `opens`: it is the first of a part of split keys',
      '`tiles` of a sequence: those of QK and of PV of its blocks, `keys` keys x `width` elements of a head, at most `attentionSide` of either; `seeing`: as of the block',
    ],
  },
  afin: attentionRows('count * aq.heads * (merge * (values + 2) + values + (partial ? 2 : 0))'),
  vmap: vector('count * columns', 'passes(function, second, third)'),
  vmap3: vector('count * columns', 'passes(function, second, third)'),
  vred: vector('count * columns', 'reduce = meanSquare ? 2 : 1'),
  vnorm: vector('count * columns', 'kind = rms ? 4 : 7'),
  vrope: vector('count * heads', '3 * rotary + (headDim - rotary)'),
  vqnt: vector('count * columns', 'mode = given ? 2 : 3'),
  vqblk: vector('count * columns', '3'),
  sample: vector('count * columns', 'mode = draw ? 16 : 1'),
  route: vector('count * experts', '6 + k'),
  perm: vector('count * k * columns', 'direction = combine ? 2 : 1'),
  bin: { cycles: 'max(1, ceil(2 * bins * size / lanes))', latency: '32' },
  mix: vector('count * k * columns', '2'),
  coll: {
    where: {
      part: 'ceil(bytes / members) * (members - 1)',
      all: 'bytes * (members - 1)',
      shared: 'ceil(count / members) * all',
      least: 'kind = shift ? reach : 1',
      some: 'kind = allreduce ? 2 * part : kind = reducescatter ? part : members > least ? bytes : 0',
      whole: 'count * (kind = allgather | broadcast ? all : some)',
      sent: 'kind = exchange | collect | collectlist ? shared : whole',
    },
    cycles: 'max(1, ceil(sent / linkRate))',
    latency: 'sent = 0 ? 0 : linkLatency',
  },
};
