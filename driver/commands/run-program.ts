import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs';
import { Diagnostics } from '../../diagnostics/diagnostic.ts';
import type { Unfold } from '../../ir/graph/module.ts';
import { IllegalInstruction } from '../../isa-spec/encoding.ts';
import type { Program } from '../../isa-spec/program.ts';
import { SimulationFault } from '../../simulator/fault.ts';
import type { ByteSource } from '../../simulator/memory.ts';
import { HostError, HostSession } from '../host.ts';
import { startsOf } from '../inputs.ts';
import type { Options } from '../options.ts';
import { conductOf, promptsOf, Running } from '../running.ts';
import { UsageError } from '../session.ts';
import { Terminal } from '../terminal.ts';
import { readProgram } from './assembly.ts';

/** `sohuc run x.sohu`: runs a compiled program on the weights beside it (`x.sohw`). */
export async function runProgram(path: string, options: Options): Promise<boolean> {
  if (options.compare) throw new UsageError('`--compare` compares with a model; a program is none');
  const terminal = new Terminal(options);
  const diagnostics = new Diagnostics();
  const program = readProgram(path, diagnostics);
  if (program === undefined) return !terminal.diagnostics(diagnostics);
  const weights = openWeights(path.replace(/\.sohu$/, '.sohw'), program);
  try {
    const session = new HostSession(program, weights.sources);
    const starts = startsOf((program.meta['unfolds'] ?? []) as unknown as readonly Unfold[], promptsOf(options), options);
    const conduct = conductOf(options, session, terminal);
    try {
      const running = new Running(program, session, starts, conduct);
      for (let step = 0; step <= options.generate; step++) {
        const ran = await running.step();
        if (ran === undefined) return true;
        terminal.stage(step === 0 ? 'prefill' : `decode ${step}`, `${ran.made.result.instructions} instructions`);
      }
      terminal.print(running.text());
      terminal.value({ sequences: running.sequences });
      return true;
    } finally {
      conduct.close();
    }
  } catch (error) {
    if (error instanceof HostError) throw new UsageError(error.message);
    // The rest is what programs that are none of the compiler's do.
    if (!(error instanceof SimulationFault || error instanceof IllegalInstruction || error instanceof RangeError || error instanceof TypeError)) throw error;
    diagnostics.report({ code: 'E6001', message: error.message, origin: { kind: 'file', path } });
    return !terminal.diagnostics(diagnostics);
  } finally {
    weights.close();
  }
}

/** The chips' weight regions, one after the other in a file. */
function openWeights(path: string, { regions, chips }: Program): { readonly sources: readonly ByteSource[]; readonly close: () => void } {
  const bytes = regions.find(({ base }) => base === 'weights')?.bytes ?? 0;
  if (bytes === 0) return { sources: Array.from({ length: chips }, () => () => new Uint8Array(0)), close: () => {} };
  if (!existsSync(path)) throw new UsageError(`there are no weights \`${path}\` for the program`);
  const fd = openSync(path, 'r');
  const { size } = fstatSync(fd);
  if (size !== bytes * chips) {
    closeSync(fd);
    throw new UsageError(`\`${path}\` has ${size} bytes, and the program's ${chips} ${chips === 1 ? 'chip takes' : 'chips take'} ${bytes} each`);
  }
  const sources = Array.from({ length: chips }, (_, rank): ByteSource => (offset, length) => {
    const into = new Uint8Array(length);
    readSync(fd, into, 0, length, rank * bytes + offset);
    return into;
  });
  return { sources, close: () => closeSync(fd) };
}
