import type { Diagnostics } from '../../diagnostics/diagnostic.ts';
import type { GraphModule } from '../../ir/graph/module.ts';
import type { DType } from '../../ir/types.ts';
import type { TensorStore } from '../../ir/weights.ts';
import { FileRefused, type Files } from '../files.ts';
import { openSafetensors } from '../weights/safetensors.ts';
import { buildModule } from './build.ts';
import { readSpec } from './config.ts';
import { type Json, parseJson } from './json.ts';
import type { TransformerSpec } from './spec.ts';
import { checkTensors, Tensors } from './tensors.ts';

/** A model folder read. `tensors` are those the module takes; `store` reads them, if the folder has weights. */
export type Imported = {
  readonly module: GraphModule;
  readonly store: TensorStore | undefined;
  readonly tensors: ReadonlyMap<string, { readonly dtype: DType; readonly shape: readonly number[] }>;
};

/** Far above every published config. */
const configBytes = 16 * 2 ** 20;

/**
 * Reads a Hugging Face folder: `config.json`, and weights if there are any. Undefined, with all faults reported, if it cannot be
 * compiled: E2001 to E2007, E3002.
 */
export function importFolder(files: Files, diagnostics: Diagnostics): Imported | undefined {
  const before = diagnostics.all.length;
  const config = readConfig(files, diagnostics);
  if (config === undefined) return undefined;
  const spec = readSpec(config, diagnostics);
  if (spec === undefined) return undefined;
  const store = openSafetensors(files, diagnostics);
  if (store === undefined && failed(diagnostics, before)) return undefined;
  if (store !== undefined && spec.quantised !== undefined) {
    diagnostics.report({
      code: 'E2006',
      message: `the weights are stored quantised (\`quantization_config.quant_method\` = "${spec.quantised}"), which is not read`,
      origin: { kind: 'config', path: 'quantization_config' },
      help: 'take the checkpoint the quantised one was made from: the compiler quantises by itself',
    });
    return undefined;
  }
  const { module, tensors } = moduleOf(spec, store, diagnostics);
  if (store !== undefined) checkTensors(tensors.expected, store, diagnostics);
  if (failed(diagnostics, before)) return undefined;
  const described = new Map([...tensors.expected].map(([name, shape]) => [name, store?.describe(name) ?? { dtype: spec.dtype, shape }]));
  return { module, store, tensors: described };
}

const failed = (diagnostics: Diagnostics, since: number): boolean => diagnostics.all.slice(since).some(({ code }) => code.startsWith('E'));

/** The module, and the account of the tensors it takes. */
function moduleOf(spec: TransformerSpec, store: TensorStore | undefined, diagnostics: Diagnostics): { readonly module: GraphModule; readonly tensors: Tensors } {
  const { names, head, hidden } = spec;
  const prefixes = head === 'none' ? ['', names.prefix] : [names.prefix, ''];
  const tensors = new Tensors(store, prefixes, `${names.embed}.weight`);
  if (names.pooler !== undefined && head === 'none') {
    const name = tensors.nameOf(`${names.pooler}.weight`);
    if (store === undefined || store.describe(name) !== undefined) {
      tensors.body(`${names.pooler}.weight`, [hidden, hidden]);
      tensors.body(`${names.pooler}.bias`, [hidden]);
      const message = `the pooler (\`${name}\`) is not compiled: the result is the rows it would be applied to`;
      diagnostics.report({ code: 'W2008', message, origin: { kind: 'tensor', name } });
    }
  }
  return { module: buildModule(spec, tensors), tensors };
}

function readConfig(files: Files, diagnostics: Diagnostics): Json | undefined {
  const path = 'config.json';
  const origin = { kind: 'file', path } as const;
  const unreadable = (message: string): undefined => {
    diagnostics.report({ code: 'E2001', message, origin });
    return undefined;
  };
  try {
    const size = files.size(path);
    if (size === undefined) return unreadable('the folder has no `config.json`');
    if (size > configBytes) return unreadable(`\`config.json\` has ${size} bytes, more than ${configBytes}`);
    const text = decodeText(files.read(path, 0, size));
    if (text === undefined) return unreadable('`config.json` is not UTF-8 text');
    const { value, nonFinite } = parseJson(text);
    if (nonFinite.length > 0) {
      diagnostics.report({ code: 'W2008', message: `\`config.json\` holds ${nonFinite.map((token) => `\`${token}\``).join(', ')}, which is not JSON; read as Python reads it`, origin });
    }
    return value;
  } catch (error) {
    if (error instanceof FileRefused) return unreadable(`\`config.json\`: ${error.message}`);
    if (error instanceof SyntaxError) return unreadable(`\`config.json\` is not JSON: ${error.message}`);
    if (error instanceof RangeError) return unreadable('`config.json` is nested too deeply');
    throw error;
  }
}

function decodeText(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
