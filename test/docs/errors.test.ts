import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Code, catalogue } from '../../diagnostics/catalogue.ts';
import { Diagnostics } from '../../diagnostics/diagnostic.ts';
import { renderDiagnostics } from '../../diagnostics/render.ts';
import { samples } from './samples.ts';

const root = resolve(import.meta.dirname, '../..');
const codes = Object.keys(catalogue).toSorted() as readonly Code[];
const pageOf = (code: Code): string => readFileSync(join(root, 'docs/errors', `${code}.md`), 'utf8');
const blocksOf = (page: string): readonly string[] => [...page.matchAll(/```text\n([\s\S]*?)```/g)].map(([, block]) => block as string);

/** Sources of what can report: everything but the catalogue itself. */
const sources = ['frontend', 'ir', 'passes', 'backend-sohu', 'verifier', 'driver'].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => readFileSync(join(root, folder, file), 'utf8')),
);

describe('the pages of docs/errors', () => {
  it('are those of the catalogue', () => {
    expect(readdirSync(join(root, 'docs/errors')).toSorted()).toEqual(codes.map((code) => `${code}.md`));
  });

  it.each(codes)('%s: says its title, an example and what to do', (code) => {
    const page = pageOf(code);
    expect(page.split('\n')[0]).toBe(`# ${code}: ${catalogue[code].title}`);
    const [example, ...others] = blocksOf(page);
    expect(others).toEqual([]);
    expect(example).toContain(`${catalogue[code].severity}[${code}]: `);
    expect(page.slice(page.indexOf('```\n', page.indexOf('```text')) + 4).trim().length).toBeGreaterThan(60);
  });

  it.each(codes)('%s: quotes what is reported', (code) => {
    const diagnostics = new Diagnostics();
    samples[code](diagnostics);
    expect(diagnostics.all.map((one) => one.code)).toContain(code);
    const said = renderDiagnostics(diagnostics.all, { colour: false }).replaceAll(/\/\S*\/sohuc-\w+\//g, '').split('\n');
    const quoted = (blocksOf(pageOf(code))[0] as string).trimEnd().split('\n');
    expect(said).toEqual(expect.arrayContaining(quoted));
  });

  it.each(codes)('%s: is reported somewhere', (code) => {
    expect(sources.some((source) => source.includes(`'${code}'`))).toBe(true);
  });
});
