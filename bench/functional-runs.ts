import { attentions } from './attentions.ts';
import type { Measurement, Way } from './measure.ts';
import { products } from './products.ts';

/** Run from a bundle, in a process of its own for each way, so that code is compiled for one format: `mm e4m3`, `attn onnxruntime`; prints seconds. */
export const measurements = { mm: products, attn: attentions } satisfies Record<string, Measurement>;

const [, , what, way] = process.argv;
if (what === 'mm' || what === 'attn') console.log(JSON.stringify(await measurements[what].measure(way as Way)));
