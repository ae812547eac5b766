import { expect, it } from 'vitest';
import { verifyTile } from '../../../ir/tile/verify.ts';
import { moduleOf, textOf } from './texts.ts';

const problems = (text: string): readonly string[] => verifyTile(moduleOf(text)).map(({ code, message }) => `${code} ${message}`);
const matmul = textOf('matmul.tir');
const attention = textOf('attention.tir');
/** The same product with scales of blocks: all of k is one. */
const blocks = matmul
  .replace('buffer x.scales sram list f32[1, 3]', 'buffer x.scales sram list f32[1, 3]\nbuffer found sram value f32[3, 1]\nbuffer ones sram value f32[1, 1]')
  .replace('quantise x=x.stage[0 +: 3, 0 +: 5] out=x.codes[0 +: 3, 0 +: 5] rowScale=x.scales[0 +: 1, 0 +: 3]', 'fill value=1 out=ones[0 +: 1, 0 +: 1] rows 1\nfill value=1 out=x.scales[0 +: 1, 0 +: 3] rows 1\nquantiseBlocks x=x.stage[0 +: 3, 0 +: 5] out=x.codes[0 +: 3, 0 +: 5] scales=found[0 +: 3, 0 +: 1]')
  .replaceAll(/(weights .*0 \+: 4\]) rows/g, '$1 scales=ones[0 +: 1, 0 +: 1] rows')
  .replaceAll(' acc=sums[0 +: 3, 0 +: 4] rows', ' scales=found[0 +: 3, 0 +: 1] acc=sums[0 +: 3, 0 +: 4] rows');
const change = (text: string, from: string, to: string): string => {
  if (!text.includes(from)) throw new Error(`no ${from}`);
  return text.replace(from, to);
};

it('has nothing to say of good modules', () => {
  expect(problems(matmul)).toEqual([]);
  expect(problems(attention)).toEqual([]);
  expect(problems(blocks)).toEqual([]);
});

it.each([
  ['rows beyond a buffer in the last iteration', matmul, 'w[2*i3 +: 2, 0 +: 4]', 'w[3*i3 + 2 +: 2, 0 +: 4]', 'load of `linear` has `from` in rows 2 to 7 of `w`, which has 6'],
  ['columns before a buffer', matmul, 'a=x.codes[0 +: 3, 2*i3 +: 2]', 'a=x.codes[0 +: 3, -2*i3 +: 2]', 'multiply of `linear` has `a` in columns -2 to 2 of `x.codes`, which has 5'],
  ['a slot of no ring', matmul, 'y.stage[0 +: 3, 0 +: 3] rows 3 of tokens', 'y.stage{i1 + 1}[0 +: 3, 0 +: 3] rows 3 of tokens', 'drain of `linear` names a slot of `y.stage`, which is no ring'],
  ['an operand in the wrong memory', matmul, 'store from=y.stage', 'store from=y', 'store of `linear` has `from` in hbm (`y`), its unit reaches sram'],
  ['weights of another format', matmul, 'w.ring sram stage e4m3', 'w.ring sram stage bf16', 'multiply of `linear` has an operand of another format than its weights: e4m3 and bf16'],
  ['a product without weights', matmul, 'weights kTiles=1 nTiles=2 split=0 kSplit=0 from=w.ring{2}[0 +: 2, 0 +: 4] rows 2\n', '', 'multiply of `linear` has no weights pushed for it in its block'],
  ['another k than the operand\'s', matmul, 'kLast=1', 'kLast=2', 'multiply of `linear` has operand columns that are not its k: 1 and 2'],
  ['a window of other rows', matmul, 'rowScale=x.scales[0 +: 1, 0 +: 3] out=y.stage[0 +: 3', 'rowScale=x.scales[0 +: 1, 0 +: 3] out=y.stage[0 +: 2', 'drain of `linear` works on 3 rows and has 2 of `y.stage`'],
  ['scales without parameters', matmul, ' params=params.stage[0 +: 1, 0 +: 8]', '', 'drain of `linear` has no parameters for its scale or bias'],
  ['a buffer without slots', matmul, 'e4m3[2, 4] depth 2', 'e4m3[2, 4] depth 0', 'buffer 5 `w.ring` has depth 0'],
  ['unpacked weights', matmul, ' packing rows(weight="x")', '', 'buffer 0 `x` holds weights and does not say how they are packed'],
  ['a short output', matmul, 'bounds tokens 3', 'bounds tokens 9', 'output `y` has 3 rows, the step up to 9 tokens'],
  ['loops the wrong way round', matmul, 'loop i3 "chunks" 2 {', 'loop i3 "chunks" 2 { loop i1 "rows" 2 { }', 'loop `rows` is of level 1, inside `chunks` of level 3'],
  ['blocks of a product without scales', blocks, 'kLast=1 nTiles=2 a=x.codes[0 +: 3, 4 +: 1] scales=found[0 +: 3, 0 +: 1]', 'kLast=1 nTiles=2 a=x.codes[0 +: 3, 4 +: 1]', 'multiply of `linear` has no scales of blocks, unlike its weights'],
  ['weights with scales of other blocks', blocks.replace('ones sram value f32[1, 1]', 'ones sram value f32[1, 2]'), 'from=w.ring{2}[0 +: 2, 0 +: 4] scales=ones[0 +: 1, 0 +: 1]', 'from=w.ring{2}[0 +: 2, 0 +: 4] scales=ones[0 +: 1, 0 +: 2]', 'weights of `linear` has scales that are not those of its blocks of n: 2 and 1'],
  ['scales of blocks that are no numbers', blocks, 'found sram value f32[3, 1]', 'found sram value i32[3, 1]', 'quantiseBlocks of `quantise` has scales that are not f32'],
  ['a fill of what is no f32', blocks, 'ones sram value f32[1, 1]', 'ones sram value i32[1, 1]', 'fill of `quantise` fills i32 with an f32'],
  ['queries never loaded', attention, 'query heads=1 headDim=2 scale=0.5 q=x[0 +: 4, 0 +: 2] worklist=worklist[0 +: 1, 0 +: 32] rows 4 of tokens\n', '', 'attend of `attention` has no queries loaded in its block'],
  ['pages of another height', attention, 'kvHeads=1 pageRows=2', 'kvHeads=1 pageRows=4', 'attend of `attention` has pages of another height than the pool: 4 and 2'],
  ['no label', attention, '@inputs\n', '', 'input of `` has no label'],
])('names %s', (_, text, from, to, message) => {
  expect(problems(change(text, from, to))).toContain(`E5004 ${message}`);
});
