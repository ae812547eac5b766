import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Artefacts, writeWhole } from '../../driver/artefacts.ts';
import { UsageError } from '../../driver/session.ts';
import { folder } from './command.ts';

afterEach(() => vi.restoreAllMocks());

describe('artefacts', () => {
  it('appear together, whole, under their names', async () => {
    const at = join(folder(), 'new/folder');
    const artefacts = new Artefacts(at);
    await artefacts.add('a', ['one ', Buffer.from('two')]);
    await artefacts.add('b', []);
    expect(readdirSync(at).every((file) => file.endsWith('.part'))).toBe(true);
    expect(artefacts.publish()).toEqual([{ path: join(at, 'a'), bytes: 7 }, { path: join(at, 'b'), bytes: 0 }]);
    artefacts.discard();
    expect(readdirSync(at)).toEqual(['a', 'b']);
    expect(readFileSync(join(at, 'a'), 'utf8')).toBe('one two');
  });

  it('leave what was there when one of them fails', async () => {
    const at = folder();
    writeFileSync(join(at, 'a'), 'old');
    const artefacts = new Artefacts(at);
    await artefacts.add('a', ['new']);
    const failing = artefacts.add('b', (function* () {
      yield 'half';
      throw new Error('the source went away');
    })());
    await expect(failing).rejects.toThrow('the source went away');
    artefacts.discard();
    expect(readdirSync(at)).toEqual(['a']);
    expect(readFileSync(join(at, 'a'), 'utf8')).toBe('old');
  });

  it.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('leave nothing when %s ends the process, and let it', async (signal) => {
    const kill = vi.spyOn(process, 'kill').mockReturnValue(true);
    const at = folder();
    const artefacts = new Artefacts(at);
    await artefacts.add('a', ['whole']);
    await artefacts.add('b', (function* () {
      yield 'half';
      process.emit(signal, signal);
      expect(readdirSync(at)).toEqual([]);
    })());
    expect(kill).toHaveBeenCalledExactlyOnceWith(process.pid, signal);
    expect(process.listenerCount(signal)).toBe(0);
    artefacts.discard();
  });

  it('say how to write elsewhere when a folder cannot be written to', async () => {
    const at = folder();
    writeFileSync(join(at, 'file'), '');
    const below = new Artefacts(join(at, 'file/below'));
    await expect(below.add('a', ['x'])).rejects.toThrow(UsageError);
    below.discard();
    mkdirSync(join(at, 'out/a'), { recursive: true });
    const taken = new Artefacts(join(at, 'out'));
    await taken.add('a', ['x']);
    expect(() => taken.publish()).toThrow(/cannot write to .* `--out DIR` says where to write/);
    taken.discard();
    expect(readdirSync(join(at, 'out'))).toEqual(['a']);
  });

  it('a single text is whole or not there', () => {
    const at = folder();
    writeWhole(join(at, 'ir'), 'a.sir', 'text');
    expect(readdirSync(join(at, 'ir'))).toEqual(['a.sir']);
    mkdirSync(join(at, 'ir/b.sir'));
    expect(() => writeWhole(join(at, 'ir'), 'b.sir', 'text')).toThrow(UsageError);
    expect(readdirSync(join(at, 'ir'))).toEqual(['a.sir', 'b.sir']);
  });
});
