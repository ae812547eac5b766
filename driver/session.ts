import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, extname, join, resolve } from 'node:path';
import type { Diagnostics } from '../diagnostics/diagnostic.ts';
import type { CustomLayer } from '../ir/graph/custom.ts';
import { parseMachine } from '../isa-spec/machine-json.ts';
import type { Machine } from '../isa-spec/machine.ts';
import { machines } from '../isa-spec/machines/named.ts';
import type { Imported } from './compile.ts';
import { nodeFiles } from './node-files.ts';

/** What a command refuses because of how it was called: exit code 2. */
export class UsageError extends Error {}

/** A user's model, found: its folder and the file in it, if it is one; where artefacts go, and their name. */
export type Source = { readonly folder: string; readonly file: string | undefined; readonly name: string };

/** Finds a model: an `.onnx` file, a folder with a `config.json`, or that file itself. */
export function findSource(path: string): Source {
  const full = resolve(path);
  if (!existsSync(full)) throw new UsageError(`there is no \`${path}\``);
  if (statSync(full).isDirectory()) return { folder: full, file: undefined, name: 'model' };
  if (extname(full) === '.onnx') return { folder: dirname(full), file: basename(full), name: basename(full, '.onnx') };
  if (extname(full) === '.json') return { folder: dirname(full), file: basename(full), name: basename(full, '.json') };
  throw new UsageError(`\`${path}\` is not a model: give an .onnx file, a folder with a config.json, or a config.json`);
}

/** Reads a model with the frontend for it. Problems go to `diagnostics`. */
export async function importSource(source: Source, layers: readonly CustomLayer[], allowLinks: boolean, diagnostics: Diagnostics): Promise<Imported | undefined> {
  const files = nodeFiles(source.folder, allowLinks);
  if (source.file?.endsWith('.onnx') === true) {
    const { importOnnx } = await import('../frontend/onnx/import.ts');
    const imported = importOnnx(files, source.file, layers, diagnostics);
    return imported === undefined ? undefined : { ...imported, primitive: true };
  }
  const { importFolder } = await import('../frontend/huggingface/import.ts');
  const imported = importFolder(source.file === undefined ? files : renamed(files, source.file), diagnostics);
  return imported === undefined ? undefined : { ...imported, primitive: false };
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
  const parsed = parseMachine(JSON.parse(readFileSync(name, 'utf8')));
  if ('problems' in parsed) throw new UsageError(`\`${name}\` does not describe a machine: ${parsed.problems.join('; ')}`);
  return parsed.machine;
}

/** Writes files into a folder so that each appears whole or not at all. A piecewise file's pieces are written as they come. */
export class Artefacts {
  readonly #folder: string;
  readonly #temporary: string[] = [];
  readonly written: { readonly path: string; readonly bytes: number }[] = [];

  constructor(folder: string) {
    this.#folder = folder;
  }

  write(name: string, pieces: Iterable<Uint8Array | string>): void {
    mkdirSync(this.#folder, { recursive: true });
    const path = join(this.#folder, name);
    const temporary = `${path}.${randomBytes(4).toString('hex')}.part`;
    this.#temporary.push(temporary);
    let bytes = 0;
    writeFileSync(temporary, '');
    for (const piece of pieces) {
      writeFileSync(temporary, piece, { flag: 'a' });
      bytes += typeof piece === 'string' ? Buffer.byteLength(piece) : piece.length;
    }
    renameSync(temporary, path);
    this.written.push({ path, bytes });
  }

  /** Removes what was begun and not finished. */
  discard(): void {
    for (const path of this.#temporary) rmSync(path, { force: true });
  }
}

/** Custom layers from plug-in modules: every export that is a definition. */
export async function loadPlugins(paths: readonly string[]): Promise<readonly CustomLayer[]> {
  const found: CustomLayer[] = [];
  for (const path of paths) {
    const { importPlugin } = await import('./plugin.ts');
    found.push(...(await importPlugin(resolve(path))));
  }
  return found;
}

