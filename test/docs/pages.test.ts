import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { flagName, options, phases } from '../../driver/options.ts';
import { lossNames } from '../../simulator/timing/chip.ts';
import { stallReasons } from '../../simulator/timing/lane.ts';
import { queues } from '../../isa-spec/instructions.ts';
import { criticalPathReport } from '../../report/critical-path.ts';
import { links, pathCauses } from '../../simulator/timing/recording.ts';
import { program, report, timing } from '../report/sample.ts';

const root = resolve(import.meta.dirname, '../..');
const folders = ['diagnostics', 'isa-spec', 'ir', 'frontend', 'passes', 'backend-sohu', 'verifier', 'simulator', 'report', 'driver', 'examples', 'test', 'docs', 'bench', 'scripts'];
const pages = ['docs', 'docs/errors', 'docs/adr'].flatMap((folder) => readdirSync(join(root, folder)).filter((file) => file.endsWith('.md')).map((file) => `${folder}/${file}`));
const read = (page: string): string => readFileSync(join(root, page), 'utf8');
const spans = (text: string): readonly string[] => [...text.replaceAll(/```[\s\S]*?```/g, '').matchAll(/`([^`]+)`/g)].map(([, span]) => span as string);

/** What the headings of a page are linked by. */
const anchors = (page: string): readonly string[] =>
  [...read(page).replaceAll(/```[\s\S]*?```/g, '').matchAll(/^#+ (.+)$/gm)].map(([, heading]) => (heading as string).toLowerCase().replaceAll(/[^\w\- ]/g, '').replaceAll(' ', '-'));

describe('what a page names exists', () => {
  it.each(pages)('%s: files and folders', (page) => {
    const named = spans(read(page)).filter((span) => folders.includes(span.split('/')[0] as string) && /^[\w./-]+$/.test(span) && span.includes('/'));
    expect(named.filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });

  it.each([...pages, 'README.md'])('%s: links, to files and to headings', (page) => {
    const links = [...read(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link as string).filter((link) => !link.startsWith('http'));
    const broken = links.filter((link) => {
      const [file, heading] = link.split('#') as [string, string?];
      const path = file === '' ? page : join(dirname(page), file);
      return !existsSync(join(root, path)) || (heading !== undefined && !anchors(path).includes(heading));
    });
    expect(broken).toEqual([]);
  });

  it.each(pages)('%s: flags, phases, commands', (page) => {
    const text = read(page);
    const flags = [...text.matchAll(/(?<![\w-])--[a-z][a-z-]*/g)].map(([flag]) => flag).filter((flag) => !text.includes(`vitest run ${flag}`));
    const known = new Set(Object.keys(options).map(flagName));
    expect(flags.filter((flag) => !known.has(flag))).toEqual([]);
    expect([...text.matchAll(/--stop-after ([a-z]+)/g)].map(([, phase]) => phase as string).filter((phase) => !(phases as readonly string[]).includes(phase))).toEqual([]);
    const commands = [...readFileSync(join(root, 'driver/main.ts'), 'utf8').matchAll(/name: '(\w+)[\w ]*', takes/g)].map(([, name]) => name);
    const called = [...text.matchAll(/`sohuc ([a-z]+)[ `]/g)].map(([, name]) => name as string).filter((name) => name !== 'model');
    expect(called.filter((name) => !commands.includes(name))).toEqual([]);
  });
});

describe('docs/reading-the-report.md', () => {
  const page = read('docs/reading-the-report.md');
  const named = new Set(spans(page).flatMap((span) => span.split(/[.\s]/)));

  it('explains every field of the JSON', () => {
    const keys = new Set<string>();
    const collect = (value: unknown): void => {
      if (Array.isArray(value)) value.slice(0, 1).forEach(collect);
      else if (typeof value === 'object' && value !== null) {
        for (const [key, part] of Object.entries(value)) {
          keys.add(key);
          if (key !== 'bounds') collect(part);
        }
      }
    };
    collect(report());
    expect([...keys].filter((key) => !named.has(key) && key !== 'timing')).toEqual([]);
  });

  it('explains every cause and every link of a critical path, and every field', () => {
    expect(pathCauses.filter((cause) => !page.includes(`| \`${cause}\` |`))).toEqual([]);
    expect(links.filter((link) => !named.has(link))).toEqual([]);
    const made = criticalPathReport(program, timing(true));
    const keys = [made, made.ops[0], made.queues[0], made.causes[0], made.began[0], made.path[0]].flatMap((part) => Object.keys(part as object));
    expect(keys.filter((key) => !named.has(key))).toEqual([]);
  });

  it('explains every loss and every stall', () => {
    expect(lossNames.filter((loss) => !page.includes(`| \`${loss}\` |`))).toEqual([]);
    expect(stallReasons.filter((reason) => !(queues as readonly string[]).includes(reason) && !named.has(reason))).toEqual([]);
  });
});

