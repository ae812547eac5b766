import { copyFileSync, linkSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { nodeFiles } from '../../driver/node-files.ts';
import { FileRefused } from '../../frontend/files.ts';
import { message, model as onnxModel, node, tensor, value } from '../frontend/onnx/write.ts';
import { example, folder, sohuc, stackTrace } from './command.ts';

/** A model folder with a neighbour it has no business with. */
function places(): { readonly model: string; readonly secret: string } {
  const at = folder();
  const model = join(at, 'model');
  mkdirSync(join(model, 'sub'), { recursive: true });
  writeFileSync(join(at, 'secret'), 'secret');
  writeFileSync(join(model, 'w.bin'), 'weights!');
  writeFileSync(join(model, 'sub/w.bin'), 'in sub');
  return { model, secret: join(at, 'secret') };
}

describe('a folder on disk', () => {
  it('reads its files by ranges', () => {
    const files = nodeFiles(places().model, false);
    expect([files.size('w.bin'), files.size('sub/w.bin'), files.size('none'), files.size('w.bin/below')]).toEqual([8, 6, undefined, undefined]);
    expect(Buffer.from(files.read('w.bin', 2, 3)).toString()).toBe('igh');
    expect(files.read('w.bin', 8, 0)).toEqual(new Uint8Array(0));
    files.close();
  });

  it.each(['../secret', 'sub/../../secret', '..\\secret', '/etc/passwd', '', 'w.bin\0', '..'])('refuses %j, which leaves it', (path) => {
    const files = nodeFiles(places().model, false);
    expect(() => files.size(path)).toThrow(FileRefused);
    expect(() => files.read(path, 0, 1)).toThrow('the path leaves the model\'s folder');
  });

  it('refuses links, unless they are allowed', () => {
    const { model, secret } = places();
    symlinkSync(secret, join(model, 'link'));
    symlinkSync('w.bin', join(model, 'inside'));
    symlinkSync('sub', join(model, 'folder'));
    linkSync(secret, join(model, 'hard'));
    const strict = nodeFiles(model, false);
    for (const path of ['link', 'inside', 'folder/w.bin']) expect(() => strict.size(path)).toThrow(/is a symbolic link \(`--allow-links` permits them\)/);
    expect(() => strict.size('hard')).toThrow(/a hard link/);
    const lax = nodeFiles(model, true);
    for (const path of ['link', 'inside', 'folder/w.bin', 'hard']) expect(lax.size(path)).toBeGreaterThan(0);
  });

  it('refuses what is no regular file, and reads no further than a file goes', () => {
    const files = nodeFiles(places().model, false);
    expect(() => files.size('sub')).toThrow('it is not a regular file');
    expect(() => files.read('w.bin', 4, 5)).toThrow('the file ends at byte 8');
    expect(() => files.read('none', 0, 1)).toThrow('there is no such file');
  });
});

describe('external data of an ONNX file', () => {
  /** x + w, with the two floats of w in a file of their own. */
  const onnx = (location: string): Uint8Array =>
    onnxModel({
      nodes: [node('Add', ['x', 'w'], ['y'])],
      initializers: [tensor('w', 1, [2], [[13, message([[1, 'location'], [2, location]])], [14, 1]])],
      inputs: [value('x', 1, [2])],
      outputs: [value('y', 1, [2])],
    });

  it.each(['../secret', 'link', '/etc/passwd'])('at %s is refused', async (location) => {
    const { model, secret } = places();
    symlinkSync(secret, join(model, 'link'));
    writeFileSync(join(model, 'm.onnx'), onnx(location));
    const { code, stderr } = await sohuc(join(model, 'm.onnx'), '--out', join(model, 'out'));
    expect(stderr).toMatch(/^error\[E1002\]: /);
    expect(stderr).not.toMatch(stackTrace);
    expect(code).toBe(1);
  });

  it('inside the folder is read', async () => {
    const { model } = places();
    writeFileSync(join(model, 'm.onnx'), onnx('w.bin'));
    // It is no transformer, and nothing is wrong with its file.
    expect((await sohuc(join(model, 'm.onnx'), '--out', join(model, 'out'))).stderr).toMatch(/^error\[E3001\]/);
  });
});

it('a model folder of links compiles with --allow-links', async () => {
  const at = folder();
  mkdirSync(join(at, 'blobs'));
  mkdirSync(join(at, 'snapshot'));
  for (const file of ['config.json', 'model.safetensors']) {
    copyFileSync(example(`llama/hf/${file}`), join(at, 'blobs', file));
    symlinkSync(join('../blobs', file), join(at, 'snapshot', file));
  }
  expect(await sohuc(join(at, 'snapshot'), '--quiet', '--out', join(at, 'a'))).toMatchObject({ code: 1, stderr: expect.stringContaining('--allow-links') as string });
  expect(await sohuc(join(at, 'snapshot'), '--quiet', '--allow-links', '--out', join(at, 'a'))).toMatchObject({ code: 0, stderr: '' });
  expect(await sohuc(example('llama/hf'), '--quiet', '--out', join(at, 'b'))).toMatchObject({ code: 0 });
  for (const file of ['model.sohu', 'model.sohw']) expect(readFileSync(join(at, 'a', file)).equals(readFileSync(join(at, 'b', file)))).toBe(true);
});
