import { describe, expect, it } from 'vitest';
import { Diagnostics } from '../../../diagnostics/diagnostic.ts';
import { interpret } from '../../../ir/graph/interpret.ts';
import { KvState } from '../../../ir/graph/interpret/kv-state.ts';
import { parseGraph } from '../../../ir/graph/parse.ts';
import { printGraph } from '../../../ir/graph/print.ts';
import { verifyGraph } from '../../../ir/graph/verify.ts';
import { randomStore } from '../../../ir/random-store.ts';
import { WeightValues } from '../../../ir/weight-values.ts';
import { tinyLlama } from './llama.ts';
import { stepOf } from './modules.ts';

/** What reading a text reports, as `line:column message`. */
function problems(text: string): readonly string[] {
  const diagnostics = new Diagnostics();
  parseGraph(text, 'a.sir', diagnostics, []);
  return diagnostics.all.map(({ code, message, origin }) => `${code} ${origin.kind === 'text' ? `${origin.line}:${origin.column}` : ''} ${message}`);
}

describe('text form', () => {
  it('shows a small llama', async () => {
    const { module } = tinyLlama('bf16');
    const diagnostics = new Diagnostics();
    verifyGraph(module, diagnostics);
    expect(diagnostics.all).toEqual([]);
    const text = printGraph(module);
    await expect(text).toMatchFileSnapshot('llama.sir');
    expect(parseGraph(text, 'llama.sir', diagnostics, [])).toEqual(module);
    expect(diagnostics.all).toEqual([]);
  });

  it('tells where a text does not parse', () => {
    const head = 'module "m" family "f"\n';
    expect(problems(`${head}body () {\n  %0: f32[2] = frobnicate()\n  return %0\n}`)[0]).toMatch(/^E5001 3:16 `frobnicate` is none of weight, /);
    expect(problems(`${head}body () {\n  %0: f32[2] = norm() {norm rms, groups 1}\n  return\n}`)).toEqual(['E5001 3:16 `norm` needs `epsilon`']);
    expect(problems(`${head}body () {\n  %0: f32[2] = add() {norm rms}\n  return\n}`)).toEqual(['E5001 3:23 `add` has no attribute `norm`']);
    expect(problems(`${head}body () {\n  %0: f32[2*] = add()\n  return\n}`)).toEqual(['E5001 3:7 `2 *` is not a dimension']);
    expect(problems(`${head}body () {\n  %0: f32[2] = ? \n`)).toEqual(['E5001 3:16 `?` is not part of the language']);
    expect(problems(`${head}body () {\n  %1: f32[2] = embed()\n  return %1\n}`)).toEqual(['E5001 1:1 nothing says what %0 is']);
    expect(problems(`${head}custom "x"\nbody () {\n  return\n}`)).toEqual(['E5001 2:1 custom layer `x` is not defined']);
    expect(problems(`${head}body (`)[0]).toMatch(/^E5001 2:6 the end of the text does not fit here/);
    expect(problems('')[0]).toMatch(/^E5001 1:1 the end of the text/);
  });
});

describe('a small llama', () => {
  it('gives the same rows in one step or token by token', () => {
    const { module, shapes } = tinyLlama('bf16');
    const weights = new WeightValues(randomStore(shapes, 1), 1);
    for (const arithmetic of ['real', 'normative'] as const) {
      const ids = [3, 1, 4, 1, 5];
      const whole = interpret(module, { ...stepOf([{ id: 0, rows: 5, past: 0 }], ids), samples: [0, 1, 2, 3, 4] }, { weights, arithmetic, state: new KvState() }).get('logits')!;
      expect(whole.shape).toEqual([5, 32]);
      const state = new KvState();
      ids.forEach((id, past) => {
        const row = interpret(module, stepOf([{ id: 0, rows: 1, past }], [id]), { weights, arithmetic, state }).get('logits')!.data;
        const expected = whole.data.subarray(past * 32, (past + 1) * 32);
        if (arithmetic === 'normative') expect(row).toEqual(expected);
        else row.forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 12));
      });
    }
  });
});
