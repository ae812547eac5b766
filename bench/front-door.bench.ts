import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { bench, describe } from 'vitest';
import { type Sizes, writeDecoder } from './decoder.ts';

/**
 * The ONNX front door beside onnxruntime on one thread, whole processes of both: a model of some 300 MB compiled with its weights packed, against
 * the same file loaded and optimised; and how time grows with nodes where there is little else. CPU seconds, seconds a user waits, and memory, each the least of three.
 */
const root = resolve(import.meta.dirname, '..');
const folder = mkdtempSync(join(tmpdir(), 'sohuc-bench-'));

/** Prints CPU seconds, seconds since it began, and the peak of memory in bytes when the process ends: on Linux its own, as `maxRSS` has what it was forked from in it. */
const reporting = `data:text/javascript,${encodeURIComponent(`
  import { existsSync, readFileSync } from 'node:fs';
  const own = '/proc/self/status';
  process.on('exit', () => {
    const { user, system } = process.cpuUsage();
    const peak = existsSync(own) ? /VmHWM:\\s+(\\d+)/.exec(readFileSync(own, 'utf8'))[1] : process.resourceUsage().maxRSS;
    console.log(JSON.stringify([(user + system) / 1e6, performance.now() / 1e3, 1024 * peak]));
  });`)}`;
const loading = "import{InferenceSession}from'onnxruntime-node';await InferenceSession.create(process.argv[1],{intraOpNumThreads:1,interOpNumThreads:1})";

type Spent = { readonly seconds: number; readonly waited: number; readonly bytes: number };
const spentBy = (...args: readonly string[]): Spent => {
  const runs = Array.from({ length: 3 }, () => JSON.parse(execFileSync(process.execPath, ['--import', reporting, ...args], { cwd: root, encoding: 'utf8' })) as [number, number, number]);
  const [seconds, waited, bytes] = [0, 1, 2].map((i) => Math.min(...runs.map((run) => run[i] as number))) as [number, number, number];
  return { seconds, waited, bytes };
};
const compiling = (file: string): Spent => spentBy(join(root, 'dist/sohuc.js'), file, '--out', join(folder, 'out'), '--quiet');

const written = (name: string, sizes: Sizes): { readonly file: string; readonly nodes: number } => {
  const file = join(folder, `${name}.onnx`);
  return { file, nodes: writeDecoder(file, sizes) };
};

const againstRuntime = (): string => {
  const { file, nodes } = written('large', { layers: 24, hidden: 512, inner: 1408, heads: 8, vocabulary: 4096 });
  const [ours, theirs] = [compiling(file), spentBy('--input-type=module', '-e', loading, file)];
  const { size } = statSync(file);
  return [
    `24 layers, ${nodes} nodes, ${(size / 1e6).toFixed(0)} MB`,
    `compiled, weights packed  ${ours.seconds.toFixed(2)} s of CPU, onnxruntime loads and optimises it in ${theirs.seconds.toFixed(2)} s: ${(ours.seconds / theirs.seconds).toFixed(2)}x`,
    `waited                    ${ours.waited.toFixed(2)} s, for onnxruntime ${theirs.waited.toFixed(2)} s: ${(ours.waited / theirs.waited).toFixed(2)}x`,
    `peak of memory            ${(ours.bytes / 1e6).toFixed(0)} MB, ${(ours.bytes / size).toFixed(2)} of the file; onnxruntime ${(theirs.bytes / 1e6).toFixed(0)} MB`,
  ].join('\n');
};

const growth = (): string => {
  const rows = [20, 80, 320].map((layers) => {
    const { file, nodes } = written(`layers-${layers}`, { layers, hidden: 32, inner: 48, heads: 4, vocabulary: 64 });
    return { nodes, seconds: compiling(file).seconds };
  });
  const [first, ...more] = rows as [(typeof rows)[number], ...typeof rows];
  return more.map(({ nodes, seconds }) => `${(nodes / first.nodes).toFixed(1)} times the nodes (${nodes})  ${(seconds / first.seconds).toFixed(1)} times the time, ${seconds.toFixed(2)} s`).join('\n');
};

try {
  console.log(`\n${againstRuntime()}\n\n${growth()}\n`);
} finally {
  rmSync(folder, { recursive: true });
}

describe('the ONNX front door', () => {
  bench.todo('is measured once, above');
});
