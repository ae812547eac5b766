import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { example, folder, root, sohuc } from '../driver/command.ts';
import { llama70 } from '../driver/llama70.ts';

const [quickstart = '', claim = ''] = [...readFileSync(join(root, 'README.md'), 'utf8').matchAll(/```text\n([\s\S]*?)```/g)].map(([, block]) => block as string);
const linesOf = (block: string): readonly string[] => block.trimEnd().split('\n');

it('prints what the quick start does, but for what only ONNX Runtime knows', async () => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { readonly scripts: { readonly quickstart: string } };
  const [model = '', ...words] = scripts.quickstart.split(' run ').at(-1)!.split(' ');
  const { stdout } = await sohuc('run', example(model.replace('examples/', '')), ...words.filter((word) => word !== '--compare'));
  const printed = linesOf(quickstart);
  expect(linesOf(stdout)).toEqual(printed.slice(0, printed.indexOf('compared')));
});

it('prints the report of Llama-3-70B, but for how long stages took and what was written', async () => {
  const path = folder();
  writeFileSync(join(path, 'config.json'), JSON.stringify(llama70));
  const { stdout } = await sohuc(path, '--machine', 'sohu-8', '--isl', '2048', '--osl', '128', '--out', path);
  const lines = linesOf(stdout);
  expect(lines.slice(lines.findIndex((line) => line.startsWith('model ')), lines.findIndex((line) => line.startsWith('written ')))).toEqual(linesOf(claim));
});
