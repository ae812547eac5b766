import { basename, dirname, resolve } from 'node:path';
import { Diagnostics } from '../../diagnostics/diagnostic.ts';
import { assemble } from '../../isa-spec/assembly.ts';
import { AssemblyError } from '../../isa-spec/assembly-words.ts';
import { ProgramError, readContainer, writeContainer } from '../../isa-spec/container.ts';
import { disassemble } from '../../isa-spec/disassembly.ts';
import type { Program } from '../../isa-spec/program.ts';
import { Artefacts } from '../artefacts.ts';
import type { Options } from '../options.ts';
import { readBytes, readText } from '../session.ts';
import { Terminal } from '../terminal.ts';

/** A program from disk. What is wrong with it goes to `diagnostics`. */
export function readProgram(path: string, diagnostics: Diagnostics): Program | undefined {
  try {
    return readContainer(readBytes(path));
  } catch (error) {
    if (!(error instanceof ProgramError)) throw error;
    diagnostics.report({ code: 'E5002', message: error.message, origin: { kind: 'file', path, offset: error.offset }, help: 'compile the model again, or check that the file arrived whole' });
    return undefined;
  }
}

/** `sohuc asm x.sasm` -> x.sohu beside it. */
export async function assembleCommand(path: string, options: Options): Promise<boolean> {
  const terminal = new Terminal(options);
  const diagnostics = new Diagnostics();
  const program = assembled(path, diagnostics);
  if (program !== undefined) {
    const artefacts = new Artefacts(options.out === '' ? dirname(resolve(path)) : options.out);
    try {
      await artefacts.add(`${basename(path, '.sasm')}.sohu`, [writeContainer(program)]);
      const files = artefacts.publish();
      for (const { path: written, bytes } of files) terminal.print(`${written}  ${bytes} bytes`);
      terminal.value({ files });
    } finally {
      artefacts.discard();
    }
  }
  return !terminal.diagnostics(diagnostics);
}

function assembled(path: string, diagnostics: Diagnostics): Program | undefined {
  try {
    return assemble(readText(path));
  } catch (error) {
    if (!(error instanceof AssemblyError)) throw error;
    diagnostics.report({ code: 'E5001', message: error.message, origin: { kind: 'text', file: path, line: error.line, column: error.column }, help: '`sohuc disasm` shows the form' });
    return undefined;
  }
}

/** `sohuc disasm x.sohu` -> text on stdout. */
export async function disassembleCommand(path: string, options: Options): Promise<boolean> {
  const terminal = new Terminal(options);
  const diagnostics = new Diagnostics();
  const program = readProgram(path, diagnostics);
  if (program !== undefined) terminal.text(disassemble(program));
  return !terminal.diagnostics(diagnostics);
}
