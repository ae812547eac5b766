import type { Machine } from '../../isa-spec/machine.ts';
import { type Bins, type BinsShape, faultOfBins, planBins } from './experts.ts';
import { type Cut, faultOfCut, type MatmulShape, planMatmul, type Staging } from './matmul.ts';
import { faultOfMix, faultOfRows, type MixShape, planMix, planRows, type RowsShape, type RowTile } from './rows.ts';

/** What lowering leaves open, by kind: what it says of a thing, and what is settled of it. */
export type Questions = {
  readonly rows: { readonly of: RowsShape; readonly settled: RowTile };
  readonly mix: { readonly of: MixShape; readonly settled: RowTile };
  readonly product: { readonly of: MatmulShape; readonly settled: Cut };
  readonly bins: { readonly of: BinsShape; readonly settled: Bins };
};
export type Question = keyof Questions;

/** Which thing of which op: labels of the tile program, and what of them. */
export type Where = { readonly op: string; readonly what: string };

/** What is settled of a thing; absent where there is no room for any. */
export type Settled = { readonly [Q in Question]: Where & { readonly kind: Q; readonly settled?: Questions[Q]['settled'] | undefined } }[Question];

/** A decision: what was asked, and what is settled of it. */
export type Decision = { readonly [Q in Question]: Extract<Settled, { readonly kind: Q }> & { readonly of: Questions[Q]['of'] } }[Question];

/** Settles a question; undefined if there is no room for any answer. */
export type Settle = <Q extends Question>(kind: Q, where: Where, of: Questions[Q]['of']) => Questions[Q]['settled'] | undefined;

/** How each kind is decided, and what of an answer the machine cannot do. */
const answers: { readonly [Q in Question]: {
  readonly decide: (of: Questions[Q]['of'], machine: Machine, staging: Staging) => Questions[Q]['settled'] | undefined;
  readonly faultOf: (of: Questions[Q]['of'], settled: Questions[Q]['settled'], machine: Machine) => string | undefined;
} } = {
  rows: { decide: (of, _, staging) => planRows(of, staging), faultOf: faultOfRows },
  mix: { decide: (of, _, staging) => planMix(of, staging), faultOf: faultOfMix },
  product: { decide: planMatmul, faultOf: faultOfCut },
  bins: { decide: planBins, faultOf: faultOfBins },
};

/** The planner: the fastest, by estimate, of what there is room for. */
export const deciding = (machine: Machine, staging: Staging): Settle => (kind, _, of) => answers[kind].decide(of, machine, staging);

/** A plan that is not one for what it is to be applied to. */
export class NotThePlan extends Error {}

/** By op, then by what of it. */
type Known = Map<string, Map<string, Settled>>;
const lookUp = (known: Known, { op, what }: Where): Settled | undefined => known.get(op)?.get(what);
function enter(known: Known, settled: Settled): void {
  const ofOp = known.get(settled.op) ?? new Map<string, Settled>();
  known.set(settled.op, ofOp.set(settled.what, settled));
}

/** What has been decided before, by whomever. Throws NotThePlan where there is no such decision, or none the machine can do. */
export function decided(decisions: readonly Settled[], machine: Machine): Settle {
  const known: Known = new Map();
  for (const decision of decisions) enter(known, decision);
  return <Q extends Question>(kind: Q, where: Where, of: Questions[Q]['of']) => {
    const decision = lookUp(known, where);
    if (decision?.kind !== kind) throw new NotThePlan(`\`${where.op}\`: it says nothing of ${where.what}`);
    const settled = decision.settled as Questions[Q]['settled'] | undefined;
    const fault = settled === undefined ? undefined : answers[kind].faultOf(of, settled, machine);
    if (fault !== undefined) throw new NotThePlan(`\`${where.op}\`, ${where.what}: ${fault}`);
    return settled;
  };
}

/** Whether two things are alike, of plain numbers and names. */
const alike = (a: object, b: object): boolean => Object.keys(a).every((name) => (a as Readonly<Record<string, unknown>>)[name] === (b as Readonly<Record<string, unknown>>)[name]);

/** Settles as `settle` does, each thing once, however often its op is written; `decisions`: what has been settled, in order. */
export function noted(settle: Settle): { readonly settle: Settle; readonly decisions: readonly Decision[] } {
  const known: Known = new Map();
  const decisions: Decision[] = [];
  const once: Settle = (kind, where, of) => {
    const before = lookUp(known, where) as Decision | undefined;
    if (before !== undefined) {
      if (before.kind !== kind || !alike(before.of, of)) throw new Error(`internal: ${where.what} of \`${where.op}\` are two things`);
      return before.settled as Questions[typeof kind]['settled'] | undefined;
    }
    const settled = settle(kind, where, of);
    const decision = { op: where.op, what: where.what, kind, of, settled } as Decision;
    enter(known, decision);
    decisions.push(decision);
    return settled;
  };
  return { settle: once, decisions };
}
