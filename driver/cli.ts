import { Command, Option } from 'commander';
import { defaults, flagName, options, type Options, type Scope } from './options.ts';

/** Exit codes: the model was refused; the call was wrong; the compiler is. */
const exits = { refused: 1, usage: 2, bug: 70 } as const;

type Run = (argument: string, given: Options) => Promise<boolean>;

/** The commands: what each takes, says and runs. Their code is loaded when they are called, so that `--help` is instant. */
const commands: readonly { readonly name: string; readonly takes: string; readonly scope: Scope; readonly help: string; readonly run: Run }[] = [
  { name: 'compile', takes: '<model>', scope: 'compile', help: 'compile a model: program, packed weights, report (the default command)', run: async (path, given) => (await import('./commands/compile.ts')).compileCommand(path, given) },
  { name: 'run', takes: '<model>', scope: 'run', help: 'compile a model and run the program in the functional simulator', run: async (path, given) => (await import('./commands/run.ts')).runCommand(path, given) },
  { name: 'asm', takes: '<file.sasm>', scope: 'all', help: 'assembly text to a program', run: async (path, given) => (await import('./commands/assembly.ts')).assembleCommand(path, given) },
  { name: 'disasm', takes: '<file.sohu>', scope: 'all', help: 'a program to assembly text', run: async (path, given) => (await import('./commands/assembly.ts')).disassembleCommand(path, given) },
  { name: 'verify', takes: '<file.sohu>', scope: 'verify', help: 'prove that a program is safe to run', run: async (path, given) => (await import('./commands/verify.ts')).verifyCommand(path, given) },
  { name: 'time', takes: '<file.sohu>', scope: 'time', help: 'simulate the time a program takes and print its report', run: async (path, given) => (await import('./commands/time.ts')).timeCommand(path, given) },
];

const program = new Command('sohuc').description('Compiles published transformers (ONNX files, Hugging Face folders) to programs for Sohu.').version('0.1.0').exitOverride();

for (const { name, takes, scope, help, run } of commands) {
  const command = program.command(`${name} ${takes}`, { isDefault: name === 'compile' }).description(help).exitOverride();
  for (const [key, option] of Object.entries(options)) {
    if (!(option.scope as readonly Scope[]).some((one) => one === 'all' || one === scope)) continue;
    command.addOption(flagOf(key, option));
  }
  command.action(async (path: string, given: Partial<Options>) => {
    process.exitCode = (await run(path, { ...defaults, ...given })) ? 0 : exits.refused;
  });
}

function flagOf(key: string, option: (typeof options)[keyof typeof options]): Option {
  const off = option.default === true;
  const name = off ? flagName(key).replace('--', '--no-') : flagName(key);
  const flag = new Option('value' in option || 'choices' in option ? `${name} <${'value' in option ? option.value : key}>` : name, option.help);
  if ('choices' in option) flag.choices(option.choices);
  if (typeof option.default === 'number') flag.argParser((text) => numberOf(text, name));
  if (Array.isArray(option.default)) flag.argParser((text: string, before: readonly string[] | undefined) => [...(before ?? []), text]);
  return flag;
}

function numberOf(text: string, flag: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < 0) throw Object.assign(new Error(`\`${flag}\` takes a number, not \`${text}\``), { code: 'commander.invalidArgument' });
  return value;
}

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = await failure(error);
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
