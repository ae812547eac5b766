import { type Diagnostics, type Origin, sourcesOf } from '../diagnostics/diagnostic.ts';
import { allOps, type GraphModule, type GraphOp } from '../ir/graph/module.ts';
import type { TensorStore } from '../ir/weights.ts';
import { nearMisses } from '../passes/recognise/recognise.ts';

/** Blocks of a recognised source graph: those found, by kind, and those nearly found, each with what stopped it. `share`: of all of them, those found. */
export type Recognition = {
  readonly blocks: Readonly<Record<string, number>>;
  readonly nearMisses: readonly { readonly kind: string; readonly node: string; readonly matched: readonly string[]; readonly stoppedAt: string; readonly expected: string; readonly actual: string; readonly help: string }[];
  readonly share: number;
};

/** What the kinds of recognised ops are called. */
const kinds = { tattention: 'attention', tnorm: 'norm', trope: 'rope', tactivate: 'activation', tmoe: 'mixture of experts' } as const;

export function recognitionOf(module: GraphModule, store: TensorStore): Recognition {
  const ops = [...allOps(module.body)];
  const found = Object.entries(kinds).map(([kind, name]) => [name, ops.filter((op) => op.kind === kind).length] as const);
  const missed = nearMisses(module, store).map(({ kind, op, matched, stop, expected, actual, help }) => ({
    kind, node: nodeOf(op), matched: [...new Set(matched.flatMap((each) => namesOf(each.origin)))], stoppedAt: stop === undefined ? '' : nodeOf(stop), expected, actual, help,
  }));
  const total = found.reduce((sum, [, count]) => sum + count, 0);
  return { blocks: Object.fromEntries(found), nearMisses: missed, share: total + missed.length === 0 ? 1 : total / (total + missed.length) };
}

const namesOf = (origin: Origin): readonly string[] => sourcesOf(origin).flatMap((source) => (source.kind === 'onnx' ? [source.node] : []));

/** The source node an op comes from, and its operator. */
function nodeOf(op: GraphOp): string {
  const node = sourcesOf(op.origin).at(-1);
  return node?.kind === 'onnx' ? `\`${node.node}\` (${node.op})` : `a \`${op.kind}\``;
}

/** Reports that fewer blocks were recognised than a user asks for (E3004). */
export function reportShare({ share, nearMisses: missed }: Recognition, required: number, diagnostics: Diagnostics): void {
  if (share >= required) return;
  const percent = (of: number): string => `${Math.floor(of * 1000) / 10} %`;
  diagnostics.report({
    code: 'E3004', message: `${percent(share)} of the blocks are recognised, and \`--require-fusion\` asks for ${percent(required)}`, origin: { kind: 'none' },
    notes: missed.slice(0, 8).map(({ kind, node, actual }) => ({ text: `${kind} around ${node}: ${actual}` })),
    help: '`--explain recognition` shows how far each was followed, and what to change',
  });
}

/** The explanation as text: what was found, then every near miss with how far it was followed. */
export function recognitionText({ blocks, nearMisses: missed, share }: Recognition): string {
  const lines = missed.flatMap(({ kind, node, matched, stoppedAt, expected, actual, help }) => [
    '', `${kind} around ${node}: ${actual}`,
    `  matched   ${matched.length} ${matched.length === 1 ? 'node' : 'nodes'}: ${matched.slice(0, 6).map((name) => `\`${name}\``).join(', ')}${matched.length > 6 ? `, ${matched.length - 6} more` : ''}`,
    ...(stoppedAt === '' ? [] : [`  stopped   at ${stoppedAt}`]),
    `  expected  ${expected}`, `  help      ${help}`,
  ]);
  return [`recognised ${Object.entries(blocks).map(([name, count]) => `${count} ${name}`).join(', ')}; ${missed.length} nearly: ${(100 * share).toFixed(1)} %`, ...lines].join('\n');
}
