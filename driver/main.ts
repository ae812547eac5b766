import { Command, Option } from 'commander';
import type { Code } from '../diagnostics/catalogue.ts';
import { defaults, flagName, options, type Options, type Scope } from './options.ts';

/** Exit codes: the model was refused; the call was wrong; the compiler is. */
const exits = { refused: 1, usage: 2, bug: 70 } as const;

type Run = (paths: readonly string[], given: Options) => Promise<boolean>;
type Listed = { readonly name: string; readonly takes: readonly string[]; readonly scope: Scope; readonly help: string; readonly run: Run };

/** A command that takes one path. */
const of = (run: (path: string, given: Options) => Promise<boolean>): Run => ([path = ''], given) => run(path, given);

const timed = of(async (path, given) => (await import('./commands/time.ts')).timeCommand(path, given));

/** The commands: what each takes, says and runs. Their code is loaded when they are called, so that `--help` is instant. */
const commands: readonly Listed[] = [
  { name: 'compile', takes: ['<model>'], scope: 'compile', help: 'compile a model: program, packed weights, report (the default command)', run: of(async (path, given) => (await import('./commands/compile.ts')).compileCommand(path, given)) },
  { name: 'run', takes: ['<model>'], scope: 'run', help: 'compile a model, or take a program (.sohu), and run it in the functional simulator', run: of(async (path, given) => (await import('./commands/run.ts')).runCommand(path, given)) },
  { name: 'fits', takes: ['<model>'], scope: 'fits', help: 'the most requests a model serves at once, by length and number of chips', run: of(async (path, given) => (await import('./commands/fits.ts')).fitsCommand(path, given)) },
  { name: 'asm', takes: ['<file.sasm>'], scope: 'asm', help: 'assembly text to a program', run: of(async (path, given) => (await import('./commands/assembly.ts')).assembleCommand(path, given)) },
  { name: 'disasm', takes: ['<file.sohu>'], scope: 'program', help: 'a program to assembly text', run: of(async (path, given) => (await import('./commands/assembly.ts')).disassembleCommand(path, given)) },
  { name: 'verify', takes: ['<file.sohu>'], scope: 'verify', help: 'prove that a program is safe to run', run: of(async (path, given) => (await import('./commands/verify.ts')).verifyCommand(path, given)) },
  { name: 'time', takes: ['<file.sohu>'], scope: 'report', help: 'simulate the time a program takes and print its report', run: timed },
  { name: 'report', takes: ['<file.sohu>'], scope: 'report', help: 'the same: what a step takes, and why', run: timed },
  { name: 'opt', takes: ['<file.sir>'], scope: 'opt', help: 'run named passes over a module in text form', run: of(async (path, given) => (await import('./commands/opt.ts')).optCommand(path, given)) },
  { name: 'ir diff', takes: ['<a.sir>', '<b.sir>'], scope: 'diff', help: 'compare two modules in text form, whatever their values are numbered (exit code 1 if they differ)', run: async (paths, given) => (await import('./commands/diff.ts')).diffCommand(paths, given) },
  { name: 'machines', takes: [], scope: 'program', help: 'the machines that programs can be made for', run: async (_, given) => (await import('./commands/machines.ts')).machinesCommand(given) },
];

/**
 * Runs the command line's words, without the program's own name. Gives the exit code; results go to stdout, all else to stderr.
 */
export async function main(words: readonly string[]): Promise<number> {
  const program = new Command('sohuc').description('Compiles published transformers (ONNX files, Hugging Face folders) to programs for Sohu.').version('0.1.0').exitOverride()
    .showHelpAfterError('`sohuc --help` lists the commands, `sohuc <command> --help` what each takes')
    .addHelpText('after', '\n`sohuc <model>` is `sohuc compile <model>`; `sohuc compile --help` lists what it takes.');
  let isDone = true;
  for (const { name, takes, scope, help, run } of commands) {
    const command = parentOf(program, name).command([name.split(' ').at(-1), ...takes].join(' '), { isDefault: name === 'compile' }).description(help).exitOverride();
    for (const [key, option] of Object.entries(options)) {
      if (!(option.scope as readonly Scope[]).some((one) => one === 'all' || one === scope)) continue;
      command.addOption(flagOf(key, option));
    }
    command.action(async () => {
      const given = { ...defaults, ...command.opts<Partial<Options>>() };
      isDone = await run(command.args, given).catch((error: unknown) => modelFault(error, given));
    });
  }
  try {
    await program.parseAsync(words, { from: 'user' });
    return isDone ? 0 : exits.refused;
  } catch (error) {
    return failure(error);
  }
}

/** `ir diff` is `diff` of `ir`. */
function parentOf(program: Command, name: string): Command {
  const [group, own] = name.split(' ');
  if (own === undefined || group === undefined) return program;
  return program.commands.find((command) => command.name() === group) ?? program.command(group).description('modules in text form').exitOverride();
}

/** Exceptions that are about the model and not ours: a custom layer's own functions, a file that went away, a step the model has no rows for. */
async function modelFault(error: unknown, given: Options): Promise<boolean> {
  const code = error instanceof Error ? faultCodes.get(error.name) : undefined;
  if (code === undefined) throw error;
  const [{ Diagnostics }, { Terminal }] = await Promise.all([import('../diagnostics/diagnostic.ts'), import('./terminal.ts')]);
  const diagnostics = new Diagnostics();
  diagnostics.report({ code, message: (error as Error).message, origin: error instanceof Error && 'path' in error ? { kind: 'file', path: String(error.path) } : { kind: 'none' } });
  return !new Terminal(given).diagnostics(diagnostics);
}

/** By name: their classes come with code that `--help` does without. */
const faultCodes = new Map<string, Code>([['CustomLayerError', 'E3003'], ['FileRefused', 'E2006'], ['HostError', 'E6002']]);

function flagOf(key: string, option: (typeof options)[keyof typeof options]): Option {
  const off = option.default === true;
  const name = off ? flagName(key).replace('--', '--no-') : flagName(key);
  const flag = new Option('value' in option || 'choices' in option ? `${name} <${'value' in option ? option.value : key}>` : name, option.help);
  if ('choices' in option) flag.choices(option.choices);
  if (typeof option.default === 'number') flag.argParser((text) => numberOf(text, name, option.value === 'N'));
  if (Array.isArray(option.default)) flag.argParser((text: string, before: readonly string[] | undefined) => [...(before ?? []), text]);
  return flag;
}

function numberOf(text: string, flag: string, whole: boolean): number {
  const value = Number(text);
  if (text.trim() !== '' && value >= 0 && (whole ? Number.isSafeInteger(value) : Number.isFinite(value))) return value;
  throw Object.assign(new Error(`\`${flag}\` takes a ${whole ? 'whole ' : ''}number, not \`${text}\``), { code: 'commander.invalidArgument' });
}

async function failure(error: unknown): Promise<number> {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string' && error.code.startsWith('commander.')) {
    if (error.code === 'commander.helpDisplayed' || error.code === 'commander.version' || error.code === 'commander.help') return 0;
    if (!('exitCode' in error)) process.stderr.write(`error: ${error.message}\n`);
    return exits.usage;
  }
  const { UsageError } = await import('./session.ts');
  if (error instanceof UsageError) {
    process.stderr.write(`error: ${error.message}\n`);
    return exits.usage;
  }
  process.stderr.write(`this is a bug in sohuc, not in your model: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  return exits.bug;
}
