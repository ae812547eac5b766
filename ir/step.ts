/** One sequence of a step: `rows` new rows after `past` rows already cached under `id`, and `memory` rows (none if absent) they may attend to besides. */
export type StepSequence = { readonly id: number; readonly rows: number; readonly past: number; readonly memory?: number };

/**
 * What one step works on: a ragged batch. Row lists hold one element a row, sequences in order, rows of a sequence in order.
 * `samples` are the rows whose outputs `sampleRows` picks, ascending.
 */
export type Step = {
  readonly sequences: readonly StepSequence[];
  readonly ids: readonly number[];
  readonly positions: readonly number[];
  readonly types: readonly number[];
  readonly samples: readonly number[];
  /** Activations by the name of the input, row-major, of rows or of rows of memory; not there where the module takes none. */
  readonly rows?: ReadonlyMap<string, Float64Array>;
};

/** Whether a sequence goes on by one row from what is cached. */
export const isDecoding = ({ rows, past }: StepSequence): boolean => rows === 1 && past > 0;

/** Rows of memory of a step. */
export const memoryOf = (step: Step): number => step.sequences.reduce((sum, { memory = 0 }) => sum + memory, 0);

/** Rows of a step. */
export const tokensOf = (step: Step): number => step.sequences.reduce((sum, sequence) => sum + sequence.rows, 0);
