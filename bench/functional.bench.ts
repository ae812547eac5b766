import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { rolldown } from 'rolldown';
import { bench, describe } from 'vitest';
import { measurements } from './functional-runs.ts';
import type { Way } from './measure.ts';

/**
 * Speed of the functional simulator as users have it: bundled. Inner loops in billions of operations a second of CPU, plain, in SIMD, and
 * of the same in FP32 in onnxruntime on one thread; then the command as a whole.
 */
const root = resolve(import.meta.dirname, '..');
/** Where onnxruntime is found. */
const folder = mkdtempSync(join(root, 'node_modules', '.bench-'));
const model = mkdtempSync(join(tmpdir(), 'sohuc-bench-'));
const bundle = await rolldown({ input: resolve(import.meta.dirname, 'functional-runs.ts'), platform: 'node', external: ['onnxruntime-node'] });
const script = join(folder, 'functional-runs.mjs');
await bundle.write({ file: script, format: 'esm' });

const node = (...args: readonly string[]): string => execFileSync(process.execPath, args, { encoding: 'utf8' });

/** In Markdown, columns aligned, the first to the left. */
const table = (heads: readonly string[], rows: readonly (readonly string[])[]): string => {
  const widths = heads.map((head, i) => Math.max(head.length, ...rows.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]): string => `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join(' | ')} |`;
  return [line(heads), `|${widths.map((width, i) => (i === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`, ...rows.map(line)].join('\n');
};

const speeds = (what: keyof typeof measurements): string => {
  const [fp8, bf16, outside] = (['e4m3', 'bf16', 'onnxruntime'] satisfies Way[]).map((way) => JSON.parse(node(script, what, way)) as number[][]) as [number[][], number[][], number[][]];
  const times = (ratio: number): string => `${ratio.toFixed(ratio < 1 ? 2 : 1)}x`;
  const rows = measurements[what].shapes.map(({ name, operations }, i) => {
    const giga = (seconds: number): string => (operations / seconds / 1e9).toFixed(1);
    const [[plain8, simd8], [plain16, simd16], [other]] = [fp8[i], bf16[i], outside[i]] as [[number, number], [number, number], [number]];
    return [name, giga(plain8), giga(simd8), times(plain8 / simd8), giga(plain16), giga(simd16), times(plain16 / simd16), giga(other), times(other / simd8), times(other / simd16)];
  });
  return table([what, 'FP8 plain', 'SIMD', 'to plain', 'BF16 plain', 'SIMD', 'to plain', 'onnxruntime FP32', 'FP8 to it', 'BF16 to it'], rows);
};

const llama = {
  model_type: 'llama', architectures: ['LlamaForCausalLM'], hidden_size: 512, intermediate_size: 1408, num_hidden_layers: 6, num_attention_heads: 8, num_key_value_heads: 4, vocab_size: 8192,
  max_position_embeddings: 2048, rms_norm_eps: 1e-5, rope_theta: 10000, hidden_act: 'silu', torch_dtype: 'bfloat16', tie_word_embeddings: true,
};
const tokens = 32;
/** Prints microseconds of CPU when the process ends. */
const reporting = "data:text/javascript,process.on('exit',()=>{const{user,system}=process.cpuUsage();console.log(user+system)})";

/** A Llama of 21.9 M made-up parameters: CPU seconds of the whole process, the least of three. */
const generation = (): string => {
  writeFileSync(join(model, 'config.json'), JSON.stringify(llama));
  const seconds = (precision: string, generate: number): number => {
    const run = (): number => Number(node('--import', reporting, join(root, 'dist/sohuc.js'), 'run', model, '--precision', precision, '--prompt', '1,5,9,2,7,3,8,11', '--generate', String(generate), '--quiet'));
    return Math.min(run(), run(), run()) / 1e6;
  };
  const rows = (['fp8', 'bf16'] as const).map((precision) => {
    const [before, all] = [seconds(precision, 0), seconds(precision, tokens)];
    return [precision.toUpperCase(), before.toFixed(2), all.toFixed(2), ((1000 * (all - before)) / tokens).toFixed(1)];
  });
  return table(['sohuc run, Llama of 21.9 M parameters', 'prompt of 8, s', `and ${tokens} tokens, s`, 'a token, ms'], rows);
};

try {
  console.log(`\n${speeds('mm')}\n\n${speeds('attn')}\n\n${generation()}\n`);
} finally {
  for (const one of [folder, model]) rmSync(one, { recursive: true });
}

describe('functional simulation', () => {
  bench.todo('is measured once, above');
});
