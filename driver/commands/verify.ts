import { Diagnostics } from '../../diagnostics/diagnostic.ts';
import type { Program } from '../../isa-spec/program.ts';
import { type ClassScore, mutationScore, type MutationScore } from '../../verifier/mutation/mutate.ts';
import { prove, type Verdict } from '../../verifier/verify.ts';
import type { Options } from '../options.ts';
import { Terminal } from '../terminal.ts';
import { readProgram } from './assembly.ts';

/** `sohuc verify x.sohu`: what the bytes alone prove. With `--mutate`: how good the verifier is at finding faults in them. */
export async function verifyCommand(path: string, options: Options): Promise<boolean> {
  const terminal = new Terminal(options);
  const diagnostics = new Diagnostics();
  const program = readProgram(path, diagnostics);
  if (program === undefined) return !terminal.diagnostics(diagnostics);
  const { findings, verdicts } = prove(program);
  for (const { rule, message, notes } of findings) diagnostics.report({ code: 'E5003', message: `${rule}: ${message}`, origin: { kind: 'file', path }, notes: notes.map((text) => ({ text })) });
  if (options.mutate && findings.length === 0) {
    mutate(program, options, terminal);
    return true;
  }
  terminal.print([...verdicts.map(verdictText), '', `${path}: ${findings.length === 0 ? 'no rule is broken' : `${findings.length} ${findings.length === 1 ? 'finding' : 'findings'}`}`].join('\n'));
  if (findings.length === 0) terminal.value({ findings, verdicts });
  return !terminal.diagnostics(diagnostics);
}

const verdictText = (verdict: Verdict): string => {
  const mark = { proved: 'proved ', broken: 'BROKEN ', skipped: 'skipped' }[verdict.outcome];
  return `${verdict.rule}  ${mark}  ${verdict.says}${verdict.outcome === 'skipped' ? ` (${verdict.reason})` : ''}`;
};

function mutate(program: Program, { mutants, seed }: Options, terminal: Terminal): void {
  const score = mutationScore(program, mutants, seed);
  terminal.print(scoreText(score));
  terminal.value(score);
}

/** A line a class; then, by name, every mutant that got through, and every one that does what the program does. */
function scoreText({ score, mutants, caught, equivalent, classes }: MutationScore): string {
  const percent = (part: number): string => `${(100 * part).toFixed(2)} %`;
  const cells = (one: ClassScore): string =>
    `${one.name.padEnd(20)} ${String(one.mutants).padStart(7)} ${String(one.caught).padStart(7)} ${String(one.equivalent.length).padStart(11)} ${String(one.survivors.length).padStart(9)} ${(one.mutants === 0 ? '-' : percent(one.score)).padStart(9)}  ${Object.entries(one.by).map(([rule, count]) => `${rule} ${count}`).join(', ')}`;
  const listed = (word: string, of: (one: ClassScore) => ClassScore['survivors']): readonly string[] => classes.flatMap((one) => of(one).map(({ name, what, why }) => `${word}: ${one.name}: ${name}: ${what}: ${why}`));
  const passed = [...listed('survived', ({ survivors }) => survivors), ...listed('equivalent', (one) => one.equivalent)];
  return [
    'fault                mutants  caught  equivalent  survivors     score  found first by', ...classes.map(cells), '',
    ...passed, ...(passed.length === 0 ? [] : ['']),
    `${percent(score)} of ${mutants - equivalent} mutants caught (${caught}); ${equivalent} of ${mutants} do what the program does`,
  ].join('\n');
}
