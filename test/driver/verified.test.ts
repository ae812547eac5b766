import { afterAll, expect, it, vi } from 'vitest';
import { Diagnostics } from '../../diagnostics/diagnostic.ts';
import { targetOf } from '../../driver/commands/compile.ts';
import { defaults } from '../../driver/options.ts';
import { findSource, importSource } from '../../driver/session.ts';
import type { Finding } from '../../verifier/chip.ts';
import { example } from './command.ts';

const finding: Finding = { rule: 'V05', place: { entry: 'step', chips: [0] }, message: 'deadlock', notes: ['of the test'] };
const verifier = '../../verifier/verify.ts';
let now: Finding | undefined;

/** A compiler of its own, whatever was loaded before: its verifier finds what is to be found now. */
async function compilerFinding(): Promise<typeof import('../../driver/compile.ts').compile> {
  vi.resetModules();
  vi.doMock(verifier, async (original) => ({ ...(await original<object>()), firstFinding: () => now }));
  return (await import('../../driver/compile.ts')).compile;
}

afterAll(() => {
  vi.doUnmock(verifier);
  vi.resetModules();
});

/** The names of the stages of a compile. */
async function stages(): Promise<readonly string[]> {
  const compile = await compilerFinding();
  const diagnostics = new Diagnostics();
  const imported = await importSource(findSource(example('llama/hf')), [], defaults, diagnostics);
  const names: string[] = [];
  compile(imported!, targetOf(defaults), diagnostics, { until: 'time', ended: (_, name) => void names.push(name) });
  return names;
}

it('every compile ends with the verifier, and what it finds is a bug of the compiler', async () => {
  expect((await stages()).slice(-2)).toEqual(['emit', 'verify']);
  now = finding;
  await expect(stages()).rejects.toThrow('internal: the program breaks V05: deadlock; of the test');
});
