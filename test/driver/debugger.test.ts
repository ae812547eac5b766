import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readContainer, writeContainer } from '../../isa-spec/container.ts';
import { outline } from '../subprograms/outline.ts';
import { example, folder, type Ran, root, sohuc, spawned, stackTrace } from './command.ts';

const decoder = example('llama/decoder-past.dynamo.onnx');
const command = join(root, 'dist/sohuc.js');

/** Runs the built command with these lines on its stdin. */
function piped(lines: readonly string[], ...words: readonly string[]): Promise<Ran> {
  if (!existsSync(command)) throw new Error('dist/sohuc.js is not built: npm run build');
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, [command, 'run', ...words], { cwd: tmpdir(), stdio: ['pipe', 'pipe', 'pipe'] });
    const said = { stdout: '', stderr: '' };
    child.stdout.on('data', (chunk: Buffer) => (said.stdout += chunk.toString('utf8')));
    child.stderr.on('data', (chunk: Buffer) => (said.stderr += chunk.toString('utf8')));
    child.on('error', fail);
    child.on('close', (code) => done({ code, ...said }));
    child.stdin.end(lines.map((line) => `${line}\n`).join(''));
  });
}

/** What was said to each command. */
const answers = ({ stdout }: Ran): ReadonlyMap<string, string> =>
  new Map(stdout.split('\n(sohuc) ').slice(1).map((part): [string, string] => [part.slice(0, part.indexOf('\n')), part.slice(part.indexOf('\n') + 1)]));

describe('sohuc run --break', () => {
  it('stops before an op; steps by instruction, by queue and by op', async () => {
    const ran = await piped(['where', 'step', 'step 3', 'delete 1', 'step vec 2', 'op', 'quit'], decoder, '--prompt', '1,5', '--break', 'layer.4.linear');
    expect([ran.code, ran.stderr]).toEqual([0, '']);
    expect(ran.stdout).toMatch(/^breakpoint 1: layer\.4\.linear\nnext: +\d+ {2}chip 0 \w+\[\d+\] \w+ `layer\.4\.linear` \(I = 0, 0, 0, 0\)/);
    const said = answers(ran);
    const at = (name: string): number => Number(/next: +(\d+)/.exec(said.get(name) ?? '')?.[1]);
    expect([at('step') - at('where'), at('step 3') - at('step')]).toEqual([1, 3]);
    expect(at('step vec 2') - at('step 3')).toBeGreaterThanOrEqual(2);
    const label = (name: string): string | undefined => /`(.*?)`/.exec(said.get(name) ?? '')?.[1];
    expect(label('op')).not.toBe(label('step vec 2'));
  });

  it('takes the model\'s own names, places, mnemonics, and starts of steps', async () => {
    const ran = await piped(['breakpoints', 'delete 4', 'c', 'c', 'delete 3', 'delete 2', 'delete 1', 'c'], decoder, '--prompt', '1,5', '--generate', '1', '--break', 'start', '--break', 'node_embedding', '--break', 'mxu:3', '--break', 'mm');
    expect(answers(ran).get('breakpoints')).toBe('1  break start\n2  break node_embedding\n3  break mxu:3\n4  break mm');
    expect([...ran.stdout.matchAll(/^breakpoint \d: (\S+)/gm)].map(([, what]) => what)).toEqual(['start', 'node_embedding', 'mxu:3']);
    expect(ran.stdout).toMatch(/sequence 0: 1,5 -> \d+,\d+/);
    expect(ran.code).toBe(0);
  });

  it('prints tensors and memory in their formats, and what queues wait for', async () => {
    const ran = await piped(['step', 'print ids', 'queues', 'c', 'print linear.43', 'print linear.43 1', 'print sram 0:2 bf16 4', 'print hbm kv 0 e4m3', 'print acc 0 0:2', 'tensors linear.4', 'ops 18', 'continue'], decoder, '--prompt', '1,5', '--break', 'start', '--break', 'end');
    const said = answers(ran);
    expect(said.get('print ids')).toMatch(/^ids {2}i32 \[1, 2\] at SRAM line \d+, pitch 1\n {2}\[0\] 1 5$/);
    expect(said.get('print linear.43')).toMatch(/^linear\.43 {2}f32 \[2, 128\] at HBM `io` line 0, pitch \d+\n {2}\[0\] (\S+ ){8}\.\.\. \(128\)\n {2}\[1\]/);
    expect(said.get('print linear.43 1')?.split('\n')[1]?.split(' ').filter((word) => word !== '')).toHaveLength(129);
    expect(said.get('print sram 0:2 bf16 4')).toMatch(/^bf16 \[2, 4\] at SRAM line 0, pitch 1\n {2}\[0\]( \S+){4}\n {2}\[1\]( \S+){4}$/);
    expect(said.get('print hbm kv 0 e4m3')).toMatch(/^e4m3 \[1, 64\] at HBM `kv` line 0/);
    expect(said.get('print acc 0 0:2')?.split('\n')).toHaveLength(2);
    expect(said.get('tensors linear.4')).toMatch(/^linear\.43 {2}f32/m);
    expect(said.get('ops 18')).toMatch(/^18\.linear {2}\(.*\)$/m);
    expect(said.get('queues')).toMatch(/^chip 0 vec\[\d+\] .* (can go on|waits for semaphore \d+ \(.*\) to hold \d+, it holds \d+)$/m);
  });

  it('says what it does not understand, and goes on', async () => {
    const wrong = ['foo', 'print nothing', 'print linear', 'print sram x', 'print sram 99999999999 bf16', 'print hbm none 0 f32', 'print acc 0', 'print acc 999 0', 'break nothing', 'break mxu:999', 'delete 7', 'chip 1', 'step x', 'watch linear'];
    const ran = await piped([...wrong, 'help', 'quit'], decoder, '--prompt', '1,5', '--break', 'start');
    const said = answers(ran);
    for (const line of wrong) expect(said.get(line), line).toMatch(/\S/);
    expect(said.get('print linear')).toContain('linear.43');
    expect(said.get('help')).toContain('continue');
    expect([ran.code, ran.stderr]).toEqual([0, '']);
    expect(ran.stdout).not.toMatch(stackTrace);
  });

  it('answers each command before the next is typed', async () => {
    const child = spawn(process.execPath, [command, 'run', decoder, '--prompt', '1,5', '--break', 'start'], { cwd: tmpdir() });
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString('utf8')));
    const until = async (pattern: RegExp): Promise<void> => {
      while (!pattern.test(said)) await new Promise((resolve) => setTimeout(resolve, 5));
      said = '';
    };
    await until(/breakpoint 1: start\nnext:.*\n$/);
    child.stdin.write('step\n');
    await until(/next: +1 .*\n$/);
    child.stdin.write('\n');
    await until(/next: +2 .*\n$/);
    child.stdin.write('quit\n');
    expect(await new Promise((done) => child.on('close', done))).toBe(0);
  });
});

