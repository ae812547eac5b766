import type { Step } from '../ir/step.ts';
import type { StepTables, WorkEntry } from '../isa-spec/step-block.ts';

/**
 * The tables of a step whose sequences have the given pages, for entry 0. Row p of a sequence is row p mod pageRows of its page
 * floor(p / pageRows); a page is `pageRows` rows of keys, then as many of values.
 */
export const tablesOf = (step: Step, pagesOf: (id: number) => readonly number[], pageRows: number): StepTables => {
  const worklist: WorkEntry[] = [];
  const slots: number[] = [];
  const pages: number[] = [];
  for (const { id, rows, past } of step.sequences) {
    const keys = past + rows;
    worklist.push({ firstRow: slots.length, rows, keys, firstPosition: past, firstPage: pages.length });
    const own = pagesOf(id).slice(0, Math.ceil(keys / pageRows));
    for (let p = past; p < keys; p++) slots.push(own[Math.floor(p / pageRows)]! * 2 * pageRows + (p % pageRows));
    pages.push(...own);
  }
  const { ids, positions, types, samples } = step;
  return { entry: 0, counts: { tokens: slots.length, sequences: worklist.length, samples: samples.length }, ids, positions, types, slots, samples, worklist, pages };
};
