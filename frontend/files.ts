/**
 * The model's folder as a frontend sees it: synchronous, read-only, by ranges, so that no file has to fit in memory. Paths are
 * relative to the folder, `/` between parts. Whoever implements it decides what may be opened (containment, links, devices) and
 * raises `FileRefused` for the rest; a frontend turns that into a diagnostic.
 */
export type Files = {
  /** Bytes of a regular file, or undefined if there is none of that path. */
  readonly size: (path: string) => number | undefined;
  /** Exactly `length` bytes from `offset` on; in `room`, as long, if they have to be put somewhere. */
  readonly read: (path: string, offset: number, length: number, room?: Uint8Array) => Uint8Array;
};

/** A file that exists but may not or cannot be read as asked; `message` is the reason, lower case, without the path. */
export class FileRefused extends Error {
  readonly path: string;

  constructor(path: string, message: string) {
    super(message);
    this.name = 'FileRefused';
    this.path = path;
  }
}

/** A folder held in memory. */
export function memoryFiles(contents: ReadonlyMap<string, Uint8Array>): Files {
  return {
    size: (path) => contents.get(path)?.length,
    read: (path, offset, length) => {
      const bytes = contents.get(path);
      if (bytes === undefined) throw new FileRefused(path, 'there is no such file');
      if (offset + length > bytes.length) throw new FileRefused(path, `the file ends at byte ${bytes.length}`);
      return bytes.subarray(offset, offset + length);
    },
  };
}
