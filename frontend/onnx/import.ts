import type { Diagnostics } from '../../diagnostics/diagnostic.ts';
import type { CustomLayer } from '../../ir/graph/custom.ts';
import type { GraphModule } from '../../ir/graph/module.ts';
import type { TensorStore } from '../../ir/weights.ts';
import { FileRefused, type Files } from '../files.ts';
import { GraphImport } from './graph-import.ts';
import { type OnnxModel, readOnnx } from './proto.ts';
import { type Fixed, switchesOf } from './switches.ts';

export type { Fixed } from './switches.ts';

/** `entry`: the inputs that were given a value, by the caller or because the model is several in one. */
type ImportedOnnx = { readonly module: GraphModule; readonly store: TensorStore; readonly entry: Fixed };

/**
 * Reads an ONNX file as a module of primitives over named sizes: shapes and integers made of them are worked out, functions are
 * inlined, operators that are made of others are taken apart. Nothing is recognised yet. Every problem is reported (E1001 to
 * E1005, E3001, E3002); then there is no module.
 *
 * `fixed` gives inputs by name the elements they will have in every run; the module does not have these. A model that is several in
 * one, told apart by an input of one boolean (`use_cache_branch`), is imported as the one that reads most inputs, with W1007
 * saying how to get the other.
 */
export function importOnnx(files: Files, path: string, layers: readonly CustomLayer[], diagnostics: Diagnostics, fixed: Fixed = new Map()): ImportedOnnx | undefined {
  const model = readOnnx(files, path, diagnostics);
  if (model === undefined) return undefined;
  const unknown = [...fixed.keys()].find((name) => !model.graph.inputs.some((input) => input.name === name));
  if (unknown !== undefined) {
    diagnostics.report({ code: 'E1003', message: `\`${path}\` has no input \`${unknown}\` to fix; it has ${model.graph.inputs.map(({ name }) => `\`${name}\``).join(', ')}`, origin: { kind: 'file', path } });
    return undefined;
  }
  const switches = switchesOf(model).filter(({ input }) => !fixed.has(input));
  for (const { input, taken } of switches) {
    const message = `\`${path}\` is two models in one, told apart by input \`${input}\`; the one for ${taken} is taken, which reads more inputs`;
    diagnostics.report({ code: 'W1007', message, origin: { kind: 'file', path }, help: `\`--fix ${input}=${1 - taken}\` compiles the other` });
  }
  return importModel(model, files, layers, diagnostics, new Map([...fixed, ...switches.map(({ input, taken }) => [input, [taken]] as const)]));
}

/** The same of a model that has been read. */
export function importModel(model: OnnxModel, files: Files, layers: readonly CustomLayer[], diagnostics: Diagnostics, entry: Fixed = new Map()): ImportedOnnx | undefined {
  try {
    const imported = new GraphImport(model, files, layers, entry).run(diagnostics);
    return imported === undefined ? undefined : { ...imported, entry };
  } catch (error) {
    if (!(error instanceof FileRefused)) throw error;
    diagnostics.report({ code: 'E1002', message: `\`${error.path}\`: ${error.message}`, origin: { kind: 'file', path: error.path } });
    return undefined;
  }
}
