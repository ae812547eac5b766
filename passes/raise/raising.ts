import type { ValueId } from '../../ir/types.ts';
import type { Elements } from './elements.ts';
import type { Known } from './known.ts';
import type { RowNode, Sample, View } from './rows.ts';
import type { Source } from './source.ts';

/** What a lift may ask of the raising it is part of. */
export type Raising = {
  readonly source: Source;
  readonly known: Known;
  /** An input's elements seen some way, where a value is no more than that; else undefined. */
  readonly elements: (value: ValueId) => Elements | undefined;
  /** A value as rows seen some way; undefined when it could not be raised, which has been told then. */
  readonly view: (value: ValueId) => View | undefined;
  /** Notes that rows of a kind are sampled; false when the module samples others already. */
  readonly samples: (sample: Sample) => boolean;
  /** Notes that sequences of more rows than this are none the source takes as they are. */
  readonly limit: (positions: number) => void;
  /** Whether a value is an output of the source, and nothing else is made of it. */
  readonly isResult: (value: ValueId) => boolean;
  /** Notes how far back an attention sees in a cache; 0: as far as that goes. */
  readonly sees: (cache: string, window: number) => void;
  /** The name of the cache of keys and values: those that continue a past input, or that are outputs themselves. */
  readonly cacheOf: (keys: string | ValueId, values: string | ValueId, shape: { readonly kvHeads: number; readonly headDim: number }) => string;
};

/** Positions of a source that computes its angles, or has none: nothing in the file says where they end. */
export const unlimitedPositions = 4096;

/** A view; a reason why the op is none; or undefined, when an operand is none and the reason is there. */
export type Lifted = View | string | undefined;

/** The view that shows rows as a source has them whole. */
export const viewOf = (row: RowNode, view: Pick<View, 'layout'>): View => ({ row, layout: view.layout, scale: 1, past: undefined });
