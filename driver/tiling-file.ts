import type { Diagnostics } from '../diagnostics/diagnostic.ts';
import { type Check, integerFrom, listOf, nameOf, numberFrom, record, text } from '../isa-spec/json.ts';
import type { Question, Questions, Settled } from '../passes/plan/decisions.ts';
import type { Cut } from '../passes/plan/matmul.ts';
import { type Answers, type Homes, parkings } from '../passes/plan/tiling.ts';
import { hastes, lags } from '../passes/tile/parts.ts';
import { tilingSchema } from './explain-tiling.ts';
import type { Mapping } from './mapping.ts';
import { readText } from './session.ts';
import type { Workload } from './workload.ts';

/** A mapping, what a replica serves, and the plan of each kind of stages. */
export type GivenTiling = { readonly mapping: Mapping; readonly workload: Workload; readonly plans: readonly Answers[] };

const count = integerFrom(0, 2 ** 50);
const chips = integerFrom(1, 2 ** 16);
/** What follows from a plan, or led to it. */
const unread: Check<unknown> = (value) => value;

const cut: Check<Cut> = record({ rowTile: count, split: count, groupUnits: count, chunkTiles: count, aside: count });
const settled: { readonly [Q in Question]: Check<Questions[Q]['settled']> } = {
  rows: record({ rowTile: count }), mix: record({ rowTile: count }), product: cut, bins: record({ size: count, ringDepth: count, gate: cut, down: cut }),
};
const kinds = Object.keys(settled) as readonly Question[];

const decision: Check<Settled> = (value, at, problems) => {
  const { kind, settled: what } = (typeof value === 'object' && value !== null ? value : {}) as Partial<Settled>;
  record({ op: text, what: text, kind: nameOf(kinds), of: unread, settled: what !== undefined && kinds.some((one) => one === kind) ? settled[kind as Question] : unread })(value, at, problems);
  return value as Settled;
};

const homes: Check<Homes> = (value, at, problems) => {
  const found = record({ stageBytes: numberFrom(0, 2 ** 50), ringDepth: count, pieceColumns: count, spilled: listOf(text), parts: listOf(record({ first: count, rows: count })), ahead: count, haste: nameOf(hastes), lag: nameOf(lags), parked: nameOf(parkings), lent: numberFrom(0, 2 ** 16), held: listOf(text) })(value, at, problems);
  return found as unknown as Homes;
};

const file = record({
  schema: nameOf([tilingSchema]), machine: unread, mapping: record({ tp: chips, ep: chips, pp: chips, replicas: chips }),
  workload: record({ isl: count, osl: count, batch: count, parts: (value, at, problems) => (value === undefined ? undefined : count(value, at, problems)) }),
  stages: listOf(record({ plan: record({ homes, decisions: listOf(decision), tries: unread }), stages: unread, sram: unread, products: unread, attentions: unread, rings: unread, values: unread })),
});

/** Reads what `--explain tiling --json` prints. Reports E4004 where it is nothing of the kind. */
export function tilingIn(path: string, diagnostics: Diagnostics): GivenTiling | undefined {
  const problems: string[] = [];
  const found = file(jsonOf(readText(path), problems), '', problems);
  if (problems.length === 0) return { mapping: found.mapping, workload: found.workload as Workload, plans: found.stages.map(({ plan: { homes: kept, decisions } }) => ({ homes: kept, decisions })) };
  diagnostics.report({
    code: 'E4004', message: `\`${path}\` is no tiling plan: ${problems.slice(0, 3).join('; ')}${problems.length > 3 ? `; and ${problems.length - 3} more` : ''}`, origin: { kind: 'none' },
    help: 'change what `--explain tiling --json` prints',
  });
  return undefined;
}

function jsonOf(content: string, problems: string[]): unknown {
  try {
    return JSON.parse(content);
  } catch (error) {
    problems.push(`it is not JSON: ${(error as Error).message}`);
    return {};
  }
}