describe('sohuc run of a program with subprograms', () => {
  const compiled = async (): Promise<string> => {
    const out = folder();
    const program = join(out, 'decoder-past.dynamo.sohu');
    expect((await sohuc('compile', decoder, '--isl', '8', '--osl', '4', '--batch', '1', '--out', out)).code).toBe(0);
    writeFileSync(program, writeContainer(outline(readContainer(readFileSync(program)), 12, 2)));
    return program;
  };
  const calls = (text: string | undefined): number => (text?.match(/called at/g) ?? []).length;

  it('steps into calls, over them and out of them, and says what was called', async () => {
    const ran = await piped(['delete 1', 'step', 'out', 'break call', 'c', 'delete 1', 'next', 'step 3', 'where', 'out', 'out', 'out', 'out', 'out', 'quit'], await compiled(), '--prompt', '1,5', '--break', 'call');
    expect([ran.code, ran.stderr]).toEqual([0, '']);
    const places = [...ran.stdout.matchAll(/^next: +(\d+) {2}chip 0 (\w+)\[(\d+)\] (\w+).*$/gm)];
    const [call, inside, after] = places;
    expect(call![4]).toBe('call');
    expect([inside![2], Number(inside![1]), calls(inside![0])]).toEqual([call![2], Number(call![1]) + 1, 1]);
    expect(inside![0]).toMatch(new RegExp(`, called at ${call![3]}\\)`));
    // `out` runs the subprogram and its return.
    expect([after![2], Number(after![3]), calls(after![0])]).toEqual([call![2], Number(call![3]) + 1, 0]);
    const [stopped, over] = places.slice(3);
    expect([stopped![4], over![2], Number(over![3]) - Number(stopped![3])]).toEqual(['call', stopped![2], 1]);
    expect(Number(over![1]) - Number(stopped![1])).toBeGreaterThan(2);
    expect(ran.stdout).toMatch(/(is in no subprogram)/);
  });

  it('runs to the same tokens, traced', async () => {
    const { stdout } = await sohuc('run', await compiled(), '--prompt', '1,5', '--generate', '1', '--trace');
    expect(stdout).toMatch(/^ +\d+ {2}chip 0 \w+\[\d+\] \w+ `.+` \(I = \d+, \d+, \d+, \d+, called at \d+, at \d+\)/m);
    const last = (text: string): string | undefined => /sequence 0: .*/.exec(text)?.[0];
    expect(last(stdout)).toBe(last((await sohuc('run', decoder, '--prompt', '1,5', '--generate', '1')).stdout));
  });
});

