import { Diagnostics } from '../../diagnostics/diagnostic.ts';
import { printGraph } from '../../ir/graph/print.ts';
import { type Difference, differences } from '../difference.ts';
import type { Options } from '../options.ts';
import { loadPlugins } from '../session.ts';
import { Terminal } from '../terminal.ts';
import { readModule } from './opt.ts';

/** `sohuc ir diff a.sir b.sir`: what is in one module and not in the other. Whether they are alike. */
export async function diffCommand(paths: readonly string[], options: Options): Promise<boolean> {
  const terminal = new Terminal(options);
  const diagnostics = new Diagnostics();
  const layers = await loadPlugins(options.plugin);
  const [a, b] = paths.map((path) => readModule(path, layers, diagnostics));
  if (a === undefined || b === undefined) return !terminal.diagnostics(diagnostics);
  const found = differences(linesOf(printGraph(a)), linesOf(printGraph(b)));
  const changed = found.filter(({ sign }) => sign !== ' ');
  terminal.print(changed.length === 0 ? 'the modules are alike' : hunks(found).join('\n'));
  terminal.value(changed);
  return changed.length === 0;
}

/** A module's lines without where its ops come from: that is history. */
const linesOf = (text: string): readonly string[] => text.trimEnd().split('\n').map((line) => line.replace(/ ; from .*/, ''));

/** Differing lines, each stretch with the beginning of the line before it. */
function hunks(found: readonly Difference[]): readonly string[] {
  return found.flatMap(({ sign, text }, i) => {
    if (sign !== ' ') return [`${sign} ${text}`];
    return found[i + 1] !== undefined && found[i + 1]?.sign !== ' ' ? [`  ${text.slice(0, 120)}`] : [];
  });
}
