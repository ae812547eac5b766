import { Diagnostics } from '../../diagnostics/diagnostic.ts';
import { verify } from '../../verifier/verify.ts';
import type { Options } from '../options.ts';
import { Terminal } from '../terminal.ts';
import { readProgram } from './assembly.ts';

/** `sohuc verify x.sohu`: what the bytes alone prove. */
export async function verifyCommand(path: string, options: Options): Promise<boolean> {
  const terminal = new Terminal(options);
  const diagnostics = new Diagnostics();
  const program = readProgram(path, diagnostics);
  if (program === undefined) return !terminal.diagnostics(diagnostics);
  const findings = verify(program);
  terminal.value({ findings });
  if (findings.length === 0) terminal.print(`${path}: no rule is broken`);
  if (options.json) return findings.length === 0;
  for (const { message } of findings) diagnostics.report({ code: 'E5003', message, origin: { kind: 'file', path } });
  return !terminal.diagnostics(diagnostics);
}
