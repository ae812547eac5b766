import { describe, expect, it } from 'vitest';
import { buildProgram, placedOn } from '../../backend-sohu/program.ts';
import { decodeAll, encodeAll } from '../../isa-spec/encoding.ts';
import { type Instruction, type Queue, queues } from '../../isa-spec/instructions.ts';
import type { Machine } from '../../isa-spec/machine.ts';
import { sohu, sohu8 } from '../../isa-spec/machines/sohu.ts';
import { tiny, tiny2 } from '../../isa-spec/machines/tiny.ts';
import type { Program } from '../../isa-spec/program.ts';
import { firstFinding, prove } from '../../verifier/verify.ts';
import { fitted, normative, smallBounds } from '../passes/lower.ts';
import { tinyLlama } from '../passes/tiny-llama.ts';

type Variant = { readonly machine: Machine; readonly share: number; readonly tp: number; readonly tokens: number };

const compiled = (precision: 'fp8' | 'bf16', { machine, share, tp, tokens }: Variant): Program =>
  buildProgram([placedOn(fitted(normative(tinyLlama(), machine, precision, tp), machine, share, tp, { ...smallBounds, tokens }).tile, machine)], machine, 'step', {});

const plain: Variant = { machine: sohu, share: 0.25, tp: 1, tokens: smallBounds.tokens };
const variants: Readonly<Record<string, Variant>> = {
  'the full-sized machine': plain,
  'small stages of it': { ...plain, share: 0.008 },
  'a machine of 8x8 arrays': { ...plain, machine: tiny },
  'small stages of that': { ...plain, machine: tiny, share: 0.19 },
  'values in HBM': { ...plain, machine: tiny, share: 0.2, tokens: 150 },
  'two chips': { ...plain, machine: sohu8, tp: 2 },
  'four chips, two to a KV head': { ...plain, machine: sohu8, tp: 4 },
  'two small chips': { ...plain, machine: tiny2, tp: 2 },
};

describe.each(['fp8', 'bf16'] as const)('what the compiler makes of %s', (precision) => {
  it.each(Object.entries(variants))('is sound on %s', (_, variant) => {
    const { findings, verdicts } = prove(compiled(precision, variant));
    expect(findings).toEqual([]);
    expect(verdicts.filter(({ outcome }) => outcome !== 'proved').map(({ rule }) => rule)).toEqual(['V02', 'V16']);
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
  const program = compiled('fp8', variants['small stages of that']!);
  let tried = 0;
  for (const queue of queues) {
    for (let n = 0; ; n++) {
      const mutant = without(program, queue, n);
      if (mutant === undefined) break;
      tried++;
      expect(firstFinding(mutant), `token ${n} of ${queue}`).toBeDefined();
    }
  }
  expect(tried).toBeGreaterThan(50);
});
