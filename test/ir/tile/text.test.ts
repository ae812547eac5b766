import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Diagnostics } from '../../../diagnostics/diagnostic.ts';
import { parseTile } from '../../../ir/tile/parse.ts';
import { printTile } from '../../../ir/tile/print.ts';
import { anyTileModule } from './arbitrary.ts';

const parse = (text: string) => {
  const diagnostics = new Diagnostics();
  return { module: parseTile(text, 'a.tir', diagnostics), problems: diagnostics.all.map(({ code, message, origin }) => ({ code, message, origin })) };
};

const head = 'tile "t" side 2 chips 1\nbounds tokens 4 sequences 1 samples 4 memory 0 poolPages 1 pageRows 4 pageListEntries 1\n';

describe('tile text', () => {
  it('parse(print(m)) is m', () => {
    fc.assert(
      fc.property(anyTileModule, (module) => {
        const { module: back, problems } = parse(printTile(module));
        expect(problems).toEqual([]);
        expect(back).toStrictEqual(module);
      }),
      { numRuns: 300 },
    );
  });

  it('print(parse(t)) is t for a text as it prints', () => {
    const text = `${head}buffer y sram stage f32[4, 2]
buffer w.ring#1 sram stage e4m3[1, 4] depth 3
buffer w.ring#2 hbm weights e4m3[6, 4] packing tiles(weight="w" groupTiles=1 gated)
output y = y by tokens

loop i0 "layers" 3 {
  @layer.linear
  load from=w.ring#2[2*i0 + i3 +: 1, 0 +: 4] out=w.ring#1{i3 + 1}[0 +: 1, 0 +: 4] rows 1
  weights kTiles=1 nTiles=1 split=0 kSplit=0 from=w.ring#1{i3 + 1}[0 +: 1, 0 +: 4] rows 1
}
@tail
map function=relu x=y[0 +: 4, 0 +: 2] out=y[0 +: 4, 0 +: 2] rows 4 of tokens

origins @layer.linear = derived "fuse" (onnx "MatMul_1" "MatMul", tensor "w")
`;
    const { module, problems } = parse(text);
    expect(problems).toEqual([]);
    expect(printTile(module!)).toBe(text);
  });

  it.each([
    ['a character of no word', `${head}buffer ! sram`, 'unexpected character', 3, 8],
    ['a missing row count', `${head}buffer y sram stage f32[4, 2]\nfinish out=y[0 +: 4, 0 +: 2]`, 'rows', 4, 29],
    ['an unknown op', `${head}buffer y sram stage f32[4, 2]\nfinnish out=y[0 +: 4, 0 +: 2] rows 4`, '`finnish` is not a known op', 4, 1],
    ['an unknown buffer', `${head}finish out=z[0 +: 4, 0 +: 2] rows 4`, 'there is no buffer `z`', 3, 12],
    ['an operand left out', `${head}finish rows 4`, 'finish has no `out`', 3, 1],
    ['an attribute of another op', `${head}buffer y sram stage f32[4, 2]\nfinish heads=2 out=y[0 +: 4, 0 +: 2] rows 4`, 'finish has no `heads`', 4, 8],
    ['a word that is none of an attribute\'s', `${head}buffer y sram stage f32[4, 2]\nmap function=sine x=y[0 +: 4, 0 +: 2] out=y[0 +: 4, 0 +: 2] rows 4`, '`function` must be one of copy', 4, 5],
    ['two buffers of one name', `${head}buffer y sram stage f32[4, 2]\nbuffer y sram stage f32[4, 2]`, 'give both their numbers', 4, 8],
  ])('says where: %s', (_, text, message, line, column) => {
    const { module, problems } = parse(text);
    expect(module).toBeUndefined();
    expect(problems[0]).toMatchObject({ code: 'E5001', message: expect.stringContaining(message), origin: { kind: 'text', file: 'a.tir', line, column } });
  });
});
