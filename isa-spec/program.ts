import { formats } from './fields.ts';
import { anything, type Checked, type Check, integerFrom, type Json, listOf, mapOf, nameOf, record, text } from './json.ts';
import { hbmBases, type Queue, queues, stepCounts, type StrideSet } from './instructions.ts';
import type { Machine } from './machine.ts';

const index = integerFrom(0, 2 ** 32 - 1);
const position = integerFrom(0, 2 ** 50);

/** Regions of HBM, the same on every chip (of stages that need different ones, the largest): the loader sets each base register to where it put the region, with its size as the limit. */
export const regionsCheck = listOf(record({ base: nameOf(hbmBases.slice(1) as ('weights' | 'kv' | 'scratch' | 'io')[]), bytes: position }));
export type ProgramRegion = Checked<typeof regionsCheck>[number];

/** Activations the host writes, and results: rows of `columns` elements, `pitch` lines apart, from line `offset` of a base register. */
const end = record({ name: text, base: nameOf(hbmBases), offset: index, pitch: index, columns: index, format: nameOf(formats), rows: nameOf(stepCounts) });
export const ioMapCheck = record({ inputs: listOf(end), outputs: listOf(end), kv: anything });
export type IoMap = Checked<typeof ioMapCheck>;

/** What a semaphore is for. Ids are those of one entry; all chips are alike. */
export const semaphoresCheck = listOf(record({ entry: index, id: integerFrom(1, 255), poster: nameOf(queues), waiter: nameOf(queues), purpose: text }));
export type ProgramSemaphore = Checked<typeof semaphoresCheck>[number];

const labelsOfQueues = record(Object.fromEntries(queues.map((queue) => [queue, listOf(index)])) as Record<Queue, Check<readonly number[]>>);
/** `labels`: op labels and the user's own names they come from. `entries[entry][queue][pc]`: the label of an instruction; all chips are alike. */
export const debugMapCheck = record({ labels: listOf(record({ label: text, sources: listOf(text) })), entries: listOf(labelsOfQueues) });
export type DebugMap = Checked<typeof debugMapCheck>;

/**
 * The largest step an entry takes, by names the compiler chooses (`tokens`, `sequences`, ...), and the chips that run it: all of them, or those of one
 * stage of a pipeline. In a step every chip runs one entry. `lent`: matrix arrays that are the attention unit's while it runs.
 */
export const entriesCheck = listOf(record({ name: text, bounds: mapOf(position), chips: listOf(index), lent: index }));
export type ProgramEntry = Checked<typeof entriesCheck>[number];

/** A queue's words, and its stride sets by number: number 0 is `still` and is there only if others are. */
export type QueueCode = { readonly words: Uint8Array; readonly strideSets: readonly StrideSet[] };
export type ChipCode = Readonly<Record<Queue, QueueCode>>;

/** A compiled model: everything a container holds. */
export type Program = {
  /** Who made it from what: compiler, model, machine, options, ... */
  readonly meta: { readonly [key: string]: Json };
  readonly machine: Machine;
  readonly chips: number;
  readonly regions: readonly ProgramRegion[];
  readonly entries: readonly ProgramEntry[];
  /** By entry, then chip; of chips that do not run the entry, nothing. */
  readonly code: readonly (readonly ChipCode[])[];
  /** Where each weight of the source went. */
  readonly weightMap: Json;
  readonly ioMap: IoMap;
  readonly debugMap: DebugMap;
  /** Values, where they live, who defines and uses them: what the verifier holds the code to. */
  readonly life: Json;
  readonly semaphores: readonly ProgramSemaphore[];
};
