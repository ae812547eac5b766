import { decoders } from './decoders.ts';
import { encoders } from './encoders.ts';
import { mixtures } from './mixtures.ts';
import type { Family } from './family.ts';

/** One row a family; `build.ts` makes all of them. To add one, see docs/add-a-family.md. */
export const families: readonly Family[] = [...decoders, ...mixtures, ...encoders];
