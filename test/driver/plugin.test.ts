import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Diagnostics } from '../../diagnostics/diagnostic.ts';
import { targetOf } from '../../driver/commands/compile.ts';
import { compile } from '../../driver/compile.ts';
import { nodeFiles } from '../../driver/node-files.ts';
import { defaults } from '../../driver/options.ts';
import { reluSquared } from '../../examples/custom-layer/relu-squared.ts';
import { importOnnx } from '../../frontend/onnx/import.ts';
import { type CustomLayer, defineLayer } from '../../ir/graph/custom.ts';
import { example, folder, spawned, stackTrace } from './command.ts';

const model = example('custom-layer/decoder.onnx');
const plugin = example('custom-layer/relu-squared.ts');

/** Compiles the model with the example's layer, parts of it replaced by others. Gives what is reported. */
function reported(parts: Readonly<Record<string, unknown>>): readonly string[] {
  const diagnostics = new Diagnostics();
  const layer = defineLayer({ ...reluSquared, ...parts } as CustomLayer);
  const imported = importOnnx(nodeFiles(example('custom-layer'), false), 'decoder.onnx', [layer], diagnostics);
  if (imported !== undefined) compile({ ...imported, primitive: true }, targetOf(defaults), diagnostics);
  return diagnostics.all.map(({ code, message }) => `${code} ${message}`);
}

describe('a custom layer, one file of a user\'s', () => {
  it('is at most 60 lines, and imports what users import', () => {
    const text = readFileSync(plugin, 'utf8');
    expect(text.trimEnd().split('\n').length).toBeLessThanOrEqual(60);
    expect([...text.matchAll(/from '(.*)'/g)].map((match) => match[1])).toEqual(['sohuc']);
  });

  it('goes through the whole path and agrees', async () => {
    const { code, stdout, stderr } = await spawned('run', model, '--plugin', plugin, '--compare', '--json');
    expect(code).toBe(0);
    // ONNX Runtime does not know the operator; that is said, and the layer's reference stands in.
    expect(stderr).toMatch(/^note: ONNX Runtime takes no part in the comparison: .*ReluSquared/);
    const { comparison } = JSON.parse(stdout) as { comparison: { results: { equalBits: number; values: number; programToTruth: { cosine: number } }[] } };
    for (const { equalBits, values, programToTruth } of comparison.results) {
      expect(equalBits).toBe(values);
      expect(programToTruth.cosine).toBeGreaterThan(0.99);
    }
  });

  it('works wherever it lies, and is custom until it is lowered', async () => {
    const elsewhere = join(folder(), 'layer.ts');
    copyFileSync(plugin, elsewhere);
    const [raised, rolled] = await Promise.all(['raise', 'roll'].map((phase) => spawned(model, '--plugin', elsewhere, '--stop-after', phase)));
    expect(raised?.stdout).toContain('custom "relu-squared"');
    expect(raised?.stdout).toContain('= custom(');
    expect(rolled?.stdout).not.toContain('= custom(');
  });

  it('is asked for by the model, by name', async () => {
    expect(await spawned(model)).toMatchObject({ code: 1, stderr: expect.stringMatching(/error\[E1005\].*`example::ReluSquared` nodes/) as string });
  });
});

