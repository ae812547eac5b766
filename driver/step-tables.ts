import { memoryOf, type Step } from '../ir/step.ts';
import type { StepTables, WorkEntry } from '../isa-spec/step-block.ts';

/** The pages of a sequence: of its own rows, and of its memory. */
type PagesOf = (id: number) => { readonly own: readonly number[]; readonly memory: readonly number[] };

/**
 * The tables of a step whose sequences have the given pages, for entry 0. Row p of a sequence, or of its memory, is row p mod pageRows of page
 * floor(p / pageRows) of it; a page is `pageRows` rows of keys, then as many of values.
 */
export const tablesOf = (step: Step, pagesOf: PagesOf, pageRows: number): StepTables => {
  const [own, memory] = [new Lists(pageRows), new Lists(pageRows)];
  for (const { id, rows, past, memory: others = 0 } of step.sequences) {
    const pages = pagesOf(id);
    own.add({ rows, firstPosition: past, keys: past + rows }, past, pages.own);
    memory.add({ rows, firstPosition: past, keys: others }, 0, pages.memory);
  }
  const { ids, positions, types, samples } = step;
  const hasMemory = memoryOf(step) > 0;
  return {
    entry: 0, counts: { tokens: own.rows, sequences: step.sequences.length, samples: samples.length, memory: memoryOf(step) },
    ids, positions, types, slots: own.slots, samples, worklist: own.worklist, pages: own.pages,
    memorySlots: memory.slots, memoryWorklist: hasMemory ? memory.worklist : [], memoryPages: memory.pages,
  };
};

/** Work entries and pages of sequences, one after the other, and the pool rows of what they bring. */
class Lists {
  readonly worklist: WorkEntry[] = [];
  readonly slots: number[] = [];
  readonly pages: number[] = [];
  rows = 0;
  readonly #pageRows: number;

  constructor(pageRows: number) {
    this.#pageRows = pageRows;
  }

  /** A sequence with all its keys; those from `past` on are this step's. */
  add(entry: Omit<WorkEntry, 'firstRow' | 'firstPage'>, past: number, pages: readonly number[]): void {
    const { keys, rows } = entry;
    this.worklist.push({ firstRow: this.rows, ...entry, firstPage: this.pages.length });
    const own = pages.slice(0, Math.ceil(keys / this.#pageRows));
    for (let p = past; p < keys; p++) this.slots.push((own[Math.floor(p / this.#pageRows)] as number) * 2 * this.#pageRows + (p % this.#pageRows));
    this.pages.push(...own);
    this.rows += rows;
  }
}
