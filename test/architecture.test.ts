import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

/** What each folder may import of the others. `driver` may import all. */
const arrows: Readonly<Record<string, readonly string[]>> = {
  diagnostics: [],
  'isa-spec': [],
  wasm: [],
  ir: ['diagnostics', 'isa-spec', 'wasm'],
  frontend: ['diagnostics', 'ir', 'isa-spec'],
  passes: ['diagnostics', 'ir', 'isa-spec'],
  'backend-sohu': ['diagnostics', 'ir', 'isa-spec'],
  verifier: ['diagnostics', 'isa-spec'],
  simulator: ['isa-spec', 'wasm'],
  report: ['isa-spec', 'simulator'],
};

/** Of isa-spec, passes see types alone: the machine arrives as a value. */
const typesOnly: readonly (readonly [from: string, to: string])[] = [['passes', 'isa-spec']];

/** The few values of the specification a pass may use: tables of names, element and list sizes, no constant of a machine. */
const sharedTables = ['formatBytes', 'workEntryBytes', 'blockScales', 'activations', 'binsOf', 'shareOf', 'lending', 'lendings'];

const root = resolve(import.meta.dirname, '..');

type Import = { readonly file: string; readonly from: string; readonly to: string; readonly names: string; readonly type: boolean };

function importsOf(folder: string): readonly Import[] {
  const files = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
  return files.flatMap((name) => {
    const file = join(root, folder, name);
    return [...readFileSync(file, 'utf8').matchAll(/(?:import|export)\s+(type\s+)?([^'";]*?)\s*from\s+'(\.[^']+)'|import\('(\.[^']+)'\)/g)].map((match) => {
      const target = relative(root, resolve(dirname(file), (match[3] ?? match[4]) as string));
      return { file: relative(root, file), from: folder, to: target.split('/')[0] as string, names: match[2] ?? '', type: match[1] !== undefined };
    });
  });
}

const imports = Object.keys(arrows).flatMap(importsOf);

/** The names an import brings in as values. */
const valuesOf = ({ names }: Import): readonly string[] =>
  names.replace(/[{}]/g, '').split(',').map((name) => name.trim()).filter((name) => name !== '' && !name.startsWith('type '));

describe('the arrows between folders', () => {
  it('are seen at all', () => {
    for (const folder of Object.keys(arrows)) expect(importsOf(folder).length, `imports of ${folder}`).toBeGreaterThan(0);
    expect(imports.filter(({ from, to }) => from !== to).length).toBeGreaterThan(100);
  });

  it('point where the design lets them', () => {
    const wrong = imports.filter(({ from, to }) => from !== to && !arrows[from]?.includes(to));
    expect(wrong.map(({ file, to }) => `${file} -> ${to}`)).toEqual([]);
  });

  it('carry types alone where only types may pass', () => {
    const wrong = imports.filter((one) => typesOnly.some(([from, to]) => one.from === from && one.to === to) && !one.type && valuesOf(one).some((name) => !sharedTables.includes(name)));
    expect(wrong.map(({ file, names }) => `${file}: ${names}`)).toEqual([]);
  });

  it('leave files, process and console to the driver', () => {
    const used = Object.keys(arrows).flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
        .filter((file) => file.endsWith('.ts') && /from 'node:|\bconsole\.|\bprocess\./.test(readFileSync(join(root, folder, file), 'utf8')))
        .map((file) => join(folder, file)),
    );
    expect(used).toEqual([]);
  });
});
