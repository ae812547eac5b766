import type { Machine } from '../machine.ts';
import { sohu, sohu8, sohu8Wide } from './sohu.ts';
import { tiny, tiny2 } from './tiny.ts';

/** The machines that come with the specification, by name. */
export const machines: ReadonlyMap<string, Machine> = new Map([sohu, sohu8, sohu8Wide, tiny, tiny2].map((machine) => [machine.name, machine]));
