import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Diagnostics } from '../../../diagnostics/diagnostic.ts';
import { importOnnx } from '../../../frontend/onnx/import.ts';
import { anonymous } from '../../../ir/graph/anonymous.ts';
import type { GraphModule, GraphOp } from '../../../ir/graph/module.ts';
import { printGraph } from '../../../ir/graph/print.ts';
import type { ValueId } from '../../../ir/types.ts';
import { compact } from '../../../passes/rewrite.ts';
import { recognised } from '../../passes/raise/as-rows.ts';
import { corpus, folderFiles, hasCorpus } from './corpus.ts';

/** A module whose ops are in the order in which its results ask for them. */
function inOrder(module: GraphModule): GraphModule {
  const makers = new Map(module.body.ops.flatMap((op) => op.results.map((result) => [result, op] as const)));
  const ops = new Set<GraphOp>();
  const visit = (value: ValueId): void => {
    const op = makers.get(value);
    if (op === undefined || ops.has(op)) return;
    op.operands.forEach(visit);
    ops.add(op);
  };
  module.body.yields.forEach(visit);
  return compact({ ...module, body: { ...module.body, ops: [...ops] } });
}

/** What a node test is recognised as, up to names; undefined if it is refused. */
function lifted(name: string): string | undefined {
  const imported = importOnnx(folderFiles(join(corpus, 'onnx-node', name)), 'model.onnx', [], new Diagnostics());
  return imported === undefined ? undefined : printGraph(inOrder(anonymous(recognised(imported.module, imported.store))));
}

describe.skipIf(!hasCorpus)('an op is lifted to what its function body is', () => {
  it('every op with a body that is handled', () => {
    const names = readdirSync(join(corpus, 'onnx-node'));
    const pairs = names.flatMap((name) => {
      const op = /^(.*?)_expanded/.exec(name)?.[1];
      return op !== undefined && names.includes(op) ? [{ op, whole: lifted(op), body: lifted(name) }] : [];
    });
    const both = pairs.filter(({ whole, body }) => whole !== undefined && body !== undefined);
    expect(both.filter(({ whole, body }) => whole !== body).map(({ op }) => op)).toEqual([]);
    expect(both.length).toBeGreaterThan(240);
  });
});
