import type { Machine } from '../../isa-spec/machine.ts';
import { machines } from '../../isa-spec/machines/named.ts';
import { binary, si } from '../../report/format.ts';
import type { Options } from '../options.ts';
import { Terminal } from '../terminal.ts';

/** The numbers of a machine one looks for first. */
const columns: readonly (readonly [heading: string, of: (machine: Machine) => string])[] = [
  ['', ({ name }) => name],
  ['chips', ({ chips }) => String(chips)],
  ['clock', ({ clockHz }) => si(clockHz.value, 'Hz')],
  ['arrays', ({ arrays: { count, size } }) => `${count.value} of ${size.value}x${size.value}`],
  ['FP8, a chip', ({ arrays: { count, size }, clockHz }) => si(2 * count.value * size.value ** 2 * clockHz.value, 'FLOP/s')],
  ['SRAM', ({ sram }) => binary(sram.bytes.value)],
  ['HBM', ({ hbm }) => `${si(hbm.bytes.value, 'B')}, ${si(hbm.bytesPerSecond.value, 'B/s')}`],
  ['links', ({ chips, link }) => (chips === 1 ? '-' : si(link.bytesPerSecond.value, 'B/s'))],
];

/** `sohuc machines`: what `--machine` knows by name. With `--json` the machines whole, each number with its source. */
export async function machinesCommand(options: Options): Promise<boolean> {
  const terminal = new Terminal(options);
  const rows = [columns.map(([heading]) => heading), ...[...machines.values()].map((machine) => columns.map(([, of]) => of(machine)))];
  const widths = columns.map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  terminal.print(rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ').trimEnd()).join('\n'));
  terminal.value([...machines.values()]);
  return true;
}
