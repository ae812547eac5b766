import { readFileSync } from 'node:fs';
import { Diagnostics } from '../../../diagnostics/diagnostic.ts';
import type { TileModule } from '../../../ir/tile/module.ts';
import { parseTile } from '../../../ir/tile/parse.ts';
import type { StepTables } from '../../../isa-spec/step-block.ts';

export const textOf = (name: string): string => readFileSync(new URL(name, import.meta.url), 'utf8');

/** The module of a text that has one. */
export const moduleOf = (text: string): TileModule => {
  const diagnostics = new Diagnostics();
  const module = parseTile(text, 'test.tir', diagnostics);
  if (module === undefined) throw new Error(diagnostics.all.map(({ message }) => message).join('\n'));
  return module;
};

/** A step of `tokens` rows, all of them sampled, with nothing in its tables but what is given. */
export const stepOf = (tokens: number, tables: Partial<StepTables> = {}): StepTables => ({
  entry: 0, counts: { tokens, sequences: tables.worklist?.length ?? 0, samples: tokens, memory: 0 },
  ids: [], positions: [], types: [], slots: [], samples: [], worklist: [], pages: [], memorySlots: [], memoryWorklist: [], memoryPages: [], ...tables,
});
