import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { example, folder, sohuc, stackTrace } from './command.ts';

const model = example('custom-layer/decoder.onnx');
const plugin = example('custom-layer/relu-squared.ts');

/** The example's layer with parts of it replaced, written as a plug-in of a user's. */
function changed(parts: Readonly<Record<string, string>>): string {
  const path = join(folder(), 'layer.ts');
  const replaced = Object.entries(parts).map(([part, code]) => `  ${part}: ${code},`).join('\n');
  writeFileSync(path, readFileSync(plugin, 'utf8').replace('export const reluSquared = defineLayer({', 'const original = {').replace(/\}\);\n$/, `};\nexport const layer = defineLayer({\n  ...original,\n${replaced}\n});\n`));
  return path;
}

describe('a custom layer, one file of a user\'s', () => {
  it('is at most 60 lines, and imports what users import', () => {
    const text = readFileSync(plugin, 'utf8');
    expect(text.trimEnd().split('\n').length).toBeLessThanOrEqual(60);
    expect([...text.matchAll(/from '(.*)'/g)].map((match) => match[1])).toEqual(['sohuc']);
  });

  it('goes through the whole path and agrees', async () => {
    const { code, stdout, stderr } = await sohuc('run', model, '--plugin', plugin, '--compare', '--json');
    expect(code).toBe(0);
    // ONNX Runtime does not know the operator; that is said, and the layer's reference stands in.
    expect(stderr).toMatch(/^note: ONNX Runtime takes no part in the comparison: .*ReluSquared/);
    const { comparison } = JSON.parse(stdout) as { comparison: { results: { equalBits: number; values: number; programToTruth: { cosine: number } }[] } };
    for (const { equalBits, values, programToTruth } of comparison.results) {
      expect(equalBits).toBe(values);
      expect(programToTruth.cosine).toBeGreaterThan(0.99);
    }
    const exact = await sohuc('run', model, '--plugin', plugin, '--compare', '--precision', 'bf16', '--json');
    for (const { programToTruth } of (JSON.parse(exact.stdout) as { comparison: typeof comparison }).comparison.results) expect(programToTruth.cosine).toBeGreaterThan(0.9999);
  });

  it('works wherever it lies, and is custom until it is lowered', async () => {
    const elsewhere = changed({});
    const [raised, rolled] = await Promise.all(['raise', 'roll'].map((phase) => sohuc(model, '--plugin', elsewhere, '--stop-after', phase)));
    expect(raised?.stdout).toContain('custom "relu-squared"');
    expect(raised?.stdout).toContain('= custom(');
    expect(rolled?.stdout).not.toContain('= custom(');
  });

  it('is asked for by the model, by name', async () => {
    expect(await sohuc(model)).toMatchObject({ code: 1, stderr: expect.stringMatching(/error\[E1005\].*`example::ReluSquared` nodes/) as string });
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
    const { code, stdout, stderr } = await sohuc(model, '--plugin', path);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(stackTrace);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });
});

describe('a layer whose functions fail: E3003 names it', () => {
  const throws = '() => { throw new Error("of my own") }';
  it.each<[string, Readonly<Record<string, string>>, string]>([
    ['match throws', { match: throws }, '`match` threw: of my own'],
    ['match returns a text', { match: '() => "yes"' }, '`match` has to return attributes, or undefined'],
    ['infer throws', { infer: throws }, '`infer` threw: of my own'],
    ['infer returns nothing', { infer: '() => undefined' }, '`infer` has to return a type'],
    ['infer knows tensors alone', { infer: '([x]) => { if (x.shape.length !== 3) throw new Error("three axes"); return x; }' }, '`infer` threw: three axes'],
    ['infer gives rows another type', { infer: '([x]) => (x.shape.length === 3 ? x : { dtype: x.dtype, shape: ["tokens", 7] })' }, '`infer` yields f32[tokens, 7] of (f32[tokens, 48]), where rows make f32[tokens, 48]'],
    ['reference throws', { reference: throws }, '`reference` threw: of my own'],
    ['reference is too short', { reference: '() => new Float64Array(1)' }, '`reference` gives 1 values where `lower` gives 144'],
    ['lower throws', { lower: throws }, '`lower` threw: of my own'],
    ['lower returns nothing', { lower: '() => undefined' }, '`lower` has to return a value of the builder'],
    ['lower returns a stranger', { lower: '() => 99999' }, '`lower` returns no value of the builder'],
    ['lower returns another type', { lower: '(build, [x]) => build.op("columns", { start: 0, count: 8 }, [x])' }, 'where the layer yields a f32[tokens, 48]'],
    ['lower makes an op that does not exist', { lower: '(build, [x]) => build.op("square", {}, [x])' }, '`lower` threw: '],
    ['lower makes an activation that does not exist', { lower: '(build, [x]) => build.op("activate", { activation: "wild" }, [x])' }, '`lower` makes ops that cannot be run'],
    ['lower computes something else', { lower: '(build, [x]) => build.op("activate", { activation: "relu" }, [x])' }, '`lower` is not what `reference` computes: '],
  ])('%s', async (_, parts, message) => {
    const { code, stdout, stderr } = await sohuc(model, '--plugin', changed(parts), '--out', folder(), '--quiet');
    expect(stderr).toMatch(/^error\[E3003\]: .*custom layer `relu-squared`: /);
    expect(stderr).toContain(message);
    expect(stderr).not.toMatch(stackTrace);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  });

  it('as JSON too', async () => {
    const { code, stdout, stderr } = await sohuc('run', model, '--plugin', changed({ lower: throws }), '--json');
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({ diagnostics: [{ code: 'E3003' }] });
  });
});
