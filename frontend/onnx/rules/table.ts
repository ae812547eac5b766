import { along } from './along.ts';
import { attentions, previews } from './attention.ts';
import { constants } from './constants.ts';
import { contribAttentions } from './contrib-attention.ts';
import { contribBiases } from './contrib-bias.ts';
import { groupedAttentions } from './contrib-gqa.ts';
import { packedAttentions } from './contrib-packed.ts';
import { contrib } from './contrib.ts';
import { elementwise } from './elementwise.ts';
import { mixtures } from './experts.ts';
import { gathers } from './gather.ts';
import { norms } from './norm.ts';
import { packedWeights } from './packed.ts';
import { products } from './products.ts';
import { codeProducts, contribCodes } from './quantised-ops.ts';
import { dynamicQuantisation, quantisation } from './quantised.ts';
import type { Rule, Rules } from './rule.ts';
import { pads } from './pad.ts';
import { resizes } from './resize.ts';
import { scatters } from './scatter.ts';
import { sequences } from './sequences.ts';
import { views } from './views.ts';
import { windowed } from './windows.ts';

/** What operators mean, by domain ('' is ai.onnx), then by name. */
const domains: ReadonlyMap<string, ReadonlyMap<string, Rule>> = new Map([
  ['', rulesOf({ ...elementwise, ...views, ...constants, ...gathers, ...scatters, ...products, ...windowed, ...pads, ...resizes, ...along, ...sequences, ...norms, ...attentions, ...quantisation, ...dynamicQuantisation, ...codeProducts })],
  ['ai.onnx.preview', rulesOf(previews)],
  ['com.microsoft', rulesOf({ ...contrib, ...contribBiases, ...contribAttentions, ...groupedAttentions, ...packedAttentions, ...packedWeights, ...mixtures, ...quantisation, ...contribCodes })],
]);

export const ruleOf = (domain: string, op: string): Rule | undefined => domains.get(domain)?.get(op);

/** A map, as the names come from files. */
function rulesOf(rules: Rules): ReadonlyMap<string, Rule> {
  return new Map(Object.entries(rules));
}
