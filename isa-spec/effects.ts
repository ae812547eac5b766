import type { AddressOf, Mnemonic } from './instructions.ts';
import type { Where } from './names.ts';

/**
 * Memory an instruction touches by one of its operands: `rows` rows, `pitch` lines apart, of `each` lines each, from where the
 * operand points; of accumulators `each` rows, in every array that takes part. `some`: not all of that, which the data say.
 * `list`: the window's elements of a row list; of another, `count` elements from `first` on. All are formulas (`formula.ts`) of the instruction's fields, of `max`, `count` and
 * `first` of its window, and of the machine (`names.ts`). Nothing is touched where `when` does not hold, nor, `evenOfNone` apart, by
 * an instruction whose window is empty.
 */
export type Effect = { readonly does: 'reads' | 'writes' | 'updates'; readonly of: Box | 'list' | Elements; readonly when?: string; readonly evenOfNone?: true };
export type Elements = { readonly first: string; readonly count: string };
export type Box = { readonly rows: string; readonly pitch: string; readonly each: string; readonly some: boolean };

/** What an instruction depends on and changes besides memory and semaphores. */
export const resources = {
  counters: 'the loop counters I',
  registers: 'the registers R',
  predicates: 'the predicates P',
  calls: 'the calls in force and their frame',
  step: 'the step-control block',
  host: 'the host',
  weights: 'an entry of the weight FIFO',
  queries: 'the queries in the attention unit, with their (m, l, O)',
  chips: 'the chips of a group, or of the program',
} as const;
export type Resource = keyof typeof resources;

/** What it does with them. `takes`: an entry of a FIFO, for which it waits; `gives`: one, waiting for room; `meets`: goes on when all have come. */
export type Verb = 'reads' | 'writes' | 'updates' | 'takes' | 'gives' | 'meets';

type EffectsOf<M extends Mnemonic> = {
  readonly where?: Where;
  readonly memory: { readonly [F in AddressOf<M>]: Effect | readonly Effect[] };
  readonly state?: { readonly [V in Verb]?: readonly Resource[] };
};

type Does = Effect['does'];
type When = Pick<Effect, 'when'>;
const only = (when: string | undefined): When => (when === undefined ? {} : { when });
/** Rows of a matrix, as many as is said: the window's, where nothing is. */
const matrix = (does: Does, pitch: string, each: string, { when, rows = 'count' }: When & { readonly rows?: string } = {}): Effect => ({ does, of: { rows, pitch, each, some: false }, ...only(when) });
/** Lines in one piece. */
const piece = (does: Does, each: string, when?: string): Effect => ({ does, of: { rows: '1', pitch: '0', each, some: false }, ...only(when) });
/** Rows of a table, whichever the data pick. */
const picked = (does: Does, pitch: string, each: string): Effect => ({ does, of: { rows: 'any', pitch, each, some: true } });
/** Some lines of a piece. */
const within = (does: Does, each: string): Effect => ({ does, of: { rows: '1', pitch: '0', each, some: true } });
/** The window's elements of a row list. */
const list = (does: Does, when?: string): Effect => ({ does, of: 'list', ...only(when) });

/** Lines of elements. */
const elements = (count: string, format: string): string => `lines(${count} * bytes(${format}))`;

/** What a micro-operation reads of its operand, which is one of several kinds. */
const given = (kind: string, taken: string, pitch: string, each: string): readonly Effect[] => [
  matrix('reads', pitch, each, { when: `${taken} and ${kind} = matrix` }),
  piece('reads', each, `${taken} and ${kind} = vector`),
  list('reads', `${taken} and ${kind} = list`),
  piece('reads', '1', `${taken} and ${kind} = number`),
];

/** Elements that share a scale, and bytes of one. */
const blocks: Where = { block: 'scaling = mx ? 32 : 128', scaleBytes: 'scaling = mx ? 1 : 4' };
const accumulators = 'min(count, ceil(max / 2^split))';
const pairs = 'lines(4 * count * k)';

