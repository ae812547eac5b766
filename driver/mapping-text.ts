import { grouped, lentText, percent, plural } from '../report/format.ts';
import type { Ranked, Settings } from './explain-mapping.ts';
import { mappingText } from './mapping.ts';

/** Mappings, steps, pages and lent arrays in their rank, why each lost, and what was decided with the fastest, with the options that say otherwise. */
export function renderMappings(rows: readonly Ranked[]): string {
  const lines = rows.map((row) => {
    const { rank, totalTokensPerSecond = 0, matrixUtilisation = 0, why } = row;
    const speed = rank === undefined ? '' : `~${grouped(totalTokensPerSecond)} tok/s, ~${percent(matrixUtilisation)} of matrix peak; `;
    return ` ${String(rank ?? '-').padStart(2)} ${mappingText(row).padEnd(24)} ${alternativeText(row).padEnd(20)} ${speed}${why}`;
  });
  const [best] = rows;
  return ['mappings, steps (rows of prompts + rows that decode, parts), pages and arrays lent to the attention unit, ranked by the timing simulation of their programs (~: of an assumed machine)', ...lines, ...(best?.settings === undefined ? [] : ['', 'decided with the fastest, and what says otherwise', ...decided(best, best.settings)])].join('\n');
}

const alternativeText = ({ step, pageRows, lent }: Ranked): string =>
  lent !== undefined ? `${plural(lent, 'array')} lent` : pageRows !== undefined ? `pages of ${pageRows}` : step === undefined ? '' : `${grouped(step.prefillRows)} + ${grouped(step.decodeRows)} rows, ${step.parts}`;

const decided = ({ tp, ep, pp, replicas }: Ranked, { batch, stepRows, parts, pageRows, lent, cut }: Settings): readonly string[] =>
  [
    ['--tp, --pp, --replicas', `layers over ${plural(tp, 'chip')}, in ${plural(pp, 'stage')}, all of it ${replicas === 1 ? 'once' : `${replicas} times`}`],
    ...(tp === 1 ? [] : [['--ep', ep === 1 ? 'experts, if there are any, divided like all else' : `whole experts spread over ${ep} chips`]]),
    ...(pp === 1 ? [] : [['--stages', `stages of ${cut.join(' + ')} layers`]]),
    ['--batch, --prefill-rows, --parts', `${grouped(batch)} requests at once in a replica, steps of ${grouped(stepRows)} rows in ${plural(parts, 'part')}`],
    ['--page-rows', `pages of ${pageRows} keys and values`],
    ['--lend', lentText(lent)],
  ].map(([flags, text]) => `    ${String(flags).padEnd(32)} ${text}`);
