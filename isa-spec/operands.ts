import type { FieldOf, Mnemonic } from './instructions.ts';

const srcPitch = 'lines from a row of `src` to the next';
const dstPitch = 'lines from a row of `dst` to the next';
const xPitch = 'lines from a row of `x` to the next';
const outPitch = 'lines from a row of `out` to the next';
const xFormat = 'format of the elements of `x`';
const stored = 'format of the elements stored';
const columns = 'elements of a row';
const split = 'groups of arrays that share the rows, as a power of two';
const kSplit = 'arrays of a group that share k, as a power of two; absent, one';
const window = 'the window';
const scaling = 'what has scales: rows and columns, or blocks of either operand';
const rowIds = 'a row list of i32: which rows of HBM';

const furtherWait = 'a semaphore to take from';
const furtherPost = 'a semaphore to give to';
const taken = 'how much to take from it';
const given = 'how much to give to it';

const dma = { lines: 'lines of a row', rows: window };
const micro = {
  function: 'first micro-operation',
  second: 'micro-operation of its result',
  third: 'micro-operation of that one\'s result',
};
const kindOf = (operand: string): string => `what \`${operand}\` is: rows of a matrix, one row for all, a number a row from an FP32 row list, one number`;

/** What each field of each instruction says. */
export const operands: { readonly [M in Mnemonic]: { readonly [F in FieldOf<M>]: string } } = {
  nop: {},
  sync: {
    wait2: furtherWait, wait3: furtherWait, wait4: furtherWait, wait5: furtherWait, post2: furtherPost, post3: furtherPost, post4: furtherPost, post5: furtherPost,
    waitCount2: taken, waitCount3: taken, waitCount4: taken, waitCount5: taken, postCount2: given, postCount3: given, postCount4: given, postCount5: given,
  },
  loop: { level: 'which of the four loop counters counts', count: 'passes', body: 'instructions after this one that are repeated' },
  sreg: { reg: 'register written', count: 'which count of the step' },
  salu: {
    function: 'what is computed', reg: 'register written', a: 'register that is the first number, 0 for `copy`', b: 'register that is the second; 0: `value` is',
    value: 'the second number', least: 'least the result may be', most: 'most it may be',
  },
  call: { target: 'number of the subprogram\'s first instruction in the queue', frame: 'stride sets its own are numbered after' },
  ret: {},
  setp: { compare: 'comparison', target: 'predicate written', reg: 'register compared', value: 'number it is compared with' },
  trace: { kind: 'what to do', tag: 'number by which the place is known', reg: 'register asserted of', least: 'least it may be', most: 'most it may be' },
  hostw: { table: 'which table of the step', dst: 'where it goes', bytes: 'most that is copied' },
  event: { tag: 'number the host is told' },
  dld: { ...dma, src: 'where the rows are', srcPitch, dst: 'where they go', dstPitch },
  dst: { ...dma, src: 'where the rows are', srcPitch, dst: 'where they go', dstPitch },
  dcp: { ...dma, fill: 'fill, do not copy', src: 'where the rows are, if copied', srcPitch, dst: 'where they go', dstPitch, value: 'what fills every 4 bytes' },
  dgat: { ...dma, src: 'row 0 of the table', srcPitch, dst: 'where the rows go', dstPitch, index: rowIds, oob: 'what a row is that is not in the region: a fault, or zeros' },
  dsct: { ...dma, src: 'where the rows are', srcPitch, dst: 'row 0 of the table', dstPitch, index: rowIds, oob: 'what a row is that is not in the region: a fault, or nothing' },
  wld: { format: 'format of the weights', src: 'first tile', kTiles: 'tiles along k', nTiles: 'tiles along n', split, scaling, scales: 'scales of its blocks', kSplit },
  mm: {
    format: 'format of the activations, and of the weights', weightFormat: 'format of the weights, if another', scaling, accumulate: 'overwrite the accumulators, add to them, or overwrite where I[3] is 0', split,
    a: 'activations', pitch: 'lines from a row of `a` to the next', acc: 'first accumulator row', kTiles: 'tiles along k', kLast: 'k of the last of them', nTiles: 'tiles along n', rows: window,
    scales: 'scales of the blocks of each row', scalePitch: 'lines from a row of `scales` to the next', kSplit,
  },
  epi: {
    format: `${stored}, and of the residual`, activation: 'function of each element', scale: 'scale rows and columns', bias: 'add a bias to each column', residual: 'add a residual',
    gated: 'the first half of the tiles are gates of the second', split, acc: 'first accumulator row', out: 'where rows go', pitch: 'lines from a row of `out`, and of the residual, to the next',
    params: 'column scales, then biases: FP32, those there are', residualAt: 'the residual', rowScale: 'an FP32 row list: scales of rows', nTiles: 'tiles along n', nLast: 'columns of the last', rows: window,
  },
  aq: {
    format: 'format of queries, keys and values', q: 'queries, heads side by side', pitch: 'lines from a row of `q` to the next', worklist: 'the work list', heads: 'query heads', headDim: 'elements of a query and of a key',
    scale: 'what scores are multiplied by', rows: window, valueDim: 'elements of a value and of a result; absent, `headDim`',
    sloped: 'scores rise or fall with the distance', slopes: 'an FP32 list of a number for each head: what is added to the score of a key for each place it is after the row\'s',
    from: 'lines of a row list before the one whose first row is the window\'s row 0',
  },
  attn: {
    format: 'format of keys and values, as of queries', mask: 'which keys a row sees', latent: 'a page has one plane; values are the beginnings of keys', kv: 'page 0 of the pool', pages: 'list of pages, i32',
    pageRows: 'keys of a page', kvLines: 'lines of a row of a plane', kvHeads: 'heads of keys', window: 'keys a row sees, up to its own; 0: all', softCap: 'bound of scores; absent, none',
    splitBlocks: 'blocks of 128 keys of a part; absent, keys are not in parts', firstPart: 'first part attended to', parts: 'parts attended to; absent, all from there',
  },
  afin: {
    format: stored, sink: 'each head has one more key, of value 0', partial: 'store (m, l, O) instead of results', out: 'where rows go', pitch: outPitch, rows: window, sinks: 'logits of the sinks, FP32, one a head',
    merge: 'partials of each row to add up', partials: 'partials of the first row', partialPitch: 'lines from a row\'s partials to the next row\'s',
  },
  vmap: {
    ...micro, xFormat, yFormat: 'format of the elements of `y`', format: stored, yIs: kindOf('y'), x: 'first operand', xPitch, y: 'operand of the micro-operations that take one',
    yPitch: 'lines from a row of `y` to the next, if it is a matrix', out: 'where rows go', outPitch, columns, rows: window,
  },
  vmap3: {
    ...micro, xFormat, yFormat: 'format of the elements of `y`', zFormat: 'format of the elements of `z`', format: stored, yIs: kindOf('y'), zIs: kindOf('z'),
    x: 'first operand', y: 'operand of the first micro-operation that takes one', z: 'operand of those after it', out: 'where rows go', columns, rows: window,
  },
  vred: { reduce: 'what is made of a row', xFormat, x: 'the rows', xPitch, out: 'an FP32 row list: where the numbers go', columns, rows: window },
  vnorm: { xFormat, format: stored, kind: 'which norm', x: 'the rows', xPitch, params: 'a line that starts with eps, then gamma, then (layer) beta: FP32', out: 'where rows go', outPitch, columns, rows: window, groups: 'parts of a row that are normalised each on its own' },
  vrope: {
    xFormat, format: stored, interleaved: 'pairs are neighbours, not halves', x: 'heads side by side', xPitch, table: 'cosines, then sines, of each row: FP32', out: 'where rows go', outPitch,
    headDim: 'elements of a head', rotary: 'elements of a head that are rotated', heads: 'heads', rows: window,
  },
  vqnt: { xFormat, format: stored, mode: 'find a scale for each row, or use the one there', pow2: 'scales are powers of two', x: 'the rows', xPitch, out: 'where rows go', outPitch, rowScale: 'an FP32 row list: scales of rows', columns, rows: window },
  vqblk: {
    xFormat, format: stored, scaling: 'blocks and the format of their scales', pow2: 'scales are powers of two', x: 'the rows', xPitch, out: 'where rows go', outPitch,
    scales: 'where the scales of rows go', scalePitch: 'lines from a row of `scales` to the next', columns, rows: window,
  },
  sample: { mode: 'how a token is chosen', xFormat, x: 'logits', xPitch, params: 'how to draw: 32 bytes for each row', out: 'an i32 row list: where the tokens go', columns: 'logits of a row', rows: window },
  route: {
    scores: 'what scores are of logits', normalise: 'weights of a row add up to 1', bias: 'choose by score and bias', xFormat, x: 'logits of the experts', xPitch, biases: 'FP32, one an expert',
    indices: 'where the pairs go, by expert: i32', weights: 'where the weights of choices go: FP32', offsets: 'where goes at which pair each expert begins: i32', experts: 'experts', k: 'experts a row chooses', rows: window,
  },
  perm: {
    direction: 'to the order of experts, back, or back and added up', xFormat, format: stored, x: 'the rows', xPitch, out: 'where rows go', outPitch,
    indices: 'the pairs by expert, from `route`', weights: 'the weights of choices, from `route`', columns, k: 'experts a row has chosen', rows: window,
  },
  bin: {
    inverse: '`targets` are places by pair, not pairs by place',
    indices: 'the pairs by expert, from `route`', offsets: 'at which of them each expert begins, from `route`', sources: 'where the row of each place goes: i32', targets: 'where the pair of each place goes, or the place of each pair: i32',
    owners: 'where the expert of each bin goes: i32', experts: 'experts', k: 'experts a row has chosen', size: 'places of a bin', rows: window,
    group: 'chips that share the experts; absent, each has all',
  },
  mix: { xFormat, format: stored, x: 'the rows', xPitch, weights: 'an FP32 weight for each row of `x`', out: 'where sums go', outPitch, columns, k: 'rows of a sum', rows: window },
  coll: {
    kind: 'what is done with what all bring', format: 'format of what is added up; absent, f32', src: 'rows of this chip', srcPitch, out: 'where rows go', outPitch, bytes: 'bytes of a row that are brought',
    tag: 'number by which chips know they mean the same', rows: window, root: 'chip of the group that sends; absent, 0', peer: 'chip of the group that receives; absent, 0',
    group: 'chips of a group; absent, all of the program, in a shift one',
  },
};