describe('a plug-in that cannot be used: exit code 2', () => {
  it.each<[string, string, RegExp]>([
    ['is not there', '', /cannot be loaded: Cannot find module/],
    ['does not parse', 'export const = 1;', /cannot be loaded: .*Expected/s],
    ['is more than types', 'export enum A { B }', /cannot be loaded: .*enum is not supported/s],
    ['throws', 'throw new Error("boom");', /cannot be loaded: boom/],
    ['imports what is not there', 'import "left-pad-9000";', /cannot be loaded: .*left-pad-9000/],
    ['exports nothing', 'const x = 1;', /exports no layer: export what `defineLayer` returns/],
    ['exports half a layer', 'export const half = { name: "half", match: () => ({}) };', /`half` of plug-in .* is not a layer: it needs a text `docs`, a function `infer`, a function `reference`, a function `lower`/],
    ['exports two of one name', 'import { defineLayer } from "sohuc"; const f = () => { throw 1; };\nexport const a = defineLayer({ name: "x", docs: "", match: f, infer: f, reference: f, lower: f }), b = a;', /two custom layers are called `x`/],
  ])('it %s', async (what, text, message) => {
    const path = join(folder(), 'plugin.ts');
    if (what !== 'is not there') writeFileSync(path, text);
    const { code, stdout, stderr } = await spawned(model, '--plugin', path);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(stackTrace);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });
});

describe('a layer whose functions fail: E3003 names it', () => {
  const throws = (): never => {
    throw new Error('of my own');
  };
  type Made = { readonly dtype: 'f32'; readonly shape: readonly unknown[] };
  const lowered = (kind: string, attrs: object) => (build: { op: (...args: unknown[]) => unknown }, [x]: readonly unknown[]) => build.op(kind, attrs, [x]);

  it.each<[string, Readonly<Record<string, unknown>>, string]>([
    ['match throws', { match: throws }, '`match` threw: of my own'],
    ['match returns a text', { match: () => 'yes' }, '`match` has to return attributes, or undefined'],
    ['infer throws', { infer: throws }, '`infer` threw: of my own'],
    ['infer returns nothing', { infer: () => undefined }, '`infer` has to return a type'],
    ['infer knows tensors alone', { infer: ([x]: readonly Made[]) => (x?.shape.length === 3 ? x : throws()) }, '`infer` threw: of my own'],
    ['infer gives rows another type', { infer: ([x]: readonly Made[]) => (x?.shape.length === 3 ? x : { dtype: 'f32', shape: ['tokens', 7] }) }, '`infer` yields f32[tokens, 7] of (f32[tokens, 48]), where rows make f32[tokens, 48]'],
    ['reference throws', { reference: throws }, '`reference` threw: of my own'],
    ['reference is too short', { reference: () => new Float64Array(1) }, '`reference` gives 1 values where `lower` gives 144'],
    ['lower throws', { lower: throws }, '`lower` threw: of my own'],
    ['lower returns nothing', { lower: () => undefined }, '`lower` has to return a value of the builder'],
    ['lower returns a stranger', { lower: () => 99_999 }, '`lower` returns no value of the builder'],
    ['lower returns another type', { lower: lowered('columns', { start: 0, count: 8 }) }, 'where the layer yields a f32[tokens, 48]'],
    ['lower makes an op that does not exist', { lower: lowered('square', {}) }, '`lower` threw: '],
    ['lower makes an activation that does not exist', { lower: lowered('activate', { activation: 'wild' }) }, '`lower` makes ops that cannot be run'],
    ['lower computes something else', { lower: lowered('activate', { activation: 'relu' }) }, '`lower` is not what `reference` computes: '],
  ])('%s', (_, parts, message) => {
    const [told, ...others] = reported(parts);
    expect(told).toMatch(/^E3003 .*custom layer `relu-squared`: /);
    expect(told).toContain(message);
    expect(others).toEqual([]);
  });

  it('nothing is reported of the layer as it is', () => expect(reported({})).toEqual([]));

  it('on the command line, as JSON too', async () => {
    const path = join(folder(), 'layer.ts');
    writeFileSync(path, readFileSync(plugin, 'utf8').replace('const positive', 'throw new Error("of my own"); const positive'));
    expect(await spawned(model, '--plugin', path)).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(/^error\[E3003\]: custom layer `relu-squared`: `lower` threw: of my own\n1 error/) as string });
    const { code, stdout, stderr } = await spawned('run', model, '--plugin', path, '--json');
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({ diagnostics: [{ code: 'E3003' }] });
  });
});
