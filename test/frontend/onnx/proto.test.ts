import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import onnxProto from 'onnx-proto';
import { describe, expect, it } from 'vitest';
import { Diagnostics } from '../../../diagnostics/diagnostic.ts';
import { memoryFiles } from '../../../frontend/files.ts';
import { type OnnxModel, readOnnx } from '../../../frontend/onnx/proto.ts';
import { corpus, folderFiles, hasCorpus, manifest, onnxFiles } from './corpus.ts';
import { type Fields, floats, graph, int64s, message, model, node, opset, tensor, value } from './write.ts';

type Read = { readonly model: OnnxModel | undefined; readonly told: readonly string[] };

function readBytes(bytes: Uint8Array, more: readonly (readonly [string, Uint8Array])[] = []): Read {
  const diagnostics = new Diagnostics();
  const read = readOnnx(memoryFiles(new Map([['m.onnx', bytes], ...more])), 'm.onnx', diagnostics);
  return { model: read, told: diagnostics.all.map(({ code, message: text }) => `${code} ${text}`) };
}

function readFile(file: string): Read {
  const diagnostics = new Diagnostics();
  const read = readOnnx(folderFiles(join(corpus, dirname(file))), basename(file), diagnostics);
  return { model: read, told: diagnostics.all.map(({ code, message: text }) => `${code} ${text}`) };
}

const x = value('x', 1, ['n', 2]);
const y = value('y', 1, ['n', 2]);
const add = node('Add', ['x', 'w'], ['y']);
const withWeight = (weight: Uint8Array): Uint8Array => model({ nodes: [add], initializers: [weight], inputs: [x], outputs: [y] });
const external = (entries: readonly (readonly [string, string])[]): Uint8Array =>
  withWeight(tensor('w', 1, [2], [...entries.map(([key, text]) => [13, message([[1, key], [2, text]])] as const), [14, 1]]));

