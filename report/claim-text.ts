import type { ClaimReport } from './claim.ts';
import { duration, grouped, machineNumber, percent, rate, readable } from './format.ts';
import { sectioned, wrap } from './text.ts';

/** The claim and the program on one screen. */
export function renderClaim(report: ClaimReport): string {
  const { claim, mapping, engines, numbers, possible } = report;
  const [slowest] = engines;
  const times = slowest === undefined ? '' : `${readable(slowest.name)} would have to do ${rate(slowest.unit, slowest.needsPerSecond)}, ${slowest.share.toFixed(2)} times the ${rate(slowest.unit, slowest.hasPerSecond)} assumed`;
  return sectioned([
    ['claim', [`${grouped(claim.tokensPerSecond)} tok/s, input and output together, of ${claim.model} in ${claim.precision.toUpperCase()},`, `${grouped(claim.isl)} in, ${grouped(claim.osl)} out, on ${claim.chips} chips`, ...wrap(claim.source.split(' '), ' ')]],
    ['program', [`TP ${mapping.tp} x PP ${mapping.pp} x EP ${mapping.ep} on ${mapping.machine}; at the claim a step of`, `${grouped(report.tokensPerStep)} tokens would take ${duration(report.stepSecondsAtClaim)}`, ...wrap(report.differs.map((difference) => `not what the claim is about: ${difference}`), '; ')]],
    ['verdict', [
      `${possible ? 'possible' : 'IMPOSSIBLE'} on these assumptions with this mapping: at most`, `~${grouped(report.boundTokensPerSecond)} tok/s whatever the schedule, bound by ${readable(report.boundBy)}`,
      ...(possible ? [] : wrap(times.split(' '), ' ')), `simulated: ~${grouped(report.simulatedTokensPerSecond)} tok/s`,
    ]],
    ['needed', engines.map(({ name, unit, needsPerSecond, hasPerSecond, share }) => `${readable(name).padEnd(9)} ${percent(share).padStart(8)}  ${rate(unit, needsPerSecond)} of ${rate(unit, hasPerSecond)}`)],
    ['breaks first', numbers.map(({ name, provenance, value, least, factor, limits: [first = ''] }) =>
      `${name.padEnd(20)} ${change(factor).padStart(7)}  ${`${machineNumber(value)} to ${machineNumber(least)}`.padEnd(18)} ${readable(first)}${provenance === 'assumed' ? '' : ` ${provenance}`}`)],
    ['no matter', wrap(report.unbounded, ', ')],
  ]);
}

/** How far a number may fall; or what it would have to be multiplied by. */
const change = (factor: number): string => (factor > 1 ? `x${factor.toFixed(2)}` : `-${percent(1 - factor)}`);
