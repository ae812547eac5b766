import { readFileSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { Diagnostics } from '../../diagnostics/diagnostic.ts';
import { assemble, AssemblyError } from '../../isa-spec/assembly.ts';
import { ProgramError, readContainer, writeContainer } from '../../isa-spec/container.ts';
import { disassemble } from '../../isa-spec/disassembly.ts';
import type { Program } from '../../isa-spec/program.ts';
import type { Options } from '../options.ts';
import { Artefacts, UsageError } from '../session.ts';
import { Terminal } from '../terminal.ts';

/** A program from disk. What is wrong with it goes to `diagnostics`. */
export function readProgram(path: string, diagnostics: Diagnostics): Program | undefined {
  try {
    return readContainer(bytesOf(path));
  } catch (error) {
    if (!(error instanceof ProgramError)) throw error;
    diagnostics.report({ code: 'E5002', message: error.message, origin: { kind: 'file', path, offset: error.offset }, help: 'compile the model again, or check that the file arrived whole' });
    return undefined;
  }
}

function bytesOf(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new UsageError(`\`${path}\` cannot be read: ${error instanceof Error && 'code' in error ? String(error.code) : String(error)}`);
  }
}

/** `sohuc asm x.sasm` -> x.sohu beside it. */
export async function assembleCommand(path: string, options: Options): Promise<boolean> {
  const terminal = new Terminal(options);
  const diagnostics = new Diagnostics();
  try {
    const artefacts = new Artefacts(dirname(resolve(path)));
    artefacts.write(`${basename(path, '.sasm')}.sohu`, [writeContainer(assemble(bytesOf(path).toString('utf8')))]);
    for (const { path: written, bytes } of artefacts.written) terminal.print(`${written}  ${bytes} bytes`);
  } catch (error) {
    if (!(error instanceof AssemblyError)) throw error;
    diagnostics.report({ code: 'E5001', message: error.message, origin: { kind: 'text', file: path, line: error.line, column: error.column }, help: '`sohuc disasm` shows the form' });
  }
  return !terminal.diagnostics(diagnostics);
}

/** `sohuc disasm x.sohu` -> text on stdout. */
export async function disassembleCommand(path: string, options: Options): Promise<boolean> {
  const terminal = new Terminal(options);
  const diagnostics = new Diagnostics();
  const program = readProgram(path, diagnostics);
  if (program !== undefined) terminal.print(disassemble(program));
  return !terminal.diagnostics(diagnostics);
}
