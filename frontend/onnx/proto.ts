import type { Diagnostics } from '../../diagnostics/diagnostic.ts';
import { FileRefused, type Files } from '../files.ts';
import { checkModel } from './check.ts';
import { toModel } from './convert.ts';
import type { OnnxModel } from './model.ts';
import { Malformed, readMessage } from './wire.ts';

export type { OnnxModel } from './model.ts';

/**
 * Reads an ONNX file, through windows: tensor data above a kilobyte stays in its file. Whatever is wrong with it is reported
 * (E1001 to E1004); then there is no model.
 */
export function readOnnx(files: Files, path: string, diagnostics: Diagnostics): OnnxModel | undefined {
  try {
    const size = files.size(path);
    if (size === undefined) throw new Malformed('E1001', 'there is no such file');
    if (size === 0) throw new Malformed('E1001', 'it is empty', 0);
    return checkModel(toModel(readMessage(files, path, size, 'model'), { files, path }));
  } catch (error) {
    if (error instanceof FileRefused) diagnostics.report({ code: 'E1001', message: `\`${error.path}\`: ${error.message}`, origin: { kind: 'file', path: error.path } });
    else if (error instanceof Malformed) diagnostics.report({ code: error.code, message: `\`${path}\`: ${error.message}`, origin: { kind: 'file', path, ...(error.offset === undefined ? {} : { offset: error.offset }) } });
    else throw error;
    return undefined;
  }
}
