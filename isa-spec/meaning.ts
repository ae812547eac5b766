import type { Mnemonic } from './instructions.ts';

/**
 * What each instruction does, to the bit, for the manual. `first` is the first row of the window, `count` its rows at run time.
 * fround is one rounding to FP32, ties to even; store(format, y) one rounding to the format (E4M3 saturates).
 */
export const meaning: { readonly [M in Mnemonic]: string } = {
  nop: 'Nothing. Its waits are taken and its posts made, as of every instruction.',
  sync: 'Takes each of its further waits and makes each of its further posts, beyond the two of each that every word has. A wait or post with semaphore 0 is none.',
  loop: 'Runs the next `body` instructions `count` times. I[level] is 0 in the first pass, counts up by one a pass, and is 0 again afterwards. Loops nest; a loop inside another has another level. Its own waits and posts happen once, before the first pass.',
  sreg: 'R[reg] <- the named count of the step-control block. R0 always holds 2^32 - 1, which shortens nothing.',
  salu: 'R[reg] <- f(R[a], b), b being R[b], or `value` where `b` is 0, all whole numbers from 0. copy: b. add: a + b. subtract: a - b, or 0 if that is less. multiply: a * b. ceildiv: the least number that times b is at least a. minimum, maximum. shift_left: a * 2^b. shift_right: the whole part of a / 2^b. A result that is not from `least` to `most`, or that there is none (ceildiv by 0), is a fault; nothing wraps.',
  call: 'Goes on at the instruction numbered `target` of the queue, until a `ret` brings it back to the instruction after the call. Until then the frame in force is the one of the caller plus `frame`: stride set n of an operand, n > 0, is the queue\'s set frame + n. Loop counters, registers and predicates are the caller\'s, and what is done to them stays. At most 4 calls are in force. Its own waits and posts happen before the subprogram begins.',
  ret: 'Ends the call in force: goes on after it, with the frame of before. Where no call is in force, the queue\'s step has ended, as it has at the end of the code. Its own waits and posts come first.',
  setp: 'P[target] <- whether R[reg] is equal to (eq), not equal to (ne), below (lt), at most (le), above (gt) or at least (ge) `value`. P1 to P7 of every queue are false when a step begins.',
  trace: 'timestamp: the trace of the queue gets `tag` and the cycle; nothing a program can see changes. assert: a fault that names `tag` unless least <= R[reg] <= most, all unsigned.',
  hostw: 'Copies the first min(bytes, length) bytes of a table of this step\'s control block to SRAM from line `dst` on. Nothing beyond them is written.',
  event: 'Tells the host `tag`. The entry has ended when its last event was told.',
  dld: 'For i < count: lines [0, lines) of SRAM row i <- those of HBM row i. Row i of the source starts `i * srcPitch` lines after `src`, of the target `i * dstPitch` lines after `dst`. Leaving the base register\'s region is a fault.',
  dst: 'For i < count: lines [0, lines) of HBM row i <- those of SRAM row i, pitches as for `dld`.',
  dcp: 'For i < count, ascending: lines [0, lines) of row i of the target <- those of row i of the source, as they were when row i began; row i starts i pitches after the operand. With `fill`: every 4 bytes of lines [0, lines) of row i of the target <- `value`, little-endian.',
  dgat: 'For i < count: SRAM row i <- HBM row x, where x is element `first + i` of the i32 row list at line `index`. Row x starts `x * srcPitch` lines after `src`.',
  dsct: 'For i < count: HBM row x <- SRAM row i, where x is element `first + i` of the i32 row list at line `index`. Row x starts `x * dstPitch` lines after `dst`.',
  wld:
    'Pushes one entry to the weight FIFO: kTiles x nTiles tiles, k-tiles outermost, from consecutive lines at `src`. A tile is A rows (k) of A elements (n), each row padded to a line; beyond the edges of the weight it is zero. `split` says for how many groups of arrays (2^split) the entry is replicated. ' +
    'With `scaling`, the scales of its blocks go with it: from consecutive lines at `scales`, for each block of k ascending a row, padded to a line. block, 128 of k: FP32, element floor(c / 128) is of column c < nTiles * A. mx, 32 of k: UE8M0, element c is of column c.',
  mm:
    'Takes the next FIFO entry, which must have the format `weightFormat` (absent: `format`) and the same scaling, kTiles, nTiles and split. For each row r < count and column c < nTiles * A: sum over k ascending from 0 of a[r, k] * w[k, c], k < (kTiles - 1) * A + kLast. ' +
    'e4m3 by e4m3: the sum is exact. Any other mixture of e4m3, e5m2 and bf16: s <- fround(s + a * w), in this order. With `scaling`, for each block of k ascending (128 for block, 32 for mx, from k = 0 of this product, the last may be short), t being the exact sum of the block\'s products: block s <- fround(s + fround(fround(t) * fround(sa * sw))), mx s <- fround(s + fround(t * sa * sw)), ' +
    'where sw is the scale of the weights (`wld`) and sa, of row r, the block\'s element of the row that starts r * scalePitch lines after `scales`, packed, FP32 or UE8M0. A product that another continues is whole blocks. `accumulate` no: the accumulator is overwritten (starts at +0). yes: it continues. first: overwritten while I[3] is 0, continued otherwise. ' +
    'Row r and column c are in array g * nTiles + floor(c / A), row `acc + (r mod R)`, where R = ceil(max / 2^split), g = floor(r / R). Rows from count on keep their accumulators.',
  epi:
    'For each row r < count and column c of the output: y <- fround(accumulator); with `scale`: y <- fround(y * rowScale[first + r]), y <- fround(y * columnScale[c]); with `bias`: y <- fround(y + bias[c]); ' +
    'y <- activation(y), one rounding to FP32; if gated: of nTiles tiles the first half are gates and the others up, y <- fround(activation(gate) * up), both scaled and biased before; with `residual`: y <- fround(y + residual[r, c]), the residual having the format and pitch of the output; ' +
    'out[r, c] <- store(format, y). Columns: (tiles - 1) * A + nLast, where tiles is nTiles, or nTiles / 2 if gated. `params` holds column scales, then biases, those present, FP32, nTiles * A of each, each padded to a line, in accumulator column order.',
  aq:
    'Loads `count` rows of `heads` heads of `headDim` elements and clears m = -Infinity, l = 0, O = 0 of each row and head; O has `valueDim` elements a head, absent: `headDim`. Row r is row `first + r` of the step; the work-list entry whose rows include it says its sequence, how many keys that has and where its pages are. Scores are multiplied by fround(scale * log2 e).',
  attn:
    'For each loaded row and query head h, against KV head floor(h / (heads / kvHeads)): keys in ascending order in blocks of 128 from 0. z = fround(fround(q . k) * scale\'); the product is exact for e4m3, a chain of fround(s + q * k) for e5m2 and bf16. With `softCap`, which absent bounds nothing: z = fround(fround(softCap * tanh(fround(fround(fround(q . k) * scale) / softCap))) * fround(log2 e)), tanh being the activation. A key is masked if it is causal and the key is beyond the row\'s place in its sequence, ' +
    'or if window > 0 and the key is `window` or more before it. A block without unmasked keys is skipped. m\' = max(m, max z); alpha = 2^fround(m - m\') (0 if m is -Infinity); p = bf16(2^fround(z - m\')), 0 below 2^-18; ' +
    'l <- fround(fround(l * alpha) + fround(sum p)), that sum exact; O <- fround(fround(O * alpha) + p . v), exact then fround for e4m3, a chain for e5m2 and bf16, keys ascending; m <- m\'. ' +
    'Key j of a sequence is row j mod pageRows of the page that element firstPage + floor(j / pageRows) of the list at line `pages` names; page x starts 2 * pageRows * kvLines * x lines after `kv`: a K plane, then a V plane. ' +
    'A row of a plane has headDim elements for each KV head, or valueDim of values, packed. With `latent` page x starts pageRows * kvLines * x lines after `kv` and is a K plane alone; the value of a key is its first valueDim elements. ' +
    'With `splitBlocks` the keys of a sequence are in parts of 128 * splitBlocks, part 0 from key 0. Parts firstPart (absent: 0) to firstPart + parts - 1 (absent: the last) are attended to, ascending, and no other key is read. Each is computed as above from m = -Infinity, l = 0, O = 0; then (m, l, O) of the row and head <- (m, l, O) + those of the part. ' +
    'A sum (m, l, O) + (m2, l2, O2) is (m2, l2, O2) if l is 0, (m, l, O) if l2 is 0, else (M, fround(fround(l * a) + fround(l2 * b)), fround(fround(O * a) + fround(O2 * b))) with M = max(m, m2), a = 2^fround(m - M) (0 if m is -Infinity), b = 2^fround(m2 - M) (0 if m2 is -Infinity).',
  afin:
    'With `merge` first (m, l, O) of each row and head <- partial 0 + partial 1 + ... + partial merge - 1 + (m, l, O), from the left, as `attn` adds parts. Partial i of row r starts r * partialPitch + i * n lines after `partials`: FP32, packed, m of each head, l of each head, then valueDim elements of O of each head; n is the lines that takes. ' +
    'With `partial` out[r] <- such a partial of row r, and nothing else is stored. Parts of one splitBlocks, each stored as a partial, merged in their order and in whatever steps, from the first on, give the bits of one `attn` of them all. ' +
    'Else out[r] <- store(format, l == 0 ? 0 : fround(O / l)) for each row and head that `aq` loaded and r < count. With `sink` before that, s being element h of the FP32 numbers at `sinks` for head h, unless it is -Infinity: z = fround(s * fround(log2 e)), m\' = max(m, z), alpha = 2^fround(m - m\') (0 if m is -Infinity), ' +
    'l <- fround(fround(l * alpha) + 2^fround(z - m\')), O <- fround(O * alpha).',
  vmap:
    'For c < columns: t <- x[r, c]; then t <- f(t, y) for f of `function`, `second`, `third`, each rounded to FP32; out[r, c] <- store(format, t). copy t; add t + y; multiply t * y; subtract t - y; subtract_from y - t; divide t / y; divide_into y / t; ' +
    'minimum, maximum: NaN if either is, -0 being below +0; negate -t; absolute |t|; square t * t; exp e^t; sqrt; rsqrt fround(1 / fround(sqrt t)); reciprocal 1 / t; or an activation of t. ' +
    'What y is for row r and column c: of a matrix y[r, c]; of a vector y[0, c]; of a list element `first + r` of the FP32 row list at line `y`; of a number the first element at `y`. `second` and `third` absent are copy, `yIs` absent is matrix.',
  vmap3:
    'As `vmap`, but that the first micro-operation of two operands takes y, and those of two operands after it take z. Rows of x, of out, and of a y or z that is a matrix follow one another: row r starts r * (lines of `columns` elements) after the operand.',
  vred:
    'Element `first + r` of the FP32 row list at line `out` <- the reduction of row r over c < columns: lane j of 16 takes elements j, j + 16, ... in this order, then lane j takes lane j + 8, + 4, + 2, + 1. sum: FP32 additions from +0. max, min: from -Infinity, Infinity; +0 is above -0. amax: the largest |x|, from +0. NaN if an element is. ' +
    'meanSquare: fround(sum of fround(x * x) / columns).',
  vnorm:
    'Per row, n = columns. Lane j of 16 adds elements j, j + 16, ... in FP32 from +0; then lane j adds lane j + 8, + 4, + 2, + 1: lanes(x). rms: r = fround(1 / fround(sqrt(fround(fround(lanes(fround(x * x)) / n) + eps)))); y = fround(fround(x * r) * gamma). ' +
    'layer: d = fround(x - fround(lanes(x) / n)); r as above of d; y = fround(fround(fround(d * r) * gamma) + beta). out <- store(format, y). `params`: a line that starts with eps, then gamma, then (layer) beta, FP32, each padded to a line.',
  vrope:
    'Per row and head, for i < rotary / 2 with cosine c and sine s of the row\'s table: (a, b) <- (fround(fround(a * c) - fround(b * s)), fround(fround(b * c) + fround(a * s))), where (a, b) is (x[i], x[i + rotary / 2]), or (x[2i], x[2i + 1]) if interleaved. Elements from `rotary` on are copied. Stored in `format`. ' +
    'A row of `table` is rotary / 2 FP32 cosines, then the sines, padded to a line together; row r is of row r of the window.',
  vqnt:
    'Per row, L being the largest number of `format` (448 or 57344): scale = fround(max |x| / L), 1 if that is 0 (of zeros, and of rows whose scale is below FP32: their elements round to 0); with `pow2` brought up to the next power of two, 2^-127 at least. out <- store(format, fround(x / scale)); ' +
    'element `first + r` of the FP32 row list at line `rowScale` <- scale. given: scale is that element, which is read instead. An infinite or NaN element makes the scale so; `mode` absent is row.',
  vqblk:
    'As `vqnt`, for each block of a row from column 0 on, the last of which may be short. block: 128 elements and an FP32 scale. mx: 32 elements and a UE8M0 code; scale = 2^(floor(log2 max |x|) - E), E being 8 for e4m3 and 15 for e5m2, at least 2^-127, 1 if all are 0, NaN (0xFF) if one is not finite; out <- store(format, x / scale), the division exact. ' +
    'Row r of `scales` starts r * scalePitch lines after it and has the scales of row r\'s blocks ascending, 4 bytes each or 1, packed.',
  sample:
    'Element `first + r` of the i32 row list at line `out` <- the token of row r. greedy: the lowest id of the largest logit, NaN counting as -Infinity. draw, by row r of `params`: candidates by logit descending, equal ones by id ascending, the first topK of them (0: all); f = fround(log2 e / temperature); w = 2^fround(fround(x - largest) * f); ' +
    'c_i = fround(c_(i-1) + w_i) from +0; kept are those up to the first c_n >= fround(topP * last c); the token is the first with c_i > fround(u * c_n), where u is the high 24 bits of word 0 of Philox4x32-10 over 2^24, counter (position, 0, 0, 0), key the seed. Temperature 0, topK 1, and a largest logit that is infinite: as greedy. A negative or infinite temperature, or topP outside (0, 1], is a fault.',
  route:
    'Per row, s[e] is the score of expert e. softmax: w = 2^fround(fround(x - max x) * fround(log2 e)), s = fround(w / lanes(w)), lanes as in `vred`, sum. sigmoid: the activation. Chosen are the k experts of largest s (with `bias`: of fround(s + biases[e])), the lower number first among equals, NaN last, in this order: i = 0 to k - 1. The weight of a choice is s without bias; with `normalise` ' +
    'fround(s / t), t = fround(t + s) over i ascending from +0, or 1 if that is 0. Choice i of row r is pair r * k + i: element r * k + i of `weights` <- its weight. `indices` <- the count * k pairs by expert ascending, those of one expert ascending. Element e of `offsets` <- how many pairs have experts below e, for e <= experts. Lists begin on their lines and are those of the window alone.',
  perm:
    'P = count * k pairs; index is element j of `indices`. permute: for j < P: row j of the target <- row floor(index / k) of x. unpermute: row index of the target <- row j of x. combine: out[r, c] <- store(format, y), y <- fround(y + fround(weights[r * k + i] * x[j, c])) for i ascending from 0, y from +0, where index[j] is r * k + i. ' +
    'Elements are rounded to `format` once. Indices that are not each of 0 to P - 1 once are a fault.',
  coll:
    'All chips of the program meet here, in the same order of `tag`s, and with the same fields but for addresses and pitches. Of every chip the first `bytes` bytes of row r of `src`, for r < count, are brought. allgather: they are laid side by side in rank order from the start of row r of every chip\'s `out`. allreduce: row r of every chip\'s `out` <- their sum: ' +
    'element by element s is that of chip 0, then s <- fround(s + x) for x of chip 1, 2, ..., then store(format, s); `format` absent is f32. reducescatter: of n equal parts of the bytes of that sum chip q gets part q. broadcast: row r of every chip\'s `out` <- that of chip `root` (absent: 0). send: of chip `peer`\'s `out` alone; the other chips only meet.',
};
