import { expect, it, vi } from 'vitest';
import { Diagnostics } from '../../diagnostics/diagnostic.ts';
import { targetOf } from '../../driver/commands/compile.ts';
import { compile } from '../../driver/compile.ts';
import { defaults } from '../../driver/options.ts';
import { findSource, importSource } from '../../driver/session.ts';
import type { Finding } from '../../verifier/chip.ts';
import { example } from './command.ts';

const finding: Finding = { rule: 'V05', place: { entry: 'step', chips: [0] }, message: 'deadlock', notes: ['of the test'] };
const found = vi.hoisted((): { now: unknown } => ({ now: undefined }));
vi.mock('../../verifier/verify.ts', async (original) => ({ ...(await original<object>()), firstFinding: () => found.now }));

/** The names of the stages of a compile. */
async function stages(): Promise<readonly string[]> {
  const diagnostics = new Diagnostics();
  const imported = await importSource(findSource(example('llama/hf')), [], defaults, diagnostics);
  const names: string[] = [];
  compile(imported!, targetOf(defaults), diagnostics, { until: 'time', ended: (_, name) => void names.push(name) });
  return names;
}

it('every compile ends with the verifier, and what it finds is a bug of the compiler', async () => {
  expect((await stages()).slice(-2)).toEqual(['emit', 'verify']);
  found.now = finding;
  await expect(stages()).rejects.toThrow('internal: the program breaks V05: deadlock; of the test');
});
