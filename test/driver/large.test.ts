import { execFileSync } from 'node:child_process';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { type AttributeValue, graph, message, node, opset, tensor, value } from '../frontend/onnx/write.ts';
import { folder, root } from './command.ts';

const [vocabulary, width] = [2 ** 21, 8192];

/** The command, and what it says last: its largest size in KiB; on Linux its own, as `maxRSS` has what it was forked from in it. */
const largest = `
  import { existsSync, readFileSync } from 'node:fs';
  const own = '/proc/self/status';
  process.on('exit', () => console.log(existsSync(own) ? /VmHWM:\\s+(\\d+)/.exec(readFileSync(own, 'utf8'))[1] : process.resourceUsage().maxRSS));`;
const measured = ['--import', `data:text/javascript,${encodeURIComponent(largest)}`, join(root, 'dist/sohuc.js')];

it('138 GB of weights beside a model, a hole in a file, are compiled without in less than 300 MB', { timeout: 60_000 }, () => {
  const at = folder();
  let bytes = 0;
  const weight = (name: string, dims: readonly number[]): Uint8Array => {
    const length = dims.reduce((a, b) => a * b, 4);
    const external = Object.entries({ location: 'weights', offset: bytes, length }).map(([key, of]) => [13, message([[1, key], [2, String(of)]])] as const);
    bytes += length;
    return tensor(name, 1, dims, [...external, [14, 1]]);
  };
  const heads: Record<string, AttributeValue> = { q_num_heads: 64, kv_num_heads: 64, is_causal: 1 };
  const model = graph({
    nodes: [
      node('Gather', ['embed', 'ids'], ['x']),
      ...['q', 'k', 'v'].map((name) => node('MatMul', ['x', `w${name}`], [name])),
      node('Attention', ['q', 'k', 'v'], ['a'], heads),
      node('MatMul', ['a', 'head'], ['logits']),
    ],
    initializers: [weight('embed', [vocabulary, width]), ...['wq', 'wk', 'wv'].map((name) => weight(name, [width, width])), weight('head', [width, vocabulary])],
    inputs: [value('ids', 7, ['batch', 'sequence'])],
    outputs: [value('logits', 1, ['batch', 'sequence', vocabulary])],
  });
  writeFileSync(join(at, 'm.onnx'), message([[1, 10], [8, opset(23)], [7, model]]));
  writeFileSync(join(at, 'weights'), '');
  truncateSync(join(at, 'weights'), bytes);
  const said = execFileSync(process.execPath, [...measured, 'compile', join(at, 'm.onnx'), '--no-weights', '--quiet', '--out', join(at, 'out')], { encoding: 'utf8' });
  expect(bytes).toBeGreaterThan(138e9);
  expect(Number(said.trim().split('\n').at(-1))).toBeLessThan(300e6 / 1024);
});
