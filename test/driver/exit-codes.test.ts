import { exec } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { example, folder, type Ran, root, sohuc, spawned, stackTrace } from './command.ts';

const llama = example('llama/hf');

describe('how a command is called wrongly: exit code 2, one line that says how', () => {
  it.each<[string, readonly string[], RegExp]>([
    ['no model', [], /missing required argument 'model'/],
    ['an unknown flag', [llama, '--fast'], /unknown option '--fast'/],
    ['a flag of another command', ['verify', 'x.sohu', '--tp', '2'], /unknown option '--tp'/],
    ['a fraction for a count', [llama, '--batch', '1.5'], /`--batch` takes a whole number, not `1\.5`/],
    ['a text for a count', [llama, '--isl', 'many'], /`--isl` takes a whole number, not `many`/],
    ['a negative count', [llama, '--osl', '-3'], /--osl/],
    ['no value for a flag', [llama, '--machine'], /argument missing/],
    ['an unknown choice', [llama, '--precision', 'int4'], /Allowed choices are fp8, bf16/],
    ['an unknown phase', [llama, '--stop-after', 'lunch'], /Allowed choices are import,/],
    ['an unknown machine', [llama, '--machine', 'sohu-9'], /there is no machine `sohu-9`; known: sohu, sohu-8/],
    ['a machine file that is not there', [llama, '--machine', 'none.json'], /`none\.json` cannot be read: ENOENT/],
    ['a mapping that is none', [llama, '--mapping', 'tp2'], /as in `tp2xpp4`/],
    ['a mapping said twice', [llama, '--mapping', 'tp1xpp1', '--pp', '1'], /give one or the others/],
    ['pages longer than an instruction says', [llama, '--page-rows', '1025'], /a page has 1 to 1024 rows/],
    ['stages that are not so many', [llama, '--stages', '1,1'], /2 stages, and `--pp` says 1/],
    ['more chips than there are', [llama, '--tp', '2'], /`--tp 2`: `sohu` has 1 chip/],
    ['a model that is not there', ['none.onnx'], /there is no `none\.onnx`/],
    ['a program that is not there', ['disasm', 'none.sohu'], /`none\.sohu` cannot be read: ENOENT/],
    ['a text that is not there', ['opt', 'none.sir'], /`none\.sir` cannot be read: ENOENT/],
    ['a file that is no model', [example('custom-layer/relu-squared.ts')], /is not a model: give an \.onnx file/],
    ['ids that are none', ['run', llama, '--prompt', '1,a'], /`--prompt` takes token ids, and `a` is none/],
    ['ids beyond the vocabulary', ['run', llama, '--prompt', '1,99999'], /token id 99999 is beyond the model's vocabulary/],
    ['an input without a value', [example('llama/decoder.dynamo.onnx'), '--fix', 'input_ids'], /`--fix input_ids` is not the name of an input, `=` and numbers/],
    ['an input of a folder', [llama, '--fix', 'input_ids=1'], /`--fix` is for ONNX models/],
    ['an unknown pass', ['opt', 'x.sir', '--passes', 'magic'], /there is no pass `magic` here; there are remove-dead,/],
    ['one argument too many', ['machines', 'x'], /too many arguments/],
  ])('%s', async (_, args, message) => {
    const { code, stdout, stderr } = await sohuc(...args);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(stackTrace);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });

  it('a machine file that is none', async () => {
    const at = folder();
    const file = join(at, 'machine.json');
    writeFileSync(file, '{"name": "x"');
    expect(await sohuc(llama, '--machine', file)).toMatchObject({ code: 2, stderr: expect.stringContaining('is not JSON') as string });
    writeFileSync(file, '{"name": "x"}');
    expect(await sohuc(llama, '--machine', file)).toMatchObject({ code: 2, stderr: expect.stringContaining('does not describe a machine: `chips` must be an integer') as string });
  });

  it('a place that cannot be written to', async () => {
    const at = folder();
    const file = join(at, 'file');
    writeFileSync(file, '');
    for (const flag of ['--out', '--dump-ir']) {
      const { code, stderr } = await sohuc(llama, flag, join(file, 'below'));
      expect(stderr).toMatch(/cannot write to `.*below` \(ENOTDIR\)/);
      expect(code).toBe(2);
    }
    // A folder stands where the program should: nothing else is left behind.
    mkdirSync(join(at, 'out/model.sohu'), { recursive: true });
    const { code, stderr } = await sohuc(llama, '--out', join(at, 'out'));
    expect(stderr).toMatch(/cannot write to/);
    expect(code).toBe(2);
    expect(readdirSync(join(at, 'out'))).toEqual(['model.sohu']);
  });
});

describe('the built command', () => {
  it.each<[number, readonly string[]]>([
    [0, ['--help']],
    [0, [llama, '--stop-after', 'raise', '--quiet']],
    [1, [example('refused/mamba.json')]],
    [2, ['none.onnx']],
  ])('ends with exit code %i for %j', async (code, words) => {
    const [there, here] = [await spawned(...words), await sohuc(...words)];
    expect(there).toEqual(here);
    expect(there.code).toBe(code);
  });

  it('does not mind a reader who has read enough', async () => {
    const { code, stdout, stderr } = await new Promise<Ran>((done) => {
      const command = `'${process.execPath}' '${join(root, 'dist/sohuc.js')}' '${example('bert/encoder.dynamo.onnx')}' --stop-after emit | head -1`;
      exec(command, (error, out, err) => done({ code: error === null ? 0 : 1, stdout: out, stderr: err }));
    });
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: '.sasm 1\n', stderr: '' });
  });
});

