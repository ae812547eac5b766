import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { Diagnostics } from '../../../diagnostics/diagnostic.ts';
import { memoryFiles } from '../../../frontend/files.ts';
import { importModel } from '../../../frontend/onnx/import.ts';
import { type OnnxModel, readOnnx } from '../../../frontend/onnx/proto.ts';
import { anonymous } from '../../../ir/graph/anonymous.ts';
import { printGraph } from '../../../ir/graph/print.ts';
import { roll } from '../../../passes/roll.ts';
import { asRows } from '../../passes/raise/as-rows.ts';
import { variant } from './variants.ts';

const files = (file: string) => memoryFiles(new Map([['model.onnx', new Uint8Array(readFileSync(file))]]));

function read(file: string): OnnxModel {
  const diagnostics = new Diagnostics();
  const model = readOnnx(files(file), 'model.onnx', diagnostics);
  if (model === undefined) throw new Error(diagnostics.all.map(({ message }) => message).join('; '));
  return model;
}

/** The rows of a model, up to names. */
function rowsOf(file: string, model: OnnxModel): string {
  const diagnostics = new Diagnostics();
  const imported = importModel(model, files(file), [], diagnostics);
  const rows = imported === undefined ? undefined : asRows(imported.module, imported.store, diagnostics);
  if (rows === undefined || diagnostics.hasErrors) return diagnostics.all.map(({ message }) => message).join('; ');
  return printGraph(anonymous(roll(rows)));
}

/** So many variants of a model that compute the same are the same rows. */
export const expectInvariant = (file: string, variants: number): void => {
  const model = read(file);
  const wanted = rowsOf(file, model);
  expect(wanted).toMatch(/attention\(/);
  for (let seed = 0; seed < variants; seed++) expect([seed, rowsOf(file, variant(model, seed))]).toEqual([seed, wanted]);
};
