import type { Mnemonic } from './instructions.ts';

/** Paragraphs of Markdown, lists and blocks of steps among them. */
const text = (...parts: readonly string[]): string => parts.join('\n\n');
/** Lines of steps. A line that is indented belongs to the one above it that is not. */
const steps = (...lines: readonly string[]): string => ['```text', ...lines, '```'].join('\n');
const points = (...lines: readonly string[]): string => lines.map((line) => `- ${line}`).join('\n');

/** A copy between memories: rows in, rows out. */
const moved = (to: string, from: string): string => steps('for i < count:', `  lines [0, lines) of ${to} <- those of ${from}`);

/** What each instruction does, to the bit, for the manual; its page explains the notation under "Numbers". */
export const meaning: { readonly [M in Mnemonic]: string } = {
  nop: 'Nothing. Its waits are taken and its posts made, as of every instruction.',
  sync: 'Takes each of its further waits and makes each of its further posts, beyond the two of each that every word has. A wait or post with semaphore 0 is none.',
  loop: text(
    'Runs the next `body` instructions `count` times. I[level] is 0 in the first pass, counts up by one a pass, and is 0 again afterwards. Loops nest; a loop inside another has another level.',
    'Its own waits and posts happen once, before the first pass.',
  ),
  sreg: 'R[reg] <- the named count of the step-control block. R0 always holds 2^32 - 1, which shortens nothing.',
  salu: text(
    steps('R[reg] <- f(R[a], b), b being R[b], or value where the field is 0'),
    points(
      'copy b, add a + b, subtract a - b, or 0 if that is less, multiply a * b, ceildiv: the least number that times b is at least a, minimum, maximum, shift_left a * 2^b, shift_right the whole part of a / 2^b: all of whole numbers from 0.',
      'A result that is not from `least` to `most`, or that there is none (ceildiv by 0), is a fault; nothing wraps.',
    ),
  ),
  call: text(
    'Goes on at the instruction numbered `target` of the queue, until a `ret` brings it back to the instruction after the call. Until then the frame in force is the one of the caller plus `frame`: stride set n of an operand, n > 0, is the queue\'s set frame + n.',
    'Loop counters, registers and predicates are the caller\'s, and what is done to them stays. At most 4 calls are in force. Its own waits and posts happen before the subprogram begins.',
  ),
  ret: 'Ends the call in force: goes on after it, with the frame of before. Where no call is in force, the queue\'s step has ended, as it has at the end of the code. Its own waits and posts come first.',
  setp: 'P[target] <- whether R[reg] is equal to (eq), not equal to (ne), below (lt), at most (le), above (gt) or at least (ge) `value`. P1 to P7 of every queue are false when a step begins.',
  trace: points(
    'timestamp: the trace of the queue gets `tag` and the cycle; nothing a program can see changes.',
    'assert: a fault that names `tag` unless least <= R[reg] <= most, all unsigned.',
  ),
  hostw: 'Copies the first min(bytes, length) bytes of a table of this step\'s control block to SRAM from line `dst` on. Nothing beyond them is written.',
  event: 'Tells the host `tag`. The entry has ended when its last event was told.',
  dld: text(moved('SRAM row i', 'HBM row i'), 'Row i of the source starts i * srcPitch lines after `src`, of the target i * dstPitch lines after `dst`. Leaving the base register\'s region is a fault.'),
  dst: text(moved('HBM row i', 'SRAM row i'), 'Rows start as in `dld`.'),
  dcp: text(
    steps('for i < count, ascending:', '  lines [0, lines) of row i of the target <- those of row i of the source when row i began', '  with fill: every 4 bytes of them <- value, little-endian'),
    'Row i starts i pitches after the operand.',
  ),
  dgat: text(moved('SRAM row i', 'HBM row x'), 'x is element first + i of the i32 row list at line `index`. Row x starts x * srcPitch lines after `src`.', points('A row that leaves the base register\'s region is a fault.', '`oob` skip: instead it is zeros, as is that of a negative x.')),
  dsct: text(moved('HBM row x', 'SRAM row i'), 'x is element first + i of the i32 row list at line `index`. Row x starts x * dstPitch lines after `dst`.', points('A row that leaves the base register\'s region is a fault.', '`oob` skip: instead it is not written, nor is that of a negative x.')),
  wld: text(
    'Pushes one entry to the weight FIFO: kTiles x nTiles tiles, k-tiles outermost, from consecutive lines at `src`. A tile is A rows (k) of A elements (n), each row padded to a line; beyond the edges of the weight it is zero. `split` says for how many groups of arrays (2^split) the entry is replicated.',
    'With `scaling`, the scales of its blocks go with it: from consecutive lines at `scales`, for each block of k ascending a row, padded to a line.',
    points('block, 128 of k: FP32, element floor(c / 128) is of column c < nTiles * A.', 'mx, 32 of k: UE8M0, element c is of column c.'),
  ),
  mm: text(
    'Takes the next entry of the weight FIFO, w, which must have the format `weightFormat` (absent: `format`) and the same scaling, kTiles, nTiles and split. K = (kTiles - 1) * A + kLast.',
    steps(
      'for r < count, c < nTiles * A:',
      '  s <- +0          if accumulate = no, or accumulate = first and I[3] = 0',
      '       acc[r, c]   else',
      '  s <- s and the products a[r, k] * w[k, c], k ascending from 0 to K - 1, added up',
      '  acc[r, c] <- s',
    ),
    'How they are added up:',
    points(
      'e4m3 by e4m3: exactly.',
      'any other mixture of e4m3, e5m2 and bf16: s <- fround(s + a * w), one k after the other.',
      '`scaling` block, for each block of 128 of k: s <- fround(s + fround(fround(t) * fround(sa * sw))).',
      '`scaling` mx, for each block of 32 of k: s <- fround(s + fround(t * sa * sw)).',
    ),
    'Blocks are ascending from k = 0 of this product, and the last may be short; t is the exact sum of a block\'s products, sw the scale of the weights (`wld`), sa the block\'s element of row r of `scales`, which starts r * scalePitch lines after it: packed, FP32 or UE8M0. A product that another continues is whole blocks.',
    'acc[r, c] is in array g * nTiles + floor(c / A), at accumulator row acc + (r mod R), where R = ceil(max / 2^split) and g = floor(r / R). Rows from count on keep their accumulators.',
  ),
  epi: text(
    'T = nTiles, or nTiles / 2 if gated; the output has (T - 1) * A + nLast columns.',
    steps(
      'finish(r, j):                             column j of the accumulators',
      '  y <- fround(acc[r, j])',
      '  with scale: y <- fround(y * rowScale[first + r])',
      '              y <- fround(y * columnScale[j])',
      '  with bias:  y <- fround(y + bias[j])',
      '',
      'for r < count, c < columns:',
      '  y <- activation(finish(r, c)), one rounding to FP32',
      '  gated:         y <- fround(y * finish(r, T * A + c))',
      '  with residual: y <- fround(y + residual[r, c])',
      '  out[r, c] <- store(format, y)',
    ),
    points(
      'Gated, the first half of the tiles are gates.',
      '`params` holds the column scales, then the biases, those present: FP32, nTiles * A of each in the order of the accumulators\' columns, each padded to a line.',
      'The residual has the format and pitch of the output. `rowScale` is an FP32 row list.',
      'Accumulators are where `mm` puts them. A sum of zeros is +0.',
    ),
  ),
  aq: text(
    'Loads `count` rows of `heads` heads of `headDim` elements. Row r is row from * lineBytes / 4 + first + r of the step (`from` absent: 0); the work-list entry whose rows include it says its sequence, how many keys that has and where its pages are.',
    steps('for each row and head:', '  m, l <- -Infinity, 0', '  O    <- valueDim zeros (absent: headDim)'),
    'Scores are multiplied by factor = fround(scale * log2 e). With `sloped`, `slopes` is an FP32 list of a number for each head, s[h], for `attn`.',
  ),
  attn: text(
    'Where keys and values are:',
    steps(
      'key j of a sequence   row j mod pageRows of the K plane of page x,',
      '                      x being element firstPage + floor(j / pageRows) of the i32 list at line pages',
      'page x                starts x * planes * pageRows * kvLines lines after kv',
      'planes                2: K, then V; with latent 1: K alone',
      'row of a plane        kvLines lines: headDim elements (of V: valueDim) of each KV head, packed',
      'value of key j        the same row of the V plane; with latent the first valueDim elements of the key',
    ),
    'What is done with them, x . y being fround of the exact sum of products for e4m3, and for bf16 and e5m2 a chain s <- fround(s + x * y) from +0, ascending:',
    steps(
      'for each row loaded, and head h of it, with KV head floor(h / (heads / kvHeads)):',
      '  for each block of 128 keys, ascending from key 0, with a key that is not masked:',
      '    for each key j of the block that is not masked, ascending:',
      '      z[j] <- fround((q . k[j]) * factor)',
      '      with softCap: b    <- fround((q . k[j]) * scale)',
      '                    z[j] <- fround(fround(softCap * tanh(fround(b / softCap))) * fround(log2 e))',
      '      with sloped:  z[j] <- fround(z[j] + fround(fround(s[h] * fround(log2 e)) * (j - i)))',
      '    M     <- max(m, max z)',
      '    alpha <- 2^fround(m - M), 0 if m is -Infinity',
      '    p[j]  <- bf16(2^fround(z[j] - M)), 0 if that is below 2^-18',
      '    l     <- fround(fround(l * alpha) + fround(sum p)), that sum exact',
      '    O     <- fround(fround(O * alpha) + p . v)',
      '    m     <- M',
    ),
    'A key is masked if the mask is causal and it is beyond the row\'s place in its sequence, or if window > 0 and it is `window` or more before it. tanh is the activation. i is the row\'s place in its sequence.',
    'With `splitBlocks` the keys of a sequence are in parts of 128 * splitBlocks, part 0 from key 0. Parts firstPart (absent: 0) to firstPart + parts - 1 (absent: the last) are attended to, ascending, and no other key is read. Each is computed as above from m = -Infinity, l = 0, O = 0; then (m, l, O) of the row and head <- (m, l, O) + those of the part, where',
    steps(
      '(m, l, O) + (m2, l2, O2):',
      '  (m2, l2, O2)   if l = 0',
      '  (m, l, O)      if l2 = 0',
      '  (M, fround(fround(l * a) + fround(l2 * b)), fround(fround(O * a) + fround(O2 * b)))   else',
      '    M = max(m, m2)',
      '    a = 2^fround(m - M), 0 if m is -Infinity',
      '    b = 2^fround(m2 - M), 0 if m2 is -Infinity',
    ),
  ),
  afin: text(
    steps(
      'for each row r < count that aq loaded, and head h of it:',
      '  with merge:   (m, l, O) <- partial 0 + partial 1 + ... + partial merge - 1 + (m, l, O),',
      '                from the left, as attn adds parts',
      '  with partial: out[r] <- (m, l, O) as a partial, and nothing else is stored',
      '  with sink, s being element h of sinks, unless s = -Infinity:',
      '    z     <- fround(s * fround(log2 e))',
      '    M     <- max(m, z)',
      '    alpha <- 2^fround(m - M), 0 if m is -Infinity',
      '    l     <- fround(fround(l * alpha) + 2^fround(z - M))',
      '    O     <- fround(O * alpha)',
      '  out[r, h] <- store(format, 0 if l = 0, else fround(O / l))',
    ),
    'Partial i of row r starts r * partialPitch + i * n lines after `partials`: FP32, packed, m of each head, l of each head, then valueDim elements of O of each head; n is the lines that takes. Parts of one splitBlocks, each stored as a partial, merged in their order and in whatever steps, from the first on, give the bits of one `attn` of them all.',
  ),
  vmap: text(
    steps('for r < count, c < columns:', '  t <- x[r, c]', '  for f of function, second, third:', '    t <- f(t, y), rounded to FP32', '  out[r, c] <- store(format, t)'),
    points(
      'of t and y: add t + y, subtract t - y, subtract_from y - t, multiply t * y, divide t / y, divide_into y / t; minimum, maximum: NaN if either is, -0 being below +0.',
      'of t: copy t, negate -t, absolute |t|, square t * t, exp e^t, sqrt, rsqrt fround(1 / fround(sqrt t)), reciprocal 1 / t, or an activation.',
      'y of a matrix is y[r, c]; of a vector y[0, c]; of a list element first + r of the FP32 row list at line `y`; of a number the first element at `y`.',
      '`second` and `third` absent are copy, `yIs` absent is matrix.',
    ),
  ),
  vmap3: text(
    'As `vmap`, but that the first micro-operation of two operands takes y, and those of two operands after it take z.',
    'Rows of x, of out, and of a y or z that is a matrix follow one another: row r starts r * (lines of `columns` elements) after the operand.',
  ),
  vred: text(
    steps('for r < count:', '  element first + r of the FP32 row list at line out <- the reduction of x[r, c], c < columns, in lanes'),
    points(
      'sum: lanes add, from +0.',
      'max, min: from -Infinity, Infinity; +0 is above -0; NaN if an element is.',
      'amax: the largest |x|, from +0; NaN if an element is.',
      'meanSquare: fround(lanes(fround(x * x)) / columns).',
    ),
  ),
  vnorm: text(
    steps(
      'for r < count, and each of the groups x of n = columns / groups neighbours in row r:',
      '  d <- x                                      rms',
      '       fround(x - fround(lanes(x) / n))       layer',
      '  s <- fround(1 / fround(sqrt(fround(fround(lanes(fround(d * d)) / n) + eps))))',
      '  y <- fround(fround(d * s) * gamma)          rms',
      '       fround(fround(fround(d * s) * gamma) + beta)   layer',
      '  out <- store(format, y)',
    ),
    '`params`: a line that starts with eps, then gamma, then (layer) beta, FP32, of all columns, each padded to a line. `groups` absent is 1.',
  ),
  vrope: text(
    steps(
      'for r < count, each head of it, i < rotary / 2, with cosine c and sine s of row r of the table:',
      '  (a, b) = (x[i], x[i + rotary / 2]), or interleaved (x[2i], x[2i + 1])',
      '  a\' <- fround(fround(a * c) - fround(b * s))',
      '  b\' <- fround(fround(b * c) + fround(a * s))',
    ),
    'Elements from `rotary` on are copied. All are stored in `format`. A row of `table` is rotary / 2 FP32 cosines, then the sines, padded to a line together; row r is of row r of the window.',
  ),
  vqnt: text(
    steps(
      'for r < count, L being the largest number of the format (448 or 57344):',
      '  scale <- fround(max |x| / L), or 1 if that is 0',
      '  with pow2: scale <- the next power of two, not below it, 2^-127 at least',
      '  given: scale <- element first + r of rowScale, and nothing of the above',
      '  out[r, c] <- store(format, fround(x[r, c] / scale))',
      '  element first + r of rowScale <- scale',
    ),
    points(
      'A scale is 0 of zeros, and of rows whose scale is below FP32: their elements round to 0.',
      'An infinite or NaN element makes the scale so.',
      '`rowScale` is an FP32 row list; given, it is only read. One scale for a tensor is a list filled with it. `mode` absent is row.',
    ),
  ),
  vqblk: text(
    'As `vqnt`, for each block of a row from column 0 on, the last of which may be short.',
    points(
      'block: 128 elements and an FP32 scale, as of a row.',
      'mx: 32 elements and a UE8M0 code. scale <- 2^(floor(log2 max |x|) - E), E being 8 for e4m3 and 15 for e5m2: at least 2^-127, 1 if all are 0, NaN (0xFF) if one is not finite; out <- store(format, x / scale), the division exact.',
      'Row r of `scales` starts r * scalePitch lines after it and has the scales of row r\'s blocks ascending, 4 bytes each or 1, packed.',
    ),
  ),
  sample: text(
    'Element first + r of the i32 row list at line `out` <- the token of row r. greedy: the lowest id of the largest logit, NaN counting as -Infinity. draw, by row r of `params`:',
    steps(
      'candidates: ids by logit descending, equal ones ascending, the first topK of them (0: all)',
      'f    <- fround(log2 e / temperature)',
      'w_i  <- 2^fround(fround(x_i - largest) * f)          of candidate i',
      'c_i  <- fround(c_(i-1) + w_i)                        from +0',
      'n    <- the first with c_n >= fround(topP * c_last)',
      'u    <- the high 24 bits of word 0 of Philox4x32-10, over 2^24',
      'token: the first candidate with c_i > fround(u * c_n)',
    ),
    'Philox has the counter (position, 0, 0, 0) and the seed for its key. Temperature 0, topK 1, and a largest logit that is infinite: as greedy. A negative or infinite temperature, or topP outside (0, 1], is a fault. A row of `params` is temperature f32, topK u32, topP f32, seed u64, position u32, then zeros, padded to a line.',
  ),
  route: text(
    steps(
      'for r < count:',
      '  w[e] <- 2^fround(fround(x[r, e] - max x[r]) * fround(log2 e))      softmax',
      '  s[e] <- fround(w[e] / lanes(w))                                   softmax',
      '          sigmoid(x[r, e])                                          sigmoid',
      '  e_0, ..., e_(k-1) <- the experts of largest s, descending; with bias of fround(s[e] + biases[e])',
      '  g_i <- s[e_i]',
      '  with normalise: t   <- +0, then fround(t + s[e_i]) for i ascending; 1 if that is 0',
      '                  g_i <- fround(s[e_i] / t)',
      '  element r * k + i of weights <- g_i',
      'indices <- the count * k pairs r * k + i by e_i ascending, those of one expert ascending',
      'element e of offsets <- how many pairs have experts below e, for e <= experts',
    ),
    'Among equals the lower number comes first, NaN last. Lists begin on their lines and are those of the window alone.',
  ),
  perm: text(
    steps(
      'P = count * k pairs, index[j] = element j of indices',
      'permute, j < P:    out[j] <- x[floor(index[j] / k)]',
      'unpermute, j < P:  out[index[j]] <- x[j]',
      'combine, r < count:',
      '  y <- +0',
      '  for i < k, ascending, j being where index[j] = r * k + i:',
      '    y <- fround(y + fround(weights[r * k + i] * x[j, c]))',
      '  out[r, c] <- store(format, y)',
    ),
    '`indices` and `weights` are the lists of a `route` of the same window and k. Elements are rounded to `format` once. Indices that are not each of 0 to P - 1 once are a fault.',
  ),
  bin: text(
    steps(
      'n <- 0',
      'for e < experts:',
      '  for indices[offsets[e]] to indices[offsets[e + 1] - 1], size at a time, perhaps fewer last:',
      '    owners[n] <- e',
      '    for the i-th pair p of them, i from 0:',
      '      sources[n * size + i] <- floor(p / k)',
      '      targets[n * size + i] <- p',
      '    n <- n + 1',
      'places of bins from n on, and places no pair has, have source and target -1; bins from n on the owner -1',
    ),
    '`indices` and `offsets` are the lists of a `route` of the same window, k and experts; with no row they are not read. There are',
    steps(
      'open = min(experts, max * k)',
      'bins = min(open + floor((max * k - open) / size), experts * ceil(max / size))',
    ),
    'bins, which always suffice, and all of their lists is written. Offsets that do not ascend from 0 to the pairs there are, and pairs there are not, are a fault.',
  ),
  mix: steps(
    'for r < count, c < columns:',
    '  y <- +0',
    '  for i < k, ascending:',
    '    y <- fround(y + fround(weights[r * k + i] * x[r * k + i, c]))',
    '  out[r, c] <- store(format, y)',
  ),
  coll: text(
    'The chips of a group meet here, in the same order of `tag`s, and with the same fields but for addresses and pitches: `group` = n cuts the chips of the program into groups of n in rank order, 0 to n - 1 first. Without groups, and in a shift, all chips meet. Of every chip the first `bytes` bytes of row r of `src`, for r < count, are brought; in a shift, of its first `max` rows, whatever the count. Where chips share rows, each has ceil(count / n) of them, n being the chips that meet: row i of chip q is row q * ceil(count / n) + i of all.',
    points(
      'allgather: they are laid side by side in rank order from the start of row r of `out` of every chip of the group.',
      'allreduce: row r of every chip\'s `out` <- their sum: element by element s is that of chip 0 of the group, then s <- fround(s + x) for x of chip 1, 2, ..., then store(format, s).',
      'reducescatter: of n equal parts of the bytes of that sum chip q of the group gets part q.',
      'broadcast: row r of every chip\'s `out` <- that of chip `root`.',
      'send: the same, of chip `peer`\'s `out` alone; the other chips only meet.',
      'exchange: row i of `out` of each chip, of its share, <- what all chips bring of that row of all, side by side in rank order; zeros where the row is not one of the count.',
      'collect: the share of every chip is brought, and row r of every chip\'s `out`, for r < count, <- row r of all.',
      'collectlist: the same of row lists, element by element: `bytes` is 4, and a window takes its elements of `src` from ceil(max / n) * I[level] on.',
      'shift: row r of `out` of chip q >= n <- that of chip q - n, for r < the count of chip q: each group brings its rows to the next, nothing goes to the first. Without `group`, n is 1.',
    ),
    '`format` absent is f32, `root` and `peer` absent are chip 0, of the group.',
  ),
};
