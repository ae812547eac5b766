import { describe, expect, it } from 'vitest';
import { buildProgram } from '../../backend-sohu/program.ts';
import { decodeAll, encodeAll } from '../../isa-spec/encoding.ts';
import { type Instruction, type Queue, queues } from '../../isa-spec/instructions.ts';
import { sohu } from '../../isa-spec/machines/sohu.ts';
import { tiny } from '../../isa-spec/machines/tiny.ts';
import type { Program } from '../../isa-spec/program.ts';
import { verify } from '../../verifier/verify.ts';
import { fitted, normative } from '../passes/lower.ts';
import { tinyLlama } from '../passes/tiny-llama.ts';

const compiled = (precision: 'fp8' | 'bf16', machine: typeof sohu, share: number): Program => buildProgram(fitted(normative(tinyLlama(), machine, precision), machine, share).tile, machine, 'step', {}).program;

describe.each(['fp8', 'bf16'] as const)('what the compiler makes of %s', (precision) => {
  it.each([['sohu', sohu, 0.25], ['tiny', tiny, 0.25], ['tiny with small stages', tiny, 0.19]] as const)('is sound on %s', (_, machine, share) => {
    expect(verify(compiled(precision, machine, share))).toEqual([]);
  });
});

/** A program with the n-th token of a queue's code taken away. */
function without(program: Program, queue: Queue, n: number): Program | undefined {
  const chip = program.code[0]![0]!;
  let left = n;
  const drop = (instruction: Instruction): Instruction => {
    const keep = <T>(tokens: readonly T[]): readonly T[] => tokens.filter(() => left-- !== 0);
    return { ...instruction, waits: keep(instruction.waits), posts: keep(instruction.posts) };
  };
  const code = decodeAll(chip[queue].words, queue).map(drop);
  if (left >= 0) return undefined;
  return { ...program, code: [[{ ...chip, [queue]: { ...chip[queue], words: encodeAll(code, queue) } }]] };
}

it('no token of a compiled program can be left out', () => {
  const program = compiled('fp8', tiny, 0.19);
  let tried = 0;
  for (const queue of queues) {
    for (let n = 0; ; n++) {
      const mutant = without(program, queue, n);
      if (mutant === undefined) break;
      tried++;
      expect(verify(mutant), `token ${n} of ${queue}`).not.toEqual([]);
    }
  }
  expect(tried).toBeGreaterThan(50);
});
