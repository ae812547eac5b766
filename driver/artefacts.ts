import { randomBytes } from 'node:crypto';
import { closeSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { UsageError } from './session.ts';

type Written = { readonly path: string; readonly bytes: number };

/** Signals whose default is to end the process where it stands. */
const endings = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Files of one folder that appear together and whole, or not at all: each is written under another name, and `publish` gives them
 * theirs. A piecewise file's pieces are written as they come. Who ends the process by a signal finds nothing half done.
 */
export class Artefacts {
  readonly #folder: string;
  readonly #begun: { readonly temporary: string; readonly path: string; bytes: number }[] = [];
  readonly #onSignal = (signal: NodeJS.Signals): void => {
    this.discard();
    process.kill(process.pid, signal);
  };

  constructor(folder: string) {
    this.#folder = folder;
    for (const signal of endings) process.once(signal, this.#onSignal);
  }

  /** Begins a file. The other work of the process, signals among it, gets its turn between pieces. */
  async add(name: string, pieces: Iterable<Uint8Array | string>): Promise<void> {
    const path = join(this.#folder, name);
    const file = { temporary: partOf(path), path, bytes: 0 };
    const fd = writable(this.#folder, () => {
      mkdirSync(this.#folder, { recursive: true });
      return openSync(file.temporary, 'wx');
    });
    this.#begun.push(file);
    try {
      for (const piece of pieces) {
        file.bytes += writable(this.#folder, () => writeAll(fd, piece));
        await turn();
      }
    } finally {
      closeSync(fd);
    }
  }

  /** All files get their names. `discard` comes last in any case. */
  publish(): readonly Written[] {
    writable(this.#folder, () => {
      for (const { temporary, path } of this.#begun) renameSync(temporary, path);
    });
    const written = this.#begun.map(({ path, bytes }) => ({ path, bytes }));
    this.#begun.length = 0;
    return written;
  }

  /** Removes what was begun and has not its name yet. */
  discard(): void {
    for (const { temporary } of this.#begun) rmSync(temporary, { force: true });
    for (const signal of endings) process.off(signal, this.#onSignal);
  }
}

/** One whole file, at once. */
export function writeWhole(folder: string, name: string, text: string): void {
  const path = join(folder, name);
  writable(folder, () => {
    mkdirSync(folder, { recursive: true });
    const temporary = partOf(path);
    const fd = openSync(temporary, 'wx');
    try {
      writeAll(fd, text);
      renameSync(temporary, path);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    } finally {
      closeSync(fd);
    }
  });
}

const partOf = (path: string): string => `${path}.${randomBytes(4).toString('hex')}.part`;

function writeAll(fd: number, piece: Uint8Array | string): number {
  const bytes = typeof piece === 'string' ? Buffer.from(piece) : piece;
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
  return bytes.length;
}

/** A folder that cannot be written to is a matter of how the command was called. */
function writable<T>(folder: string, write: () => T): T {
  try {
    return write();
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && typeof error.code === 'string')) throw error;
    throw new UsageError(`cannot write to \`${folder}\` (${error.code}); \`--out DIR\` says where to write`);
  }
}
