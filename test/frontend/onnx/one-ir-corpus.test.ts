import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Diagnostics } from '../../../diagnostics/diagnostic.ts';
import { importOnnx } from '../../../frontend/onnx/import.ts';
import { anonymous } from '../../../ir/graph/anonymous.ts';
import { printGraph } from '../../../ir/graph/print.ts';
import { roll } from '../../../passes/roll.ts';
import { asRows } from '../../passes/raise/as-rows.ts';
import { corpus, folderFiles, hasCorpus } from './corpus.ts';

/** The rows of an export, up to names; undefined if it is refused. */
function rowsOf(folder: string): string | undefined {
  const diagnostics = new Diagnostics();
  const imported = importOnnx(folderFiles(folder), 'model.onnx', [], diagnostics);
  const rows = imported === undefined ? undefined : asRows(imported.module, imported.store, diagnostics);
  return rows === undefined || diagnostics.hasErrors ? undefined : printGraph(anonymous(roll(rows)));
}

describe.skipIf(!hasCorpus)('one model is one IR, whoever exported it', () => {
  const folder = join(corpus, 'torch/hf');
  const models = new Map<string, string[]>();
  for (const name of existsSync(folder) ? readdirSync(folder) : []) {
    // Opset 9 has no masks of truths; halves are other weights.
    const [, family, opset, form] = /^(\w+?)-(?:ts|dyn|dynraw)-\w+-op(\d+)-([\w-]+)$/.exec(name) ?? [];
    if (family === undefined || Number(opset) < 11 || /fp16|bf16/.test(name)) continue;
    models.set(`${family} ${form}`, [...(models.get(`${family} ${form}`) ?? []), name]);
  }
  it.each([...models].filter(([, names]) => names.length > 1))('%s', (_, names) => {
    expect(new Set(names.flatMap((name) => rowsOf(join(folder, name)) ?? [])).size).toBeLessThan(2);
  });
});
