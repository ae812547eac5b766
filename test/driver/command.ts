import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { onTestFinished, vi } from 'vitest';
import { main } from '../../driver/main.ts';

export const root = resolve(import.meta.dirname, '../..');
export const example = (path: string): string => join(root, 'examples', path);
export const corpus = resolve(root, '../shared/corpus');

export type Ran = { readonly code: number | null; readonly stdout: string; readonly stderr: string };

/** Runs a command line in this process. One at a time: the streams are the process's. */
export function sohuc(...words: readonly string[]): Promise<Ran> {
  const ran = before.then(() => captured(words));
  before = ran.catch(() => undefined);
  return ran;
}
let before: Promise<unknown> = Promise.resolve();

async function captured(words: readonly string[]): Promise<Ran> {
  const said = { stdout: '', stderr: '' };
  const spies = (['stdout', 'stderr'] as const).map((stream) =>
    vi.spyOn(process[stream], 'write').mockImplementation((text) => {
      said[stream] += String(text);
      return true;
    }),
  );
  const { isTTY } = process.stderr;
  process.stderr.isTTY = false;
  try {
    return { code: await main(words), ...said };
  } finally {
    process.stderr.isTTY = isTTY;
    for (const spy of spies) spy.mockRestore();
  }
}

/** Runs the built command as a user does, elsewhere. */
export function spawned(...words: readonly string[]): Promise<Ran> {
  const command = join(root, 'dist/sohuc.js');
  if (!existsSync(command)) throw new Error('dist/sohuc.js is not built: npm run build');
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, [command, ...words], { cwd: tmpdir(), stdio: ['ignore', 'pipe', 'pipe'] });
    const said = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
    child.stdout.on('data', (chunk: Buffer) => said.stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => said.stderr.push(chunk));
    child.on('error', fail);
    child.on('close', (code) => done({ code, stdout: Buffer.concat(said.stdout).toString('utf8'), stderr: Buffer.concat(said.stderr).toString('utf8') }));
  });
}

/** A folder for one test. */
export function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'sohuc-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** What no user should see. */
export const stackTrace = /\n\s+at .*(\.js|\.ts|node:\w+):\d+:\d+|bug in sohuc|internal:/;
