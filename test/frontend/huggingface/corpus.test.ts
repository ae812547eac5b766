import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Diagnostics } from '../../../diagnostics/diagnostic.ts';
import { memoryFiles } from '../../../frontend/files.ts';
import { importFolder } from '../../../frontend/huggingface/import.ts';

const corpus = new URL('../../../../shared/corpus/configs/', import.meta.url);
const here = existsSync(corpus);

type Row = { readonly file: string; readonly expected: string; readonly unique: number | undefined; readonly model: string };
const rows: readonly Row[] = here
  ? readFileSync(new URL('MANIFEST.tsv', corpus), 'utf8').trim().split('\n').slice(1).map((line) => {
      const cells = line.split('\t');
      return { file: cells[0] as string, model: cells[2] as string, expected: cells[4] as string, unique: cells[6] ? Number(cells[6]) : undefined };
    })
  : [];

const read = (file: string) => {
  const diagnostics = new Diagnostics();
  const result = importFolder(memoryFiles(new Map([['config.json', readFileSync(new URL(file, corpus))]])), diagnostics);
  return { result, diagnostics };
};

describe.skipIf(!here)('published configs', () => {
  it('is a corpus', () => expect(rows.length).toBeGreaterThan(300));

  it.each(rows)('$file', ({ file, expected, unique }) => {
    const { result, diagnostics } = read(file);
    if (result === undefined) expect(diagnostics.hasErrors).toBe(true);
    else if (unique !== undefined) expect(result.module.source.parameters).toBe(unique);
    if (expected === 'refuse' || expected.startsWith('refuse-')) {
      expect(result).toBeUndefined();
      const named = diagnostics.all.filter(({ code }) => code === 'E3002' || code === 'E2007');
      expect(named).not.toEqual([]);
      for (const { origin } of named) expect(origin).toMatchObject({ kind: 'config', path: expect.stringMatching(/./) });
    }
  });

  it('accepts every config of a supported family that is whole', () => {
    const refused = rows.filter(({ model, expected }) => expected === 'accept' && ['llama', 'qwen2', 'gpt2', 'bert', 'mistral'].includes(model)).filter(({ file }) => read(file).result === undefined);
    expect(refused.map(({ file }) => file)).toEqual([]);
  });
});
