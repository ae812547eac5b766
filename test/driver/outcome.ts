import { expect } from 'vitest';
import { Diagnostics } from '../../diagnostics/diagnostic.ts';
import { targetOf } from '../../driver/commands/compile.ts';
import { compile, type Imported } from '../../driver/compile.ts';
import { defaults } from '../../driver/options.ts';
import { type Files, memoryFiles } from '../../frontend/files.ts';
import { importOnnx } from '../../frontend/onnx/import.ts';
import { stackTrace } from './command.ts';

export type Outcome = 'compiled' | 'refused';

/** Reads and compiles in this process. An exception is a bug, and so is to give up without a word. */
export function outcome(read: (diagnostics: Diagnostics) => Imported | undefined): Outcome {
  const diagnostics = new Diagnostics();
  const imported = read(diagnostics);
  const compiled = imported === undefined || diagnostics.hasErrors ? undefined : compile(imported, targetOf(defaults), diagnostics);
  expect(diagnostics.hasErrors).toBe(compiled === undefined);
  for (const { message } of diagnostics.all) expect(message).not.toMatch(stackTrace);
  return compiled === undefined ? 'refused' : 'compiled';
}

/** The same of the bytes of an ONNX file. */
export const outcomeOf = (onnx: Uint8Array): Outcome =>
  outcome((diagnostics) => {
    const imported = importOnnx(holding('m.onnx', onnx), 'm.onnx', [], diagnostics);
    return imported === undefined ? undefined : { ...imported, primitive: true };
  });

export const holding = (name: string, bytes: Uint8Array): Files => memoryFiles(new Map([[name, bytes]]));
