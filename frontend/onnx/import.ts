import type { Diagnostics } from '../../diagnostics/diagnostic.ts';
import type { CustomLayer } from '../../ir/graph/custom.ts';
import type { GraphModule } from '../../ir/graph/module.ts';
import type { TensorStore } from '../../ir/weights.ts';
import { FileRefused, type Files } from '../files.ts';
import { GraphImport } from './graph-import.ts';
import { type OnnxModel, readOnnx } from './proto.ts';

/**
 * Reads an ONNX file as a module of primitives over named sizes: shapes and integers made of them are worked out, functions are
 * inlined, operators that are made of others are taken apart. Nothing is recognised yet. Every problem is reported (E1001 to
 * E1005, E3001, E3002); then there is no module.
 */
export function importOnnx(files: Files, path: string, layers: readonly CustomLayer[], diagnostics: Diagnostics): { readonly module: GraphModule; readonly store: TensorStore } | undefined {
  const model = readOnnx(files, path, diagnostics);
  return model === undefined ? undefined : importModel(model, files, layers, diagnostics);
}

/** The same of a model that has been read. */
export function importModel(model: OnnxModel, files: Files, layers: readonly CustomLayer[], diagnostics: Diagnostics): { readonly module: GraphModule; readonly store: TensorStore } | undefined {
  try {
    return new GraphImport(model, files, layers).run(diagnostics);
  } catch (error) {
    if (!(error instanceof FileRefused)) throw error;
    diagnostics.report({ code: 'E1002', message: `\`${error.path}\`: ${error.message}`, origin: { kind: 'file', path: error.path } });
    return undefined;
  }
}
