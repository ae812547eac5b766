import { describe, expect, it, vi } from 'vitest';
import { Diagnostics } from '../../diagnostics/diagnostic.ts';
import { Terminal } from '../../driver/terminal.ts';

/** What a terminal writes while `act` runs; `isTTY`: whether someone watches stderr. */
function said(isTTY: boolean, options: { readonly quiet: boolean; readonly json: boolean }, act: (terminal: Terminal) => void): { readonly stdout: string; readonly stderr: string } {
  const out = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    vi.spyOn(process[stream], 'write').mockImplementation((text) => {
      out[stream] += String(text);
      return true;
    });
  }
  const { isTTY: before } = process.stderr;
  process.stderr.isTTY = isTTY;
  try {
    act(new Terminal(options));
  } finally {
    process.stderr.isTTY = before;
    vi.restoreAllMocks();
  }
  return out;
}

const plain = { quiet: false, json: false };
const warned = new Diagnostics();
warned.report({ code: 'W2008', message: 'field `x` is not used', origin: { kind: 'config', path: 'x' } });
const refused = new Diagnostics();
refused.report({ code: 'E2003', message: 'field `y` is 3', origin: { kind: 'config', path: 'y' } });

describe('a terminal', () => {
  it('shows stages with their times to who watches, on stderr', () => {
    const { stdout, stderr } = said(true, plain, (terminal) => terminal.stage('import', '27 ops'));
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^ {2}import +\d+ ms {2}27 ops\n$/);
    expect(said(true, { quiet: true, json: false }, (terminal) => terminal.stage('import'))).toEqual({ stdout: '', stderr: '' });
  });

  it('shows none to a file or a pipe, and remembers them for the report', () => {
    let names: readonly string[] = [];
    const out = said(false, plain, (terminal) => {
      terminal.stage('import');
      terminal.stage('raise');
      names = terminal.stages.map(({ name }) => name);
    });
    expect(out).toEqual({ stdout: '', stderr: '' });
    expect(names).toEqual(['import', 'raise']);
  });

  it('colours diagnostics on a terminal only', () => {
    expect(said(true, plain, (terminal) => terminal.diagnostics(refused)).stderr).toContain('\u001B[');
    expect(said(false, plain, (terminal) => terminal.diagnostics(refused)).stderr).toBe('error[E2003]: field `y` is 3\n  at config.json: y\n1 error; `docs/errors/` explains each code\n');
  });

  it('keeps stdout for JSON, with --json', () => {
    const json = { quiet: false, json: true };
    expect(said(false, json, (terminal) => terminal.print('for people')).stdout).toBe('');
    expect(JSON.parse(said(false, json, (terminal) => terminal.value({ a: 1 })).stdout)).toEqual({ a: 1 });
    expect(said(false, json, (terminal) => terminal.diagnostics(warned))).toMatchObject({ stdout: '', stderr: expect.stringContaining('W2008') as string });
    const { stdout, stderr } = said(false, json, (terminal) => terminal.diagnostics(refused));
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toMatchObject({ diagnostics: [{ code: 'E2003', severity: 'error', message: 'field `y` is 3' }] });
  });

  it('keeps errors alone, with --quiet', () => {
    const quiet = { quiet: true, json: false };
    const { stdout, stderr } = said(false, quiet, (terminal) => {
      terminal.print('a report');
      terminal.note('a note');
      terminal.diagnostics(warned);
    });
    expect({ stdout, stderr }).toEqual({ stdout: '', stderr: '' });
    expect(said(false, quiet, (terminal) => terminal.diagnostics(refused)).stderr).toContain('error[E2003]');
  });
});
