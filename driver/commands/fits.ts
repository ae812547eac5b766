import { type Code } from '../../diagnostics/catalogue.ts';
import { Diagnostics } from '../../diagnostics/diagnostic.ts';
import type { GraphModule } from '../../ir/graph/module.ts';
import { billions, grouped, plural, si } from '../../report/format.ts';
import { prepare } from '../compile.ts';
import { divided, type Edge, longestInput, mostRequests, type Needs, type On } from '../fits.ts';
import { divisionsOf, flagsOf } from '../mapping.ts';
import type { Options } from '../options.ts';
import { findSource, importSource, loadPlugins } from '../session.ts';
import { Terminal } from '../terminal.ts';
import { workloadOf } from '../workload.ts';
import { targetOf } from './compile.ts';

/** Lengths of context a table has at the most. */
const mostLengths = 6;

/** One mapping, and how far it goes with each length of context (or at the batch asked for); or why it does not go at all. */
type Row = { readonly on: On; readonly edges: readonly (Edge | undefined)[]; readonly why: readonly { readonly code: Code; readonly message: string }[] };

/** `sohuc fits model`: the edge of what fits each number of chips, found with the compiler's own placement. Whether anything fits. */
export async function fitsCommand(path: string, options: Options): Promise<boolean> {
  const terminal = new Terminal(options);
  const diagnostics = new Diagnostics();
  const on = targetOf(options);
  const layers = await loadPlugins(options.plugin);
  const imported = await importSource(findSource(path), layers, options, diagnostics);
  const whole = imported === undefined ? undefined : prepare(imported, diagnostics)?.whole;
  if (whole === undefined || diagnostics.hasErrors) return !terminal.diagnostics(diagnostics);

  const { osl } = workloadOf(whole, options, 1);
  const lengths = options.batch > 0 ? [] : lengthsOf(whole, osl, options.isl);
  const row = (own: On): Row => {
    const problems = new Diagnostics();
    const needs = divided(whole, own, problems);
    return { on: own, edges: needs === undefined ? [] : edgesOf(needs, whole, { osl, lengths, batch: options.batch }), why: problems.all.map(({ code, message }) => ({ code, message })) };
  };
  const rows = divisionsOf(on.machine.chips).map((division) => row({ ...on, ...division }));
  terminal.print(table(whole, rows, { osl, lengths, batch: options.batch }));
  terminal.value({
    model: whole.name, machine: on.machine.name, precision: on.precision, hbmBytes: on.machine.hbm.bytes.value,
    mappings: rows.map(({ on: { tp, pp }, edges, why }) => ({ chips: tp * pp, tp, pp, refused: why, edges: edges.flatMap((edge) => (edge === undefined ? [] : [{ ...edge.workload, regions: edge.memory.regions, bytes: edge.memory.bytes, ...(edge.beyond === undefined ? {} : { oneMoreNeedsBytes: edge.beyond.bytes }) }])) })),
  });
  return rows.some(({ edges }) => edges.some((edge) => edge !== undefined));
}

/** What is asked for: the lengths to find the most requests of, or, of a batch, the longest. */
type Asked = { readonly osl: number; readonly lengths: readonly number[]; readonly batch: number };

const edgesOf = (needs: Needs, { source }: GraphModule, { osl, lengths, batch }: Asked): readonly (Edge | undefined)[] =>
  batch > 0 ? [longestInput(needs, { osl, batch }, source.maxPositions)] : lengths.map((isl) => mostRequests(needs, { isl, osl }));

/** The input asked for; or those that make contexts of all positions, half of them, and so on. */
function lengthsOf({ source: { maxPositions } }: GraphModule, osl: number, isl: number): readonly number[] {
  if (isl > 0) return [isl];
  const halved = Array.from({ length: mostLengths }, (_, power) => Math.floor(maxPositions / 2 ** power) - osl);
  return halved.filter((length) => length > 0).toReversed();
}

function table({ name, family, source }: GraphModule, rows: readonly Row[], { osl, lengths, batch }: Asked): string {
  const [{ on: { machine, precision } }] = rows as readonly [Row];
  const output = osl === 0 ? '' : `, ${grouped(osl)} of them output`;
  const heading = batch > 0 ? `tokens of the longest context of ${plural(batch, 'request')} at once${output}` : `requests at once, by tokens of context${output}`;
  const cells = [
    ['', 'weights', ...(batch > 0 ? ['tokens'] : lengths.map((isl) => grouped(isl + osl)))],
    ...rows.map(({ on, edges }) => {
      const weights = edges.find((edge) => edge !== undefined)?.memory.regions.find(({ base }) => base === 'weights')?.bytes;
      return [`${on.tp * on.pp} ${flagsOf(on).replace('one chip', '')}`.trim(), weights === undefined ? '-' : si(weights, 'B'), ...edges.map((edge) => cellOf(edge, batch > 0))];
    }),
  ];
  const widths = cells.reduce<readonly number[]>((most, line) => line.map((cell, i) => Math.max(most[i] ?? 0, cell.length)), []);
  const lines = cells.map((line) => line.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('   ').trimEnd());
  const why = rows.flatMap(({ on, why: reasons }) => reasons.map(({ code, message }) => `${flagsOf(on)}: ${message} (${code})`));
  return [`${name} (${family}), ${billions(source.parameters)} parameters, ${precision}; \`${machine.name}\`: ${si(machine.hbm.bytes.value, 'B')} of HBM a chip`, heading, '', ...lines, ...(why.length === 0 ? [] : ['', ...why])].join('\n');
}

/** `+`: it is not memory that ends it, but the positions or the rows of a step. */
function cellOf(edge: Edge | undefined, ofLength: boolean): string {
  if (edge === undefined) return '-';
  const { isl, osl, batch } = edge.workload;
  return `${grouped(ofLength ? isl + osl : batch)}${edge.beyond === undefined ? '+' : ''}`;
}
