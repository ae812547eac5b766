import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Diagnostics } from '../../diagnostics/diagnostic.ts';
import { phases } from '../../driver/options.ts';
import { parseGraph } from '../../ir/graph/parse.ts';
import { printGraph } from '../../ir/graph/print.ts';
import { verifyGraph } from '../../ir/graph/verify.ts';
import { parseTile } from '../../ir/tile/parse.ts';
import { printTile } from '../../ir/tile/print.ts';
import { verifyTile } from '../../ir/tile/verify.ts';
import { assemble } from '../../isa-spec/assembly.ts';
import { disassemble } from '../../isa-spec/disassembly.ts';
import { checkReport } from '../../report/report.ts';
import { faultClasses } from '../../verifier/mutation/faults.ts';
import { example, folder, sohuc } from './command.ts';

const decoder = example('llama/decoder-past.dynamo.onnx');

/** A text of some stage comes back from its parser as it was, and keeps the rules. */
function comesBack(text: string, ending: string): void {
  const problems = new Diagnostics();
  if (ending === 'sasm') expect(disassemble(assemble(text))).toBe(text);
  else if (ending === 'tir') {
    const tile = parseTile(text, 'x.tir', problems);
    expect(tile === undefined ? problems.all : printTile(tile)).toBe(text);
    expect(tile === undefined ? [] : verifyTile(tile)).toEqual([]);
  } else {
    const graph = parseGraph(text, 'x.sir', problems, []);
    expect(graph === undefined ? problems.all : printGraph(graph)).toBe(text);
    if (graph !== undefined) verifyGraph(graph, problems);
    expect(problems.all).toEqual([]);
  }
}

const endingOf = (phase: string): string => (phase === 'tile' ? 'tir' : phase === 'emit' ? 'sasm' : 'sir');

describe('--stop-after', () => {
  const textual = phases.filter((phase) => phase !== 'time');

  it.each(textual)('%s: a text that parses back, of an ONNX file', async (phase) => {
    const at = folder();
    const { code, stdout } = await sohuc(decoder, '--stop-after', phase, '--out', at);
    expect(code).toBe(0);
    comesBack(stdout, endingOf(phase));
    expect(readdirSync(at)).toEqual([]);
  });

  it('a phase that model folders do not have stops before the next', async () => {
    const [imported, canonical] = await Promise.all([sohuc(example('bert/hf'), '--stop-after', 'import'), sohuc(example('bert/hf'), '--stop-after', 'canonicalise')]);
    expect(canonical).toEqual(imported);
    comesBack(canonical.stdout, 'sir');
  });

  it('time: the report, and no files', async () => {
    const at = folder();
    const { code, stdout } = await sohuc(decoder, '--stop-after', 'time', '--out', at, '--json');
    expect({ code, problems: checkReport(JSON.parse(stdout)) }).toEqual({ code: 0, problems: [] });
    expect(readdirSync(at)).toEqual([]);
  });
});

it('--dump-ir: every stage numbered, each a text that parses back', async () => {
  const at = folder();
  const { code, stdout } = await sohuc(decoder, '--dump-ir', join(at, 'ir'), '--stop-after', 'emit');
  expect(code).toBe(0);
  const files = readdirSync(join(at, 'ir'));
  expect(files[0]).toBe('00-import.sir');
  expect(files.map((file) => Number(file.slice(0, 2)))).toEqual(files.map((_, i) => i));
  expect(files.map((file) => file.slice(3))).toEqual(expect.arrayContaining(['raise.sir', 'roll.sir', 'fuse-gated.sir', 'shard.sir', 'formats.sir', 'tile.tir', 'emit.sasm']));
  for (const file of files) comesBack(readFileSync(join(at, 'ir', file), 'utf8'), file.split('.').at(-1) as string);
  expect(readFileSync(join(at, 'ir', files.at(-1) as string), 'utf8')).toBe(stdout);
});

