import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { corpus } from './command.ts';
import { mutated, random, textual } from './mutate.ts';
import { outcomeOf } from './outcome.ts';

const onnx = join(corpus, 'onnx');

/** How many files to damage, and from which seed on: `SOHUC_MUTATIONS=100000` for a night. */
const [count, from] = [Number(process.env['SOHUC_MUTATIONS'] ?? 400), Number(process.env['SOHUC_MUTATIONS_FROM'] ?? 0)];

/** Larger files are of more of the same. */
const largest = 300_000;

describe.skipIf(!existsSync(onnx))('damaged files of the corpus', () => {
  it(`${count} files: each is compiled or refused`, { timeout: 60_000 + count * 1000 }, () => {
    const files = readdirSync(onnx, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.onnx') && statSync(join(onnx, name)).size < largest).toSorted();
    for (let seed = from; seed < from + count; seed++) {
      const next = random(seed);
      const name = files[next(files.length)] as string;
      const bytes = new Uint8Array(readFileSync(join(onnx, name)));
      const places = textual(bytes);
      const damaged = mutated(bytes, places.length === 0 ? [0] : places, next);
      try {
        outcomeOf(damaged);
      } catch (error) {
        throw new Error(`seed ${seed} of ${name}`, { cause: error });
      }
    }
    expect(files.length).toBeGreaterThan(1000);
  });
});
