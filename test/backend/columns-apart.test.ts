import { expect, it } from 'vitest';
import { allocate } from '../../backend-sohu/allocate.ts';
import { synchronise } from '../../backend-sohu/synchronise.ts';
import { isLoop, type TileNode } from '../../ir/tile/module.ts';
import { tiny } from '../../isa-spec/machines/tiny.ts';
import { moduleOf } from '../ir/tile/texts.ts';

const lineElements = tiny.sram.lineBytes.value / 4;

/** Rows that are made in two groups of columns and then in a last one, and stored from column `from` on, before the rest. */
const module = (from: string, columns: number) => moduleOf(`tile "columns" side 4 chips 1
bounds tokens 2 sequences 1 samples 1 memory 0 poolPages 1 pageRows 1 pageListEntries 1
buffer x sram value f32[2, ${3 * lineElements}]
buffer made sram value f32[2, ${3 * lineElements}]
buffer kept hbm value f32[2, ${3 * lineElements}]

@fill
fill value=1 out=x[0 +: 2, 0 +: ${3 * lineElements}] rows 2
loop i2 "groups" 2 {
  @made
  map function=relu x=x[0 +: 2, ${lineElements}*i2 +: ${lineElements}] out=made[0 +: 2, ${lineElements}*i2 +: ${lineElements}] rows 2
}
@last
map function=relu x=x[0 +: 2, ${2 * lineElements} +: ${lineElements}] out=made[0 +: 2, ${2 * lineElements} +: ${lineElements}] rows 2
@stored
store from=made[0 +: 2, ${from} +: ${columns}] out=kept[0 +: 2, ${from} +: ${columns}] rows 2
`);

/** What the vector unit posts after: by label. */
function posted(from: string, columns: number): readonly string[] {
  const made = module(from, columns);
  const { after } = synchronise(made, allocate(made, tiny), tiny.sram.lineBytes.value);
  const label = (node: TileNode): string => (isLoop(node) ? node.name : node.label);
  return made.body.filter((node) => (after.posts.get(node)?.get('vec') ?? []).length > 0).map(label);
}

it('is waited for by what reads columns it has made, and by nothing else', () => {
  expect({
    first: posted('0', 2 * lineElements), last: posted(String(2 * lineElements), lineElements), all: posted('0', 3 * lineElements), 'a line of both': posted(String(2 * lineElements - 1), 2),
  }).toEqual({ first: ['groups'], last: ['last'], all: ['last'], 'a line of both': ['last'] });
});
