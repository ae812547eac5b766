import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { example, folder, root, sohuc, spawned, stackTrace } from './command.ts';

/** Every model under examples/ that compiles, and what it takes to. */
const examples = readdirSync(join(root, 'examples'), { recursive: true, encoding: 'utf8' })
  .filter((path) => (path.endsWith('.onnx') || path.endsWith('hf')) && !path.startsWith('refused'))
  .toSorted();

/** Compiles a model into `at` and gives the program's path. */
async function compiled(path: string, at: string, ...more: readonly string[]): Promise<string> {
  // Plug-ins are loaded by the built command alone.
  const run = path.startsWith('custom-layer') ? spawned : sohuc;
  const plugin = path.startsWith('custom-layer') ? ['--plugin', example('custom-layer/relu-squared.ts')] : [];
  const { code, stderr } = await run(example(path), '--quiet', '--no-weights', '--out', at, ...plugin, ...more);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return join(at, readdirSync(at).find((file) => file.endsWith('.sohu')) as string);
}

async function roundTrip(program: string): Promise<void> {
  const text = await sohuc('disasm', program);
  expect({ code: text.code, stderr: text.stderr }).toEqual({ code: 0, stderr: '' });
  const at = folder();
  writeFileSync(join(at, 'again.sasm'), text.stdout);
  expect(await sohuc('asm', join(at, 'again.sasm'))).toMatchObject({ code: 0, stderr: '' });
  expect(readFileSync(join(at, 'again.sohu')).equals(readFileSync(program))).toBe(true);
}

describe('disasm, then asm: the same program, byte for byte', () => {
  it('has examples', () => expect(examples.length).toBeGreaterThan(15));
  it.each(examples)('%s', async (path) => roundTrip(await compiled(path, folder())));
  it.each([['two chips', ['--machine', 'sohu-8', '--tp', '2']], ['a tiny machine', ['--machine', 'tiny', '--isl', '6', '--osl', '2', '--batch', '2']], ['bf16', ['--precision', 'bf16']]] as const)('%s', async (_, more) =>
    roundTrip(await compiled('llama/decoder-past.dynamo.onnx', folder(), ...more)),
  );
});

describe('what is no program', () => {
  it('a truncated or changed one: refused with its place, by every command that reads one', async () => {
    const at = folder();
    const whole = readFileSync(await compiled('bert/hf', at));
    const variants = { empty: Buffer.alloc(0), half: whole.subarray(0, whole.length / 2), short: whole.subarray(0, -1), long: Buffer.concat([whole, Buffer.alloc(64)]), changed: Buffer.from(whole).fill(7, 5000, 5001), text: Buffer.from('not a program') };
    for (const [name, bytes] of Object.entries(variants)) {
      const path = join(at, `${name}.sohu`);
      writeFileSync(path, bytes);
      for (const command of name === 'half' ? ['disasm', 'verify', 'time'] : ['disasm']) {
        const { code, stdout, stderr } = await sohuc(command, path);
        expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
        expect(stderr).toMatch(/^error\[E5002\]: .*\n {2}at .*\.sohu, byte \d+/);
        expect(stderr).not.toMatch(stackTrace);
      }
    }
  });

  it('a text that does not parse: where and why, and no file', async () => {
    const at = folder();
    writeFileSync(join(at, 'x.sasm'), '.meta compiler "sohuc"\nfrobnicate r1\n');
    const { code, stderr } = await sohuc('asm', join(at, 'x.sasm'));
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error\[E5001\]: .*\n {2}at .*x\.sasm:\d+:\d+/);
    expect(stderr).not.toMatch(stackTrace);
    expect(readdirSync(at)).toEqual(['x.sasm']);
  });

  it('a program nobody compiled for a workload is not timed', async () => {
    const at = folder();
    const program = await compiled('bert/hf', at);
    const text = (await sohuc('disasm', program)).stdout;
    for (const [name, changed] of [['none', text.replace(/"workload": \{[^}]*\}/, '"workload": {}')], ['huge', text.replace(/"batch":\d+/, '"batch":1000000000000')]] as const) {
      expect(changed).not.toBe(text);
      writeFileSync(join(at, `${name}.sasm`), changed);
      expect(await sohuc('asm', join(at, `${name}.sasm`))).toMatchObject({ code: 0 });
      const { code, stderr } = await sohuc('time', join(at, `${name}.sohu`));
      expect(stderr).toMatch(/^error\[E5002\]: it does not say what workload it is for/);
      expect(code).toBe(1);
    }
  });
});