/** What each instruction touches; of memory, by every field that is an address. Verifier and simulators derive it for themselves, and are held against this. */
export const effects: { readonly [M in Mnemonic]: EffectsOf<M> } = {
  nop: { memory: {} },
  sync: { memory: {} },
  loop: { memory: {}, state: { writes: ['counters'] } },
  sreg: { memory: {}, state: { reads: ['step'], writes: ['registers'] } },
  salu: { memory: {}, state: { updates: ['registers'] } },
  call: { memory: {}, state: { writes: ['calls'] } },
  ret: { memory: {}, state: { writes: ['calls'] } },
  setp: { memory: {}, state: { reads: ['registers'], writes: ['predicates'] } },
  trace: { memory: {}, state: { reads: ['registers'] } },
  hostw: { memory: { dst: piece('writes', 'lines(min(bytes, length))') }, state: { reads: ['step'] } },
  event: { memory: {}, state: { writes: ['host'] } },
  dld: { memory: { src: matrix('reads', 'srcPitch', 'lines'), dst: matrix('writes', 'dstPitch', 'lines') } },
  dst: { memory: { src: matrix('reads', 'srcPitch', 'lines'), dst: matrix('writes', 'dstPitch', 'lines') } },
  dcp: { memory: { src: matrix('reads', 'srcPitch', 'lines', { when: 'not fill' }), dst: matrix('writes', 'dstPitch', 'lines') } },
  dgat: { memory: { src: picked('reads', 'srcPitch', 'lines'), dst: matrix('writes', 'dstPitch', 'lines'), index: list('reads') } },
  dsct: { memory: { src: matrix('reads', 'srcPitch', 'lines'), dst: picked('writes', 'dstPitch', 'lines'), index: list('reads') } },
  wld: {
    where: { ...blocks, scaleLines: 'lines((scaling = mx ? nTiles * A : ceil(nTiles * A / block)) * scaleBytes)' },
    memory: {
      src: piece('reads', 'kTiles * nTiles * A * lines(A * bytes(format))'),
      scales: piece('reads', 'ceil(kTiles * A / block) * scaleLines', 'scaling = block | mx'),
    },
    state: { gives: ['weights'] },
  },
  mm: {
    where: { ...blocks, depth: '(kTiles - 1) * A + kLast' },
    memory: {
      a: matrix('reads', 'pitch', elements('depth', 'format')),
      scales: matrix('reads', 'scalePitch', 'lines(ceil(depth / block) * scaleBytes)', { when: 'scaling = block | mx' }),
      acc: [piece('writes', accumulators, 'accumulate = no'), piece('updates', accumulators, 'accumulate = yes | first')],
    },
    state: { takes: ['weights'] },
  },
  epi: {
    where: { columns: '((gated ? nTiles / 2 : nTiles) - 1) * A + nLast' },
    memory: {
      acc: piece('reads', accumulators),
      params: piece('reads', '(scale + bias) * lines(4 * nTiles * A)', 'scale or bias'),
      rowScale: list('reads', 'scale'),
      residualAt: matrix('reads', 'pitch', elements('columns', 'format'), { when: 'residual' }),
      out: matrix('writes', 'pitch', elements('columns', 'format')),
    },
  },
  aq: {
    memory: { q: matrix('reads', 'pitch', elements('heads * headDim', 'format')), worklist: within('reads', 'lines(64 * sequences)'), slopes: piece('reads', 'lines(4 * heads)', 'sloped') },
    state: { writes: ['queries'] },
  },
  attn: { memory: { kv: picked('reads', 'kvLines', 'kvLines'), pages: within('reads', 'lines(4 * pageListEntries)') }, state: { updates: ['queries'] } },
  afin: {
    where: { values: 'aq.valueDim = 0 ? aq.headDim : aq.valueDim', partialLines: 'lines(4 * aq.heads * (values + 2))' },
    memory: {
      partials: matrix('reads', 'partialPitch', 'merge * partialLines', { when: 'merge > 0' }),
      sinks: piece('reads', 'lines(4 * aq.heads)', 'sink'),
      out: matrix('writes', 'pitch', 'partial ? partialLines : lines(aq.heads * values * bytes(format))'),
    },
    state: { reads: ['queries'] },
  },
  vmap: {
    memory: {
      x: matrix('reads', 'xPitch', elements('columns', 'xFormat')),
      y: given('yIs', 'operands(function, second, third) > 0', 'yPitch', elements('columns', 'yFormat')),
      out: matrix('writes', 'outPitch', elements('columns', 'format')),
    },
  },
  vmap3: {
    memory: {
      x: matrix('reads', elements('columns', 'xFormat'), elements('columns', 'xFormat')),
      y: given('yIs', 'operands(function, second, third) > 0', elements('columns', 'yFormat'), elements('columns', 'yFormat')),
      z: given('zIs', 'operands(function, second, third) > 1', elements('columns', 'zFormat'), elements('columns', 'zFormat')),
      out: matrix('writes', elements('columns', 'format'), elements('columns', 'format')),
    },
  },
  vred: { memory: { x: matrix('reads', 'xPitch', elements('columns', 'xFormat')), out: list('writes') } },
  vnorm: {
    memory: {
      x: matrix('reads', 'xPitch', elements('columns', 'xFormat')),
      params: piece('reads', '1 + (kind = layer ? 2 : 1) * lines(4 * columns)'),
      out: matrix('writes', 'outPitch', elements('columns', 'format')),
    },
  },
  vrope: {
    memory: {
      x: matrix('reads', 'xPitch', elements('heads * headDim', 'xFormat')),
      table: matrix('reads', 'lines(4 * rotary)', 'lines(4 * rotary)'),
      out: matrix('writes', 'outPitch', elements('heads * headDim', 'format')),
    },
  },
  vqnt: {
    memory: {
      x: matrix('reads', 'xPitch', elements('columns', 'xFormat')),
      out: matrix('writes', 'outPitch', elements('columns', 'format')),
      rowScale: [list('writes', 'mode = row'), list('reads', 'mode = given')],
    },
  },
  vqblk: {
    where: blocks,
    memory: {
      x: matrix('reads', 'xPitch', elements('columns', 'xFormat')),
      out: matrix('writes', 'outPitch', elements('columns', 'format')),
      scales: matrix('writes', 'scalePitch', 'lines(ceil(columns / block) * scaleBytes)'),
    },
  },
  sample: {
    memory: { x: matrix('reads', 'xPitch', elements('columns', 'xFormat')), params: matrix('reads', 'lines(32)', 'lines(32)', { when: 'mode = draw' }), out: list('writes') },
  },
  route: {
    memory: {
      x: matrix('reads', 'xPitch', elements('experts', 'xFormat')),
      biases: piece('reads', 'lines(4 * experts)', 'bias'),
      indices: piece('writes', pairs),
      weights: piece('writes', pairs),
      offsets: { ...piece('writes', 'lines(4 * (experts + 1))'), evenOfNone: true },
    },
  },
  perm: {
    memory: {
      x: matrix('reads', 'xPitch', elements('columns', 'xFormat'), { rows: 'direction = permute ? count : count * k' }),
      out: matrix('writes', 'outPitch', elements('columns', 'format'), { rows: 'direction = combine ? count : count * k' }),
      indices: piece('reads', pairs),
      weights: piece('reads', pairs, 'direction = combine'),
    },
  },
  bin: {
    where: { own: 'floor(experts / max(1, group))', most: 'max * min(k, own)', open: 'min(own, most)', bins: 'min(open + ceil((most - open + 1) / size) - 1, own * ceil(max / size))' },
    memory: {
      indices: piece('reads', pairs),
      offsets: piece('reads', 'lines(4 * (experts + 1))'),
      sources: { ...piece('writes', 'lines(4 * bins * size)'), evenOfNone: true },
      targets: { ...piece('writes', 'lines(4 * (inverse ? max * k : bins * size))'), evenOfNone: true },
      owners: { ...piece('writes', 'lines(4 * bins)'), evenOfNone: true },
    },
  },
  mix: {
    memory: {
      x: matrix('reads', 'xPitch', elements('columns', 'xFormat'), { rows: 'count * k' }),
      weights: piece('reads', pairs),
      out: matrix('writes', 'outPitch', elements('columns', 'format')),
    },
  },
  coll: {
    where: { members: 'kind = shift or group = 0 ? chips : group', reach: 'max(1, group)', place: 'rank - floor(rank / members) * members', share: 'ceil(count / members)' },
    memory: {
      src: [
        matrix('reads', 'srcPitch', 'lines(bytes)', { rows: 'kind = collect ? share : count', when: 'kind != shift and kind != collectlist' }),
        { does: 'reads', of: { first: 'first / max * ceil(max / members)', count: 'share' }, when: 'kind = collectlist' },
        { ...matrix('reads', 'srcPitch', 'lines(bytes)', { rows: 'max', when: 'kind = shift' }), evenOfNone: true },
      ],
      out: [
        matrix('writes', 'outPitch', 'lines(kind = allgather | exchange ? bytes * members : kind = reducescatter ? bytes / members : bytes)', { rows: 'kind = exchange ? share : count', when: '(kind != send or place = peer) and (kind != shift or rank >= reach) and kind != collectlist' }),
        list('writes', 'kind = collectlist'),
      ],
    },
    state: { meets: ['chips'] },
  },
};
