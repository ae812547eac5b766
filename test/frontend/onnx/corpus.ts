import { closeSync, existsSync, openSync, readFileSync, readSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Files } from '../../../frontend/files.ts';

export const corpus = '../shared/corpus/onnx';
export const hasCorpus = existsSync(corpus);

/** A folder of the test's own disk, unguarded. */
export function folderFiles(folder: string): Files {
  return {
    size: (path) => (existsSync(join(folder, path)) && statSync(join(folder, path)).isFile() ? statSync(join(folder, path)).size : undefined),
    read: (path, offset, length) => {
      const bytes = new Uint8Array(length);
      const file = openSync(join(folder, path), 'r');
      try {
        let at = 0;
        while (at < length) {
          const got = readSync(file, bytes, at, length - at, offset + at);
          if (got === 0) throw new Error(`${path} ends at ${offset + at}`);
          at += got;
        }
      } finally {
        closeSync(file);
      }
      return bytes;
    },
  };
}

/** Every .onnx file below a folder of the corpus, sorted. */
export function onnxFiles(folder: string): readonly string[] {
  return readdirSync(join(corpus, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.onnx'))
    .map((name) => join(folder, name))
    .toSorted();
}

export type ManifestRow = { readonly file: string; readonly what: string };

/** The corpus' own account of its files. */
export function manifest(): readonly ManifestRow[] {
  const [head = '', ...rows] = readFileSync(join(corpus, 'MANIFEST.tsv'), 'utf8').trimEnd().split('\n');
  const what = head.split('\t').indexOf('what');
  return rows.map((row) => ({ file: row.split('\t')[0] ?? '', what: row.split('\t')[what] ?? '' }));
}
