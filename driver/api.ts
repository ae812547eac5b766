/** The package's one entry: compile a model from code, and define custom layers. */
export { type Diagnostic, Diagnostics } from '../diagnostics/diagnostic.ts';
export { type Files, memoryFiles } from '../frontend/files.ts';
export { importFolder } from '../frontend/huggingface/import.ts';
export { importOnnx } from '../frontend/onnx/import.ts';
export { type CustomLayer, defineLayer } from '../ir/graph/custom.ts';
export { readContainer, writeContainer } from '../isa-spec/container.ts';
export type { Machine } from '../isa-spec/machine.ts';
export { machines } from '../isa-spec/machines/named.ts';
export { type Compiled, compile, type Imported, type Target } from './compile.ts';
export { boundsOf, steadyStep, type Workload, workloadOf } from './workload.ts';