/** Rows `| file | table | ... |` of a page whose file is a source, from the n-th table of such rows. */
function tablesOf(page: string): readonly (readonly { readonly file: string; readonly name: string }[])[] {
  return read(page).split(/\n\n/).map((part) => [...part.matchAll(/^\| `([\w./-]+\.ts)` \| `(\w+)` \|/gm)].map(([, file, name]) => ({ file: file as string, name: name as string }))).filter((rows) => rows.length > 0);
}

describe.each(['docs/add-an-op.md', 'docs/add-an-instruction.md'])('%s', (page) => {
  it('names tables that are there', () => {
    const wrong = tablesOf(page).flat().filter(({ file, name }) => !new RegExp(`(const|type|class|function) ${name}\\b`).test(readFileSync(join(root, file), 'utf8')));
    expect(wrong).toEqual([]);
  });
});

describe('the compiler leads where the pages say', () => {
  let tree = '';
  const copied = ['diagnostics', 'isa-spec', 'ir', 'frontend', 'passes', 'backend-sohu', 'verifier', 'simulator', 'report', 'driver', 'test', 'tsconfig.json', 'package.json'];
  beforeAll(() => {
    tree = mkdtempSync(join(tmpdir(), 'sohuc-docs-'));
    for (const name of copied) cpSync(join(root, name), join(tree, name), { recursive: true, filter: (path) => !/\.(safetensors|onnx|snap|npy|bin)$/.test(path) });
    symlinkSync(join(root, 'node_modules'), join(tree, 'node_modules'));
  });
  afterAll(() => rmSync(tree, { recursive: true, force: true }));

  const check = (): readonly { readonly file: string; readonly message: string }[] => {
    const { stdout } = spawnSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '--pretty', 'false'], { cwd: tree, encoding: 'utf8' });
    return [...stdout.matchAll(/^(\S+?)\(\d+,\d+\): error TS\d+: (.*)$/gm)].map(([, file, message]) => ({ file: file as string, message: message as string }));
  };
  /** The first block of TypeScript of a page that declares something. */
  const snippet = (page: string, declares: string): string =>
    [...read(page).matchAll(/```ts\n([\s\S]*?)```/g)].map(([, block]) => block as string).find((block) => block.includes(declares)) ?? '';
  const files = (rows: readonly { readonly file: string }[] | undefined): readonly string[] => [...new Set(rows?.map(({ file }) => file))].toSorted();


  /** What each page adds, and the name the compiler then misses or does not know; all at once, as the compiler takes its time. */
  const added = [
    { name: 'square', file: 'ir/graph/ops.ts', before: '  readonly add: Record<never, never>;', lines: snippet('docs/add-an-op.md', 'readonly square') },
    { name: 'vclip', file: 'isa-spec/instructions.ts', before: '  coll: instruction({', lines: snippet('docs/add-an-instruction.md', 'vclip: instruction') },
    { name: 'clip', file: 'ir/tile/ops.ts', before: '  readonly allgather:', lines: snippet('docs/add-an-instruction.md', 'readonly clip') },
  ];
  let errors: ReturnType<typeof check> = [];
  beforeAll(() => {
    for (const { file, before, lines } of added) {
      const original = readFileSync(join(tree, file), 'utf8');
      expect(original).toContain(before);
      writeFileSync(join(tree, file), original.replace(before, `${lines}\n${before}`));
    }
    writeFileSync(join(tree, 'test/shown.ts'), snippet('docs/add-a-custom-layer.md', 'defineLayer').replace("'sohuc'", "'../ir/graph/custom.ts'"));
    errors = check();
  }, 60_000);
  const errorsOf = (name: string): readonly string[] => [...new Set(errors.filter(({ message }) => message.includes(`'${name}'`)).map(({ file }) => file))].toSorted();

  it('a new op', () => {
    expect(errorsOf('square')).toEqual(files(tablesOf('docs/add-an-op.md')[0]));
  });

  it('a new instruction', () => {
    expect(errorsOf('vclip')).toEqual(files(tablesOf('docs/add-an-instruction.md')[0]));
  });

  it('a new tile op', () => {
    expect(errorsOf('clip')).toEqual(expect.arrayContaining([...files(tablesOf('docs/add-an-instruction.md')[1])]));
    expect(tablesOf('docs/add-an-instruction.md')[1]).toHaveLength(7);
  });

  it('a custom layer as shown has the types of one', () => {
    expect(errors.filter(({ file }) => file === 'test/shown.ts')).toEqual([]);
  });
});