describe('--json: nothing but JSON on stdout', () => {
  it('a compile: the report, which is the file beside the program', async () => {
    const at = folder();
    const { code, stdout, stderr } = await sohuc(decoder, '--json', '--out', at);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const report: unknown = JSON.parse(stdout);
    expect(checkReport(report)).toEqual([]);
    expect(report).toEqual(JSON.parse(readFileSync(join(at, 'decoder-past.dynamo.report.json'), 'utf8')));
    expect(readdirSync(at).toSorted()).toEqual(['decoder-past.dynamo.report.html', 'decoder-past.dynamo.report.json', 'decoder-past.dynamo.sohu', 'decoder-past.dynamo.sohw']);
  });

  it('a run with its comparison', async () => {
    const { code, stdout } = await sohuc('run', decoder, '--compare', '--generate', '2', '--json');
    expect(code).toBe(0);
    const { sequences, comparison, report } = JSON.parse(stdout) as { sequences: { generated: number[] }[]; comparison: { results: { equalBits: number; values: number; graphToRuntime: unknown }[] }; report: unknown };
    expect(sequences.map(({ generated }) => generated.length)).toEqual([3, 3]);
    expect(comparison.results.length).toBeGreaterThan(0);
    for (const { equalBits, values, graphToRuntime } of comparison.results) {
      expect(equalBits).toBe(values);
      expect(graphToRuntime).toBeDefined();
    }
    expect(checkReport(report)).toEqual([]);
  });

  it('a refusal: every diagnostic, with code and severity', async () => {
    const { code, stdout, stderr } = await sohuc(example('refused/cnn.onnx'), '--json');
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' });
    const { diagnostics } = JSON.parse(stdout) as { diagnostics: { code: string; severity: string; message: string; origin: { kind: string } }[] };
    expect(diagnostics.length).toBeGreaterThan(1);
    for (const one of diagnostics) expect(one).toMatchObject({ code: expect.stringMatching(/^E300[12]$/), severity: 'error' });
  });

  it('a text', async () => {
    const [plain, json] = await Promise.all([sohuc(decoder, '--stop-after', 'raise'), sohuc(decoder, '--stop-after', 'raise', '--json')]);
    expect(JSON.parse(json.stdout)).toEqual({ text: plain.stdout });
  });

  it('verify and time of a program', async () => {
    const at = folder();
    await sohuc(decoder, '--quiet', '--out', at);
    const program = join(at, 'decoder-past.dynamo.sohu');
    const [verified, timed] = await Promise.all([sohuc('verify', program, '--json'), sohuc('time', program, '--json')]);
    expect([verified.code, JSON.parse(verified.stdout)]).toMatchObject([0, { findings: [], verdicts: expect.arrayContaining([expect.objectContaining({ rule: 'V01', outcome: 'proved' })]) }]);
    expect([timed.code, checkReport(JSON.parse(timed.stdout))]).toEqual([0, []]);
    expect(JSON.parse(timed.stdout)).toEqual(JSON.parse(readFileSync(join(at, 'decoder-past.dynamo.report.json'), 'utf8')));
    const { code, stdout } = await sohuc('verify', program, '--mutate', '--mutants', '2', '--json');
    const scored = JSON.parse(stdout) as { score: number; classes: { name: string; mutants: number; score: number }[] };
    expect([code, scored.classes.map(({ name }) => name)]).toEqual([0, faultClasses.map(({ name }) => name)]);
    for (const score of [scored.score, ...scored.classes.map((one) => one.score)]) expect(score).toBeGreaterThan(0.4);
  });
});

describe('--quiet', () => {
  it('says nothing of what went well', async () => {
    const at = folder();
    expect(await sohuc(decoder, '--quiet', '--out', at)).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(readdirSync(at).length).toBe(4);
    expect(await sohuc('run', decoder, '--quiet')).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  it('says why a model is refused', async () => {
    expect(await sohuc(example('refused/lstm.onnx'), '--quiet')).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('error[E3002]') as string });
  });
});

it('without a terminal there are no stage lines and no colours', async () => {
  const at = folder();
  const { stdout, stderr } = await sohuc(decoder, '--out', at);
  expect(stderr).toBe('');
  expect(stdout).not.toContain('\u001B');
  for (const heading of ['stages', 'model', 'mapping', 'memory', 'speed', 'engines', 'written']) expect(stdout).toMatch(new RegExp(`^${heading} `, 'm'));
});

it('weights stay away with --no-weights', async () => {
  const at = folder();
  expect((await sohuc(decoder, '--no-weights', '--quiet', '--out', at)).code).toBe(0);
  expect(readdirSync(at).filter((file) => file.endsWith('.sohw'))).toEqual([]);
});

it('a program is the same bytes every time', async () => {
  const [a, b] = [folder(), folder()];
  await Promise.all([sohuc(decoder, '--quiet', '--out', a), sohuc(decoder, '--quiet', '--out', b)]);
  for (const file of readdirSync(a)) expect(readFileSync(join(a, file)).equals(readFileSync(join(b, file)))).toBe(true);
});
