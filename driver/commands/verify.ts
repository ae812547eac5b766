import { Diagnostics } from '../../diagnostics/diagnostic.ts';
import { prove, type Verdict } from '../../verifier/verify.ts';
import type { Options } from '../options.ts';
import { Terminal } from '../terminal.ts';
import { readProgram } from './assembly.ts';

/** `sohuc verify x.sohu`: what the bytes alone prove. */
export async function verifyCommand(path: string, options: Options): Promise<boolean> {
  const terminal = new Terminal(options);
  const diagnostics = new Diagnostics();
  const program = readProgram(path, diagnostics);
  if (program === undefined) return !terminal.diagnostics(diagnostics);
  const { findings, verdicts } = prove(program);
  for (const { rule, message, notes } of findings) diagnostics.report({ code: 'E5003', message: `${rule}: ${message}`, origin: { kind: 'file', path }, notes: notes.map((text) => ({ text })) });
  terminal.print([...verdicts.map(verdictText), '', findings.length === 0 ? `${path}: no rule is broken` : `${path}: ${findings.length} findings`].join('\n'));
  if (findings.length === 0) terminal.value({ findings, verdicts });
  return !terminal.diagnostics(diagnostics);
}

const verdictText = (verdict: Verdict): string => {
  const mark = { proved: 'proved ', broken: 'BROKEN ', skipped: 'skipped' }[verdict.outcome];
  return `${verdict.rule}  ${mark}  ${verdict.says}${verdict.outcome === 'skipped' ? ` (${verdict.reason})` : ''}`;
};