describe('sohuc run --watch', () => {
  it('stops when the tensor changes, and says by what', async () => {
    const ran = await piped(['c', 'c'], decoder, '--prompt', '1,5', '--watch', 'linear.43');
    expect(ran.stdout).toMatch(/^linear\.43 has changed, row 0: by chip 0 dma\d\[\d+\] dst `18\.linear` \(I = 0, 0, 0, 0\)\nlinear\.43 {2}f32 \[2, 128\].*\n {2}\[0\] /);
  });

  it('tells all stops when no more commands come', async () => {
    const ran = await spawned('run', decoder, '--prompt', '1,5', '--generate', '1', '--watch', 'linear.43', '--break', 'start');
    expect(ran.stdout.match(/^breakpoint 1: start/gm)).toHaveLength(2);
    expect(ran.stdout.match(/^linear\.43 has changed/gm)!.length).toBeGreaterThanOrEqual(2);
    expect(ran.stdout).toMatch(/sequence 0: 1,5 -> \d+,\d+/);
  });
});

describe('sohuc run', () => {
  it('--trace: a line an instruction, with its op and tokens', async () => {
    const { stdout } = await sohuc('run', decoder, '--prompt', '1,5', '--trace');
    const lines = stdout.split('\n').filter((line) => /^ +\d+ {2}chip /.test(line));
    expect(lines.length).toBeGreaterThan(100);
    expect(lines.map((line) => Number.parseInt(line, 10))).toEqual(lines.map((_, i) => i));
    expect(lines.every((line) => /^ +\d+ {2}chip 0 \w+\[\d+\] \w+ `.+` \(I = \d+, \d+, \d+, \d+\)( {2}takes( s\d+(\*\d+)?)+)?( {2}gives( s\d+(\*\d+)?)+)?$/.test(line))).toBe(true);
  });

  it('gives the same results in every order, checked for races, from the model and from the program', async () => {
    const out = folder();
    const last = ({ stdout }: Ran): string | undefined => /sequence 0: .*/.exec(stdout)?.[0];
    const wanted = last(await sohuc('run', decoder, '--prompt', '1,5,9', '--generate', '2'));
    expect(wanted).toMatch(/1,5,9 -> \d+,\d+,\d+$/);
    expect((await sohuc('compile', decoder, '--isl', '16', '--osl', '4', '--batch', '1', '--out', out)).code).toBe(0);
    const program = join(out, 'decoder-past.dynamo.sohu');
    for (const order of ['early', 'late', 'random:4', 'roundRobin']) {
      for (const what of [decoder, program]) expect(last(await sohuc('run', what, '--prompt', '1,5,9', '--generate', '2', '--schedule', order, '--check-races'))).toBe(wanted);
    }
  });

  it('refuses orders there are none, breakpoints nowhere, programs without their weights; ends at a limit', async () => {
    const out = folder();
    await sohuc('compile', decoder, '--isl', '8', '--osl', '4', '--batch', '1', '--out', out, '--no-weights');
    const program = join(out, 'decoder-past.dynamo.sohu');
    for (const words of [[decoder, '--schedule', 'nix'], [decoder, '--break', 'nix'], [decoder, '--watch', 'nix'], [program], [program, '--compare']]) {
      const ran = await sohuc('run', '--prompt', '1', ...words);
      expect([ran.code, ran.stderr.split('\n').length], words.join(' ')).toEqual([2, 2]);
    }
    const ran = await sohuc('run', decoder, '--prompt', '1', '--max-instructions', '50');
    expect([ran.code, ran.stderr]).toEqual([1, expect.stringContaining('error[E6001]: limit: the step takes more than 50 instructions')]);
  });

  it('a fault under the debugger can be looked at, and is a fault', async () => {
    const ran = await piped(['c', 'queues', 'c', 'quit'], decoder, '--prompt', '1', '--max-instructions', '50', '--break', 'start');
    expect(answers(ran).get('queues')).toMatch(/waits for semaphore/);
    expect(ran.stdout).toContain('the program has stopped');
    expect([ran.code, ran.stderr]).toEqual([1, expect.stringContaining('error[E6001]: limit:')]);
  });
});

it('docs/debugging.md: its session is understood', async () => {
  const page = readFileSync(join(root, 'docs/debugging.md'), 'utf8');
  const called = /^\$ sohuc run (.*)$/m.exec(page)?.[1]?.split(' ') ?? [];
  const lines = [...page.matchAll(/^\(sohuc\) (.*)$/gm)].map(([, line]) => line as string);
  expect(lines.length).toBeGreaterThan(3);
  const ran = await piped([...lines, 'print sram 0x10:4 bf16 64', 'print hbm kv 0 e4m3', 'print acc 0 0:4', 'quit'], ...called.map((word) => (word.startsWith('examples/') ? join(root, word) : word)));
  expect([ran.code, ran.stderr]).toEqual([0, '']);
  expect(ran.stdout).not.toMatch(/no such command|is called|there is no|`print/);
  expect(ran.stdout).toMatch(/has changed/);
});