describe('exit code 70', () => {
  it('for an exception: ours, with where it happened', async () => {
    vi.spyOn(JSON, 'stringify').mockImplementation(() => {
      throw new Error('of our own');
    });
    const ran = await sohuc('machines', '--json').finally(() => vi.restoreAllMocks());
    expect(ran).toMatchObject({ code: 70, stdout: '', stderr: expect.stringMatching(/^this is a bug in sohuc, not in your model: Error: of our own\n {4}at /) as string });
  });
});

describe('exit code 0', () => {
  it('for help and version', async () => {
    expect(await sohuc('--help')).toMatchObject({ code: 0, stderr: '', stdout: expect.stringMatching(/compile.*run.*asm.*disasm.*verify.*time.*opt.*machines/s) as string });
    expect(await sohuc('compile', '--help')).toMatchObject({ code: 0, stdout: expect.stringMatching(/--machine <NAME>.*--stop-after <PHASE>/s) as string });
    expect(await sohuc('--version')).toMatchObject({ code: 0 });
  });

  it('for the machines', async () => {
    const { code, stdout } = await sohuc('machines');
    expect(code).toBe(0);
    expect(stdout).toMatch(/sohu-8 .*10\.1 PFLOP\/s.*192 MiB/);
    const parsed = JSON.parse((await sohuc('machines', '--json')).stdout) as readonly { readonly name: string }[];
    expect(parsed.map(({ name }) => name)).toContain('sohu-8');
  });
});

describe('what the model has no rows for', () => {
  it.each<[string, readonly string[], number, RegExp]>([
    ['contexts beyond its positions', [example('gpt2/hf'), '--isl', '60', '--osl', '8', '--stop-after', 'time'], 2, /`--isl 60` with `--osl 8`: contexts of 67 tokens, and the model has 64 positions/],
    ['inputs beyond its positions', [example('bert/hf'), '--isl', '65', '--stop-after', 'time'], 2, /`--isl 65`: contexts of 65 tokens, and the model has 64 positions/],
    ['steps beyond any machine', [llama, '--batch', '1000000000', '--stop-after', 'time'], 2, /`--batch 1000000000` makes steps of \d+ rows/],
    ['a prompt beyond its positions', ['run', example('gpt2/hf'), '--prompt', Array.from({ length: 65 }, (_, i) => i).join(',')], 1, /error\[E6002\]: position 64 where the model has 64/],
    ['tokens generated beyond its positions', ['run', example('gpt2/decoder-past.dynamo.onnx'), '--prompt', Array.from({ length: 63 }, (_, i) => i).join(','), '--generate', '2', '--compare'], 1, /error\[E6002\]: position 64 where the model has 64/],
  ])('%s', async (_, words, code, message) => {
    const ran = await sohuc(...words, '--quiet');
    expect(ran.stderr).toMatch(message);
    expect(ran.stderr).not.toMatch(stackTrace);
    expect(ran).toMatchObject({ code, stdout: '' });
  });

  it('the last position is served', async () => {
    expect(await sohuc('run', example('gpt2/hf'), '--prompt', Array.from({ length: 62 }, (_, i) => i).join(','), '--generate', '2', '--quiet')).toMatchObject({ code: 0 });
    expect(await sohuc(example('gpt2/hf'), '--isl', '60', '--osl', '5', '--stop-after', 'time', '--quiet')).toMatchObject({ code: 0 });
  });
});
