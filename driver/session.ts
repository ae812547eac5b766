import { readFileSync, type Stats, statSync } from 'node:fs';
import { basename, dirname, extname, resolve } from 'node:path';
import type { Diagnostics } from '../diagnostics/diagnostic.ts';
import type { CustomLayer } from '../ir/graph/custom.ts';
import { parseMachine } from '../isa-spec/machine-json.ts';
import type { Machine } from '../isa-spec/machine.ts';
import { machines } from '../isa-spec/machines/named.ts';
import type { Imported } from './compile.ts';
import { nodeFiles } from './node-files.ts';
import type { Options } from './options.ts';

/** What a command refuses because of how it was called: exit code 2. */
export class UsageError extends Error {}

/** A user's model, found: its folder and the file in it, if it is one; where artefacts go, and their name. */
export type Source = { readonly folder: string; readonly file: string | undefined; readonly name: string };

/** Finds a model: an `.onnx` file, a folder with a `config.json`, or that file itself. */
export function findSource(path: string): Source {
  const full = resolve(path);
  const found = statOf(full);
  if (found === undefined) throw new UsageError(`there is no \`${path}\``);
  if (found.isDirectory()) return { folder: full, file: undefined, name: 'model' };
  if (extname(full) === '.onnx') return { folder: dirname(full), file: basename(full), name: basename(full, '.onnx') };
  if (extname(full) === '.json') return { folder: dirname(full), file: basename(full), name: basename(full, '.json') };
  throw new UsageError(`\`${path}\` is not a model: give an .onnx file, a folder with a config.json, or a config.json`);
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

/** Reads a model with the frontend for it. Problems go to `diagnostics`. */
export async function importSource(source: Source, layers: readonly CustomLayer[], { allowLinks, fix }: Pick<Options, 'allowLinks' | 'fix'>, diagnostics: Diagnostics): Promise<Imported | undefined> {
  const files = nodeFiles(source.folder, allowLinks);
  if (source.file?.endsWith('.onnx') === true) {
    const { importOnnx } = await import('../frontend/onnx/import.ts');
    const imported = importOnnx(files, source.file, layers, diagnostics, fixedOf(fix));
    // A graph's own name says which exporter made it; the file's name is what the user knows it by.
    return imported === undefined ? undefined : { ...imported, module: { ...imported.module, name: source.name }, primitive: true };
  }
  if (fix.length > 0) throw new UsageError('`--fix` is for ONNX models: a folder says its inputs itself');
  const { importFolder } = await import('../frontend/huggingface/import.ts');
  const imported = importFolder(source.file === undefined ? files : renamed(files, source.file), diagnostics);
  return imported === undefined ? undefined : { ...imported, primitive: false };
}

/** `input=1,0` as the elements an input has in every run. */
function fixedOf(texts: readonly string[]): ReadonlyMap<string, readonly number[]> {
  return new Map(
    texts.map((text) => {
      const at = text.lastIndexOf('=');
      const values = text.slice(at + 1).split(',').map(Number);
      if (at < 1 || values.some(Number.isNaN)) throw new UsageError(`\`--fix ${text}\` is not the name of an input, \`=\` and numbers`);
      return [text.slice(0, at), values] as const;
    }),
  );
}

/** A folder in which `config.json` is the file the user named. */
const renamed = (files: ReturnType<typeof nodeFiles>, config: string): ReturnType<typeof nodeFiles> => {
  const real = (path: string): string => (path === 'config.json' ? config : path);
  return { ...files, size: (path) => files.size(real(path)), read: (path, offset, length) => files.read(real(path), offset, length) };
};

/** A machine by name, or from a file. */
export function findMachine(name: string): Machine {
  const known = machines.get(name);
  if (known !== undefined) return known;
  if (!name.endsWith('.json')) throw new UsageError(`there is no machine \`${name}\`; known: ${[...machines.keys()].join(', ')}, or a .json file`);
  const parsed = parseMachine(machineJson(name));
  if ('problems' in parsed) throw new UsageError(`\`${name}\` does not describe a machine: ${parsed.problems.join('; ')}`);
  return parsed.machine;
}

function machineJson(path: string): unknown {
  try {
    return JSON.parse(readText(path));
  } catch (error) {
    if (error instanceof SyntaxError) throw new UsageError(`\`${path}\` is not JSON: ${error.message}`);
    throw error;
  }
}

/** A file the user named, whole. */
export function readBytes(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new UsageError(`\`${path}\` cannot be read: ${error instanceof Error && 'code' in error ? String(error.code) : String(error)}`);
  }
}

export const readText = (path: string): string => readBytes(path).toString('utf8');

/** Custom layers from plug-in modules: every export that is a definition. */
export async function loadPlugins(paths: readonly string[]): Promise<readonly CustomLayer[]> {
  const found: CustomLayer[] = [];
  for (const path of paths) {
    const { importPlugin } = await import('./plugin.ts');
    for (const layer of await importPlugin(resolve(path))) {
      if (found.some(({ name }) => name === layer.name)) throw new UsageError(`two custom layers are called \`${layer.name}\``);
      found.push(layer);
    }
  }
  return found;
}
