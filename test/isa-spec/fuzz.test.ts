import { describe, expect, it } from 'vitest';
import { ProgramError, readContainer, writeContainer } from '../../isa-spec/container.ts';
import { decode, encode, IllegalInstruction } from '../../isa-spec/encoding.ts';
import { type Queue, queues, wordBytes } from '../../isa-spec/instructions.ts';
import { sampleProgram } from './sample-program.ts';

/** Marsaglia's xorshift32: the same words on every machine. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/** The words of the sample program, to start mutations from: words of random bits alone are hardly ever instructions. */
const words: readonly { readonly queue: Queue; readonly bytes: Uint8Array }[] = sampleProgram.code.flatMap((chips) =>
  chips.flatMap((chip) =>
    queues.flatMap((queue) => {
      const { words: code } = chip[queue];
      return Array.from({ length: code.length / wordBytes }, (_, i) => ({ queue, bytes: code.slice(i * wordBytes, (i + 1) * wordBytes) }));
    }),
  ),
);

describe('whatever the bytes', () => {
  it('a million words decode to themselves or are an IllegalInstruction', () => {
    const random = randomNumbers(1);
    const word = new Uint8Array(wordBytes);
    const whole = new Uint32Array(word.buffer);
    let legal = 0;
    for (let i = 0; i < 1_000_000; i++) {
      const from = words[random() % words.length]!;
      if (i % 4 === 0) for (let lane = 0; lane < 8; lane++) whole[lane] = random();
      else {
        word.set(from.bytes);
        for (let flips = random() % 4; flips > 0; flips--) {
          const bit = random() % 256;
          word[bit >>> 3] = word[bit >>> 3]! ^ (1 << (bit & 7));
        }
      }
      try {
        const instruction = decode(word, 0, from.queue);
        legal++;
        if (legal % 64 === 0) expect(encode(instruction, from.queue)).toEqual(word);
      } catch (error) {
        if (!(error instanceof IllegalInstruction)) throw error;
      }
    }
    expect(legal).toBeGreaterThan(100_000);
  }, 120_000);

  it('ten thousand mutated containers are read, or are a ProgramError', () => {
    const random = randomNumbers(2);
    const whole = writeContainer(sampleProgram);
    let refused = 0;
    for (let i = 0; i < 10_000; i++) {
      const bytes = i % 5 === 0 ? whole.slice(0, random() % whole.length) : whole.slice();
      for (let edits = 1 + (random() % 3); edits > 0 && bytes.length > 0; edits--) bytes[random() % bytes.length] = random() & 0xff;
      try {
        readContainer(bytes);
      } catch (error) {
        if (!(error instanceof ProgramError)) throw error;
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(9_900);
  }, 120_000);
});
