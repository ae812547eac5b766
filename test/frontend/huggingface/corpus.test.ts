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

  it('takes exactly the tensors the published classes have', () => {
    type Golden = { readonly tied: Readonly<Record<string, string>>; readonly checkpoint: readonly { readonly name: string; readonly shape: readonly number[]; readonly count: number }[] };
    let compared = 0;
    for (const { file } of rows) {
      const golden = new URL(`../golden/${file.replace(/json$/, 'shapes.json')}`, corpus);
      const { result } = read(file);
      if (result === undefined || !existsSync(golden)) continue;
      compared++;
      const { tied, checkpoint } = JSON.parse(readFileSync(golden, 'utf8')) as Golden;
      const wanted = checkpoint.filter(({ name }) => !Object.hasOwn(tied, name)).map(({ name, shape, count }) => `${name} [${shape.join()}] x${count}`);
      const counts = new Map<string, number>();
      for (const [name, { shape }] of result.tensors) {
        const folded = `${name.replace(/\.\d+\./g, '.{}.')} [${shape.join()}]`;
        counts.set(folded, (counts.get(folded) ?? 0) + 1);
      }
      const got = [...counts].map(([folded, count]) => `${folded} x${count}`);
      expect(got.toSorted(), file).toEqual(wanted.toSorted());
    }
    expect(compared).toBeGreaterThan(40);
  });

  it('accepts every config of a supported family that is whole', () => {
    const refused = rows.filter(({ model, expected }) => expected === 'accept' && ['llama', 'mixtral', 'qwen2', 'qwen2_moe', 'qwen3', 'qwen3_moe', 'olmoe', 'gemma', 'gemma2', 'gemma3_text', 'olmo2', 'gpt2', 'bert', 'mistral', 'roberta', 'xlm-roberta', 'gpt_neox', 'phi', 'starcoder2', 'stablelm', 'olmo', 'cohere', 'granite', 'bloom', 'helium', 'ernie4_5', 'seed_oss'].includes(model)).filter(({ file }) => read(file).result === undefined);
    expect(refused.map(({ file }) => file)).toEqual([]);
  });
});
