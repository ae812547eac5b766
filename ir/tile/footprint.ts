import { formatBytes } from '../../isa-spec/fields.ts';
import type { Buffer } from './module.ts';

/** Lines between the starts of two rows of a buffer; a list is packed, so its one row is all of it. */
export const pitchLines = (buffer: Pick<Buffer, 'format' | 'columns'>, lineBytes: number): number => Math.ceil((buffer.columns * formatBytes[buffer.format]) / lineBytes);

/** Lines one ring slot of a buffer takes. */
export const slotLines = (buffer: Buffer, lineBytes: number): number => buffer.rows * pitchLines(buffer, lineBytes);

/** Lines a buffer takes, all its slots. */
export const bufferLines = (buffer: Buffer, lineBytes: number): number => buffer.depth * slotLines(buffer, lineBytes);