describe('readOnnx', () => {
  it('reads names, types, attributes and data', () => {
    const { model: read, told } = readBytes(withWeight(floats('w', [2], [1, 2])));
    expect(told).toEqual([]);
    expect(read?.opsets).toEqual(new Map([['', 17]]));
    expect(read?.graph.inputs.map(({ name, dims }) => [name, dims])).toEqual([['x', ['n', 2]]]);
    expect(read?.graph.nodes.map(({ opType, inputs, outputs }) => [opType, inputs, outputs])).toEqual([['Add', ['x', 'w'], ['y']]]);
    const weight = read?.graph.initializers.get('w');
    expect(weight?.dims).toEqual([2]);
    expect(weight?.data).toEqual({ kind: 'bytes', bytes: new Uint8Array(Float32Array.from([1, 2]).buffer) });
  });

  it('keeps large data in its file', () => {
    const bytes = withWeight(floats('w', [1000, 2], Array.from({ length: 2000 }, (_, i) => i)));
    const data = readBytes(bytes).model?.graph.initializers.get('w')?.data;
    expect(data).toMatchObject({ kind: 'file', file: 'm.onnx', length: 8000 });
    if (data?.kind !== 'file') return;
    const view = new Float32Array(bytes.slice(data.offset, data.offset + data.length).buffer);
    expect([view[0], view[1999]]).toEqual([0, 1999]);
  });

  it('reads 64-bit integers, negative ones and those beyond doubles', () => {
    const read = readBytes(withWeight(int64s('w', [3], [-1, 2 ** 40, -(2 ** 63)]))).model;
    expect(read?.graph.initializers.get('w')?.data).toEqual({ kind: 'values', values: [-1, 2 ** 40, -(2 ** 63)] });
  });

  it('merges a graph sent in two parts', () => {
    const parts: Fields = [[7, graph({ nodes: [add], initializers: [floats('w', [2], [1, 2])] })], [7, graph({ inputs: [x], outputs: [y] })]];
    const read = readBytes(message([[1, 8], [8, opset(17)], ...parts])).model;
    expect([read?.graph.nodes.length, read?.graph.inputs.length]).toEqual([1, 1]);
  });

  it('sorts nodes that are out of order', () => {
    const nodes = [node('Neg', ['b'], ['y']), node('Neg', ['a'], ['b']), node('Neg', ['x'], ['a'])];
    expect(readBytes(model({ nodes, inputs: [x], outputs: [y] })).model?.graph.nodes.map((each) => each.outputs[0])).toEqual(['a', 'b', 'y']);
  });

  it('holds names in maps, whatever they are called', () => {
    const nodes = [node('Neg', ['__proto__'], ['constructor']), node('Neg', ['constructor'], ['y'])];
    expect(readBytes(model({ nodes, inputs: [value('__proto__', 1, [2])], outputs: [y] })).told).toEqual([]);
  });

  it('finds external data beside the model', () => {
    const read = readOnnx(memoryFiles(new Map([['sub/m.onnx', external([['location', 'w.bin'], ['offset', '4'], ['length', '8']])], ['sub/w.bin', new Uint8Array(12)]])), 'sub/m.onnx', new Diagnostics());
    expect(read?.graph.initializers.get('w')?.data).toEqual({ kind: 'file', file: 'sub/w.bin', offset: 4, length: 8 });
  });

  const refused: readonly (readonly [string, Uint8Array, string])[] = [
    ['an empty file', new Uint8Array(), 'E1001 `m.onnx`: it is empty'],
    ['text', new TextEncoder().encode('hello, this is text'), 'E1001 `m.onnx`: a group ends that did not begin'],
    ['no graph', message([[1, 8], [8, opset(17)]]), 'E1001 `m.onnx`: it holds no graph'],
    ['no operator set', message([[1, 8], [7, graph({})]]), 'E1003 `m.onnx`: it imports no operator set'],
    ['a name defined twice', model({ nodes: [add, add], initializers: [floats('w', [2], [1, 2])], inputs: [x], outputs: [y] }), 'E1003 `m.onnx`: `y` is defined twice, the second time by Add node `Add_y`'],
    ['a name never defined', model({ nodes: [add], inputs: [x], outputs: [y] }), 'E1003 `m.onnx`: Add node `Add_y` reads `w`, which nothing defines'],
    ['a circle', model({ nodes: [node('Add', ['x', 'y'], ['y'])], inputs: [x], outputs: [y] }), 'E1003 `m.onnx`: Add node `Add_y` needs its own result'],
    ['too little data', withWeight(floats('w', [2], [1])), 'E1003 `m.onnx`: tensor `w` has 4 bytes of data where its dimensions ask for 8'],
    ['a negative dimension', withWeight(floats('w', [-2], [1])), 'E1003 `m.onnx`: tensor `w` has a dimension -2'],
    ['a data type that does not exist', withWeight(tensor('w', 77, [2], [])), 'E1003 `m.onnx`: tensor `w` has data type 77, which does not exist'],
    ['a way out of the folder', external([['location', 'a/../../w.bin']]), 'E1002 `m.onnx`: external data of tensor `w`: location `a/../../w.bin` is not a path below the model\'s folder'],
    ['a file that is not there', external([['location', 'w.bin']]), 'E1002 `m.onnx`: external data of tensor `w`: there is no file `w.bin`'],
    ['an unknown key', external([['__proto__', 'w.bin']]), 'E1002 `m.onnx`: external data of tensor `w`: `__proto__` is not a key of external data'],
    ['a negative offset', external([['location', 'w.bin'], ['offset', '-8']]), 'E1002 `m.onnx`: external data of tensor `w`: offset `-8` is not a whole number of bytes'],
  ];
  it.each(refused)('refuses %s', (_, bytes, why) => {
    expect(readBytes(bytes)).toEqual({ model: undefined, told: [why] });
  });

  it('refuses messages nested without end', () => {
    let type = message([[1, message([[1, 1]])]]);
    for (let i = 0; i < 200; i++) type = message([[4, message([[1, type]])]]);
    expect(readBytes(model({ inputs: [message([[1, 'x'], [2, type]])] })).told).toEqual(['E1004 `m.onnx`: messages are nested more than 64 deep']);
  });

  it('counts what functions come to before inlining them', () => {
    const calls = (callee: string): readonly Uint8Array[] => [node(callee, ['x'], ['a'], {}, [[7, 'f']]), node(callee, ['a'], ['y'], {}, [[7, 'f']])];
    const functions = Array.from({ length: 30 }, (_, i) => {
      const nodes = i === 0 ? [node('Neg', ['x'], ['y'])] : calls(`f${i - 1}`);
      return [25, message([[1, `f${i}`], [4, 'x'], [5, 'y'], ...nodes.map((each) => [7, each] as const), [10, 'f']])] as const;
    });
    const bytes = model({ nodes: [node('f29', ['x'], ['y'], {}, [[7, 'f']])], inputs: [x], outputs: [y] }, 17, functions);
    expect(readBytes(bytes).told).toEqual(['E1004 `m.onnx`: the graph has 536870912 nodes once its functions are inlined, more than 1048576']);
  });

  it('refuses every damaged file with a diagnostic, or reads it', () => {
    const whole = withWeight(floats('w', [2], [1, 2]));
    let seed = 1;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    for (let i = 0; i < 3000; i++) {
      const bytes = whole.slice(0, random(8) === 0 ? random(whole.length) : whole.length);
      for (let k = random(4); k >= 0; k--) bytes[random(bytes.length)] = random(256);
      const { model: read, told } = readBytes(bytes);
      expect(told.length).toBe(read === undefined ? 1 : 0);
    }
  });
});

