import { Diagnostics } from '../../diagnostics/diagnostic.ts';
import type { GraphModule } from '../../ir/graph/module.ts';
import { parseGraph } from '../../ir/graph/parse.ts';
import { printGraph } from '../../ir/graph/print.ts';
import { verifyGraph } from '../../ir/graph/verify.ts';
import type { CustomLayer } from '../../ir/graph/custom.ts';
import { passesFor, runPass } from '../compile.ts';
import type { Options } from '../options.ts';
import { loadPlugins, readText, UsageError } from '../session.ts';
import { Terminal } from '../terminal.ts';
import { targetOf } from './compile.ts';

/** `sohuc opt x.sir --passes a,b`: the module after these passes, as text that is a module again. */
export async function optCommand(path: string, options: Options): Promise<boolean> {
  const terminal = new Terminal(options);
  const diagnostics = new Diagnostics();
  const known = passesFor({ primitive: true, store: undefined }, targetOf(options), diagnostics);
  const names = options.passes.split(',').map((name) => name.trim()).filter((name) => name !== '');
  const passes = names.map((name) => {
    if (name === 'raise') throw new UsageError('`raise` reads the tensors of a model, which a text does not hold: `sohuc <model> --stop-after raise`');
    return known.find((pass) => pass.name === name) ?? unknown(name, known.map((pass) => pass.name));
  });
  if (options.printAfter !== '' && options.printAfter !== 'all' && !names.includes(options.printAfter)) unknown(options.printAfter, ['all', ...names]);

  let module = readModule(path, await loadPlugins(options.plugin), diagnostics);
  const printed: { readonly after: string; readonly text: string }[] = [];
  for (const pass of passes) {
    module = module === undefined ? undefined : runPass(pass, module, diagnostics);
    if (module === undefined) return !terminal.diagnostics(diagnostics);
    if (options.printAfter === 'all' || options.printAfter === pass.name) printed.push({ after: pass.name, text: printGraph(module) });
  }
  if (module === undefined) return !terminal.diagnostics(diagnostics);
  if (options.printAfter === '') printed.push({ after: names.at(-1) ?? '', text: printGraph(module) });
  for (const { after, text } of printed) terminal.print(printed.length === 1 ? text : `// after ${after}\n${text}`);
  terminal.value(printed);
  return true;
}

/** A module in text form that keeps the rules; what is wrong with it goes to `diagnostics`. */
export function readModule(path: string, layers: readonly CustomLayer[], diagnostics: Diagnostics): GraphModule | undefined {
  const module = parseGraph(readText(path), path, diagnostics, layers);
  if (module !== undefined) verifyGraph(module, diagnostics);
  return diagnostics.hasErrors ? undefined : module;
}

function unknown(name: string, known: readonly string[]): never {
  throw new UsageError(`there is no pass \`${name}\` here; there are ${known.join(', ')}`);
}
