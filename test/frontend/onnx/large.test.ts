import { ftruncateSync, mkdtempSync, openSync, rmSync, writeSync, closeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import protobuf from 'protobufjs/minimal.js';
import { expect, it } from 'vitest';
import { Diagnostics } from '../../../diagnostics/diagnostic.ts';
import { nodeFiles } from '../../../driver/node-files.ts';
import { importOnnx } from '../../../frontend/onnx/import.ts';
import { recognised } from '../../passes/raise/as-rows.ts';
import { graph, message, node, opset, value } from './write.ts';

const [inner, outer] = [8192, 65_500];
const raw = inner * outer * 4;

/** A field of bytes that are not here yet. */
const head = (field: number, length: number): Uint8Array => new Uint8Array(protobuf.Writer.create().uint32(field * 8 + 2).uint32(length).finish());

it('a file of 2 GiB, a hole in it its one weight, is read without its bytes', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sohuc-large-'));
  try {
    const weight = [message([[1, inner], [1, outer], [2, 1], [8, 'w']]), head(9, raw)];
    const weightBytes = weight.reduce((sum, { length }) => sum + length, raw);
    const rest = graph({ nodes: [node('MatMul', ['x', 'w'], ['y'])], inputs: [value('x', 1, ['batch', 'sequence', inner])], outputs: [value('y', 1, ['batch', 'sequence', outer])] });
    const before = [rest, head(5, weightBytes)];
    const file = openSync(join(folder, 'm.onnx'), 'w');
    let at = 0;
    for (const bytes of [message([[1, 8], [8, opset(17)]]), head(7, before.reduce((sum, { length }) => sum + length, weightBytes)), ...before, ...weight]) at += writeSync(file, bytes, 0, bytes.length, at);
    ftruncateSync(file, at + raw);
    closeSync(file);
    expect(at + raw).toBeGreaterThan(1.99 * 2 ** 30);
    const files = nodeFiles(folder, false);
    const used = process.memoryUsage();
    const imported = importOnnx(files, 'm.onnx', [], new Diagnostics());
    const ops = imported === undefined ? [] : recognised(imported.module, imported.store).body.ops.map(({ kind }) => kind);
    const now = process.memoryUsage();
    files.close();
    expect(ops).toEqual(['weight', 'pmatmul']);
    expect(now.arrayBuffers + now.heapUsed - used.arrayBuffers - used.heapUsed).toBeLessThan(100 * 2 ** 20);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
