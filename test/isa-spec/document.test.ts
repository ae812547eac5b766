import { readdirSync } from 'node:fs';
import { expect, it } from 'vitest';
import { isaManual } from '../../isa-spec/document.ts';

const files = Object.entries(isaManual());

/** `vitest -u` writes them anew. */
it.each(files)('docs/%s is what the records say', async (name, text) => {
  await expect(text).toMatchFileSnapshot(`../../docs/${name}`);
});

it('no block of steps, formulas or assembly is wider than a page', () => {
  const blocks = [...isaManual()['isa.md']!.matchAll(/```text\n([\s\S]*?)```/g)].flatMap(([, block]) => block!.split('\n'));
  expect(blocks.length).toBeGreaterThan(100);
  expect(blocks.filter((line) => line.length > 108)).toEqual([]);
});

it('docs/isa has no other pictures', () => {
  expect(readdirSync(new URL('../../docs/isa', import.meta.url)).map((name) => `isa/${name}`).toSorted()).toEqual(files.map(([name]) => name).filter((name) => name !== 'isa.md').toSorted());
});
