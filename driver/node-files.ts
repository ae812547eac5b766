import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, realpathSync } from 'node:fs';
import { isAbsolute, join, relative, sep } from 'node:path';
import { FileRefused, type Files } from '../frontend/files.ts';

/**
 * A folder on disk. A path must stay inside it, lead through no symbolic link, and end at a regular file with one name
 * (the rules ONNX sets for external data); `allowLinks` drops the rule on links, for model caches made of them.
 */
export function nodeFiles(folder: string, allowLinks: boolean): Files & { readonly close: () => void } {
  const root = realpathSync(folder);
  const open = new Map<string, { fd: number; size: number }>();

  const check = (path: string): void => {
    if (path === '' || path.includes('\0') || isAbsolute(path) || path.split(/[\\/]/).includes('..')) throw new FileRefused(path, 'the path leaves the model\'s folder');
    let at = root;
    for (const part of path.split(/[\\/]/)) {
      at = join(at, part);
      if (!allowLinks && lstatSync(at).isSymbolicLink()) throw new FileRefused(path, `\`${relative(root, at)}\` is a symbolic link (\`--allow-links\` permits them)`);
    }
    const real = realpathSync(at);
    if (!allowLinks && real !== root && !real.startsWith(root + sep)) throw new FileRefused(path, 'the path leaves the model\'s folder');
  };

  const opened = (path: string): { fd: number; size: number } => {
    const known = open.get(path);
    if (known !== undefined) return known;
    check(path);
    const fd = openSync(join(root, path), constants.O_RDONLY | (allowLinks ? 0 : constants.O_NOFOLLOW));
    const stat = fstatSync(fd);
    const refuse = (why: string): never => {
      closeSync(fd);
      throw new FileRefused(path, why);
    };
    if (!stat.isFile()) refuse('it is not a regular file');
    if (!allowLinks && stat.nlink > 1) refuse('the file has another name as well, a hard link (`--allow-links` permits them)');
    const entry = { fd, size: stat.size };
    open.set(path, entry);
    return entry;
  };

  return {
    size: (path) => {
      try {
        return opened(path).size;
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw asRefused(path, error);
      }
    },
    read: (path, offset, length, room) => {
      try {
        const { fd, size } = opened(path);
        if (offset + length > size) throw new FileRefused(path, `the file ends at byte ${size}`);
        const bytes = room ?? new Uint8Array(length);
        for (let done = 0; done < length; ) {
          const got = readSync(fd, bytes, done, Math.min(length - done, readMax), offset + done);
          if (got === 0) throw new FileRefused(path, `the file ended early, at byte ${offset + done}`);
          done += got;
        }
        return bytes;
      } catch (error) {
        throw asRefused(path, error);
      }
    },
    close: () => {
      for (const { fd } of open.values()) closeSync(fd);
      open.clear();
    },
  };
}

/** Node reads less than 2^31 bytes a call. */
const readMax = 2 ** 30;

const errnoOf = (error: unknown): string => (error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '');
const isMissing = (error: unknown): boolean => ['ENOENT', 'ENOTDIR'].includes(errnoOf(error));

/** What the operating system says, as a refusal. */
function asRefused(path: string, error: unknown): unknown {
  const code = errnoOf(error);
  return code === '' ? error : new FileRefused(path, isMissing(error) ? 'there is no such file' : `it cannot be opened (${code})`);
}