describe.skipIf(!hasCorpus)('readOnnx on the corpus', () => {
  /** Files the reader takes although they are hostile to later stages, and files said to be valid in other words. */
  const acceptable = /^VALID|^valid|\(valid\)|: valid|folding bomb|unknown domain|invalid UTF-8/;

  it('takes or refuses every hostile file as its manifest says', () => {
    const rows = manifest().filter(({ file }) => file.startsWith('hostile/'));
    expect(rows.length).toBeGreaterThan(40);
    for (const { file, what } of rows) {
      const { model: read, told } = readFile(file);
      expect([file, told.length, read !== undefined]).toEqual([file, acceptable.test(what) ? 0 : 1, acceptable.test(what)]);
    }
  });

  it('reads every export of PyTorch', () => {
    for (const file of onnxFiles('torch')) expect([file, readFile(file).told]).toEqual([file, []]);
  });

  it('reads what onnx-proto reads', () => {
    for (const file of onnxFiles('torch/hf').filter((_, i) => i % 8 === 0)) {
      const theirs = onnxProto.onnx.ModelProto.decode(readFileSync(join(corpus, file))).graph;
      const ours = readFile(file).model?.graph;
      expect(ours?.nodes.map((each) => [each.opType, each.inputs, each.outputs])).toEqual(theirs?.node?.map((each) => [each.opType, each.input, each.output]));
      expect([...(ours?.initializers.values() ?? [])].map((each) => [each.name, each.dims])).toEqual(theirs?.initializer?.map((each) => [each.name, each.dims?.map(Number)]));
    }
  });

  it('survives a thousand damaged exports', () => {
    const files = onnxFiles('torch/modules').filter((_, i) => i % 16 === 0);
    let seed = 7;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    for (let i = 0; i < 1000; i++) {
      const bytes = Uint8Array.from(readFileSync(join(corpus, files[i % files.length] as string)));
      for (let k = random(10); k >= 0; k--) bytes[random(Math.min(bytes.length, 4096))] = random(256);
      const { model: read, told } = readBytes(bytes);
      expect(told.length).toBe(read === undefined ? 1 : 0);
    }
  });
});
