import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Diagnostics } from '../../diagnostics/diagnostic.ts';
import { differences } from '../../driver/difference.ts';
import { parseGraph } from '../../ir/graph/parse.ts';
import { printGraph } from '../../ir/graph/print.ts';
import { example, folder, sohuc, stackTrace } from './command.ts';

/** The stages of a model, dumped: their files by the names of the passes. */
async function dumped(): Promise<(pass: string) => string> {
  const at = folder();
  await sohuc(example('llama/decoder.dynamo.onnx'), '--dump-ir', at, '--stop-after', 'formats', '--quiet');
  return (pass) => join(at, readdirSync(at).find((file) => file.slice(3) === `${pass}.sir`) ?? pass);
}

describe('sohuc opt', () => {
  it('makes of a text what the pipeline makes of it', async () => {
    const stage = await dumped();
    const { code, stdout, stderr } = await sohuc('opt', stage('roll'), '--passes', 'lower-custom,fuse-gated,fuse-activation,fuse-residual,shard,fuse-shared-input,formats');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toBe(readFileSync(stage('formats'), 'utf8'));
  });

  it('prints after each pass, or after one', async () => {
    const stage = await dumped();
    const all = await sohuc('opt', stage('roll'), '--passes', 'fuse-gated, fuse-residual', '--print-after', 'all');
    const parts = all.stdout.split(/^\/\/ after .*\n/m).slice(1);
    expect([...all.stdout.matchAll(/^\/\/ after (.*)$/gm)].map((match) => match[1])).toEqual(['fuse-gated', 'fuse-residual']);
    expect(await sohuc('opt', stage('roll'), '--passes', 'fuse-gated,fuse-residual', '--print-after', 'fuse-gated')).toMatchObject({ code: 0, stdout: parts[0] as string });
    for (const text of parts) {
      const module = parseGraph(text, 'x', new Diagnostics(), []);
      expect(module === undefined ? '' : printGraph(module)).toBe(text);
    }
    expect(JSON.parse((await sohuc('opt', stage('roll'), '--passes', 'fuse-gated,fuse-residual', '--print-after', 'all', '--json')).stdout)).toEqual([{ after: 'fuse-gated', text: parts[0] }, { after: 'fuse-residual', text: parts[1] }]);
  });

  it('reads a text as it is without passes, and says what is wrong with one', async () => {
    const at = folder();
    const check = async (text: string, code: number, message: RegExp): Promise<void> => {
      writeFileSync(join(at, 'x.sir'), text);
      const ran = await sohuc('opt', join(at, 'x.sir'));
      expect(ran.code === 0 ? ran.stdout : ran.stderr).toMatch(message);
      expect(ran.stderr).not.toMatch(stackTrace);
      expect(ran.code).toBe(code);
    };
    await check('module "m" family "f"\nbody () {\n  return\n}\n', 0, /^module "m" family "f"\n/);
    await check('module "m" family "f"\nbody () {\n  return', 1, /^error\[E5001\]: .*\n {2}at .*x\.sir:\d+:\d+/);
    await check('module "m" family "f"\ncustom "x"\nbody () {\n  return\n}\n', 1, /E5001.*custom layer `x` is not defined/);
    await check('module "m" family "f"\ninput "ids": ids\nbody (%0: i32[tokens]) {\n  %1: f32[tokens, 4] = activate(%0) {activation relu}\n  return\n}\n', 1, /E5004/);
  });

  it('does not raise: a text holds no tensors', async () => {
    expect(await sohuc('opt', 'x.sir', '--passes', 'raise')).toMatchObject({ code: 2, stderr: expect.stringContaining('--stop-after raise') as string });
  });
});

describe('sohuc ir diff', () => {
  it('finds modules alike whatever their values are numbered', async () => {
    const stage = await dumped();
    const text = readFileSync(stage('roll'), 'utf8');
    const shifted = join(folder(), 'b.sir');
    writeFileSync(shifted, text.replace(/%(\d+)/g, (_, id: string) => `%${Number(id) + 100}`).replace('\nbody', `\n${Array.from({ length: 100 }, (_, id) => `value %${id}: f32[1]`).join('\n')}\nbody`));
    const { code, stdout } = await sohuc('ir', 'diff', stage('roll'), stage('roll'));
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'the modules are alike\n' });
    // The values that are declared are all that differs.
    const other = await sohuc('ir', 'diff', stage('roll'), shifted);
    expect(other.stdout.split('\n').filter((line) => /^[-+]/.test(line)).every((line) => line.startsWith('+ value %'))).toBe(true);
  });

  it('shows what a pass did', async () => {
    const stage = await dumped();
    const { code, stdout } = await sohuc('ir', 'diff', stage('lower-custom'), stage('fuse-gated'));
    expect(code).toBe(1);
    expect(stdout).toMatch(/^- .* = activate\(.*\{activation silu\}$/m);
    expect(stdout).toMatch(/^\+ .* = linear\(.*\{activation silu, gated\}$/m);
    expect(stdout).not.toContain('attention');
  });

  it('wants two texts', async () => {
    expect(await sohuc('ir', 'diff', 'a.sir')).toMatchObject({ code: 2, stderr: expect.stringContaining('missing required argument') as string });
  });
});

describe('differences', () => {
  const shown = (a: string, b: string): string => differences(a.split('|'), b.split('|')).map(({ sign, text }) => sign + text).join('|');

  it('aligns lines by what they say, and values by who made them', () => {
    expect(shown('%1 = a|%2 = b(%1)', '%7 = a|%9 = b(%7)')).toBe(' %7 = a| %9 = b(%7)');
    expect(shown('%1 = a|%2 = b(%1)', '%1 = a|%2 = c|%3 = b(%1)')).toBe(' %1 = a|+%2 = c| %3 = b(%1)');
    expect(shown('%1 = a|%2 = c|%3 = b(%1)', '%1 = a|%3 = b(%1)')).toBe(' %1 = a|-%2 = c| %3 = b(%1)');
    expect(shown('x', 'y')).toBe('-x|+y');
    expect(shown('', '')).toBe(' ');
  });

  it('tells operands that were exchanged', () => {
    expect(shown('%1 = a|%2 = b|%3 = c(%1, %2)', '%1 = a|%2 = b|%3 = c(%2, %1)')).toBe(' %1 = a| %2 = b|-%3 = c(%1, %2)|+%3 = c(%2, %1)');
  });
});
