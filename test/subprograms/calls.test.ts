import { describe, expect, it } from 'vitest';
import { disassemble } from '../../isa-spec/disassembly.ts';
import type { Program } from '../../isa-spec/program.ts';
import { encodeStepBlock } from '../../isa-spec/step-block.ts';
import { createMachineState, imageSource, readHbm } from '../../simulator/functional/machine-state.ts';
import { runStep } from '../../simulator/functional/run.ts';
import { simulateTiming } from '../../simulator/timing/simulate.ts';
import { prove } from '../../verifier/verify.ts';
import { emptyStep } from '../simulator/functional/harness.ts';
import { programOf } from '../verifier/programs.ts';

/** Squares what two halves of the weights hold, three times four rows of each: loads, products and stores are each one body. */
const called = `.queue dma0
.ss 1 [4, 0, 0, 0]
.ss 2 [4, 0, 0, 0]
.ss 3 [4, 0, 0, 0] ring(64, 2, 1) [0, 0, 0, 0]
.ss 4 [4, 0, 0, 0] ring(128, 2, 1) [0, 0, 0, 0]
loop level=0 count=3 body=2
  call target=load
  call target=load frame=2
ret
load:
  dld src=weights@8+ss1 srcPitch=1 dst=@0+ss2 dstPitch=1 lines=1 rows=4 post(s1)
  ret
.queue vec
.ss 1 [0, 0, 0, 0]
.ss 2 [4, 0, 0, 0]
.ss 3 [4, 0, 0, 0]
.ss 4 [4, 0, 0, 0] ring(128, 2, 1) [0, 0, 0, 0]
.ss 5 [4, 0, 0, 0] ring(64, 2, 1) [0, 0, 0, 0]
loop level=0 count=3 body=1
  call target=both frame=1
ret
square:
  vmap function=multiply xFormat=f32 yFormat=f32 format=f32 x=@0+ss1 xPitch=1 y=@0+ss1 yPitch=1 out=@256+ss2 outPitch=1 columns=2 rows=4 wait(s1)
  ret post(s2)
both:
  call target=square
  call target=square frame=2
  ret
.queue dma1
.ss 1 [4, 0, 0, 0]
.ss 2 [4, 0, 0, 0] ring(64, 2, 1) [0, 0, 0, 0]
loop level=0 count=3 body=2
  call target=store wait(s2)
  call target=store frame=1 wait(s2)
ret
store:
  dst src=@256+ss1 srcPitch=1 dst=kv@0+ss1 dstPitch=1 lines=1 rows=4
  ret`;
const inline = `.queue dma0
.ss 1 [4, 0, 0, 0]
.ss 2 [4, 0, 0, 0] ring(64, 2, 1) [0, 0, 0, 0]
.ss 3 [4, 0, 0, 0] ring(128, 2, 1) [0, 0, 0, 0]
loop level=0 count=3 body=2
  dld src=weights@8+ss1 srcPitch=1 dst=@0+ss1 dstPitch=1 lines=1 rows=4 post(s1)
  dld src=weights@8+ss2 srcPitch=1 dst=@0+ss3 dstPitch=1 lines=1 rows=4 post(s1)
.queue vec
.ss 1 [4, 0, 0, 0]
.ss 2 [4, 0, 0, 0] ring(128, 2, 1) [0, 0, 0, 0]
.ss 3 [4, 0, 0, 0] ring(64, 2, 1) [0, 0, 0, 0]
loop level=0 count=3 body=2
  vmap function=multiply xFormat=f32 yFormat=f32 format=f32 x=@0+ss1 xPitch=1 y=@0+ss1 yPitch=1 out=@256+ss1 outPitch=1 columns=2 rows=4 wait(s1) post(s2)
  vmap function=multiply xFormat=f32 yFormat=f32 format=f32 x=@0+ss2 xPitch=1 y=@0+ss2 yPitch=1 out=@256+ss3 outPitch=1 columns=2 rows=4 wait(s1) post(s2)
.queue dma1
.ss 1 [4, 0, 0, 0]
.ss 2 [4, 0, 0, 0] ring(64, 2, 1) [0, 0, 0, 0]
loop level=0 count=3 body=2
  dst src=@256+ss1 srcPitch=1 dst=kv@0+ss1 dstPitch=1 lines=1 rows=4 wait(s2)
  dst src=@256+ss2 srcPitch=1 dst=kv@0+ss2 dstPitch=1 lines=1 rows=4 wait(s2)`;

/** The program without what the tests' programs say of semaphores 1 and 2. */
const free = (code: string): Program => ({ ...programOf(code), semaphores: [] });
const [withCalls, without] = [free(called), free(inline)];
const step = encodeStepBlock(emptyStep);

describe('a program of nested calls in frames, and the same written out by hand', () => {
  it('compute the same', () => {
    const weights = new Float32Array(1024).map((_, i) => i / 8 - 20);
    const results = [withCalls, without].map((program) => {
      const state = createMachineState(program, [imageSource(new Uint8Array(weights.buffer))]);
      runStep(state, [step], undefined, undefined, { races: true, instructions: 1000 });
      return new Float32Array(readHbm(state, 0, 'kv', 0, 1024).buffer);
    });
    expect(results[0]).toEqual(results[1]);
    // Line 8 of the weights on; a line is two numbers.
    expect(results[0]!.slice(0, 24)).toEqual(weights.slice(16, 40).map((x) => x * x));
    expect(results[0]!.slice(128, 152)).toEqual(weights.slice(144, 168).map((x) => x * x));
  });

  it('take the same time: calls and returns are words that run ahead, as loops are', () => {
    const [a, b] = [withCalls, without].map((program) => simulateTiming(program, [step]));
    if (a?.kind !== 'timing' || b?.kind !== 'timing') throw new Error(JSON.stringify([a, b]));
    expect(a.cycles).toBe(b.cycles);
    const words = 3 * 2 * 2 + 1 + 3 * 3 * 2 + 1 + 3 * 2 * 2 + 1;
    expect(a.instructions - b.instructions).toBe(words);
    expect(a.perChip[0]!.engines).toEqual(b.perChip[0]!.engines);
  });

  it('are proved alike, and broken alike', () => {
    expect(prove(withCalls)).toEqual(prove(without));
    expect(prove(withCalls).findings).toEqual([]);
    // The second half is stored from where the first is.
    const moved = (code: string): string => code.replace('.ss 2 [4, 0, 0, 0] ring(64, 2, 1) [0, 0, 0, 0]\nloop', '.ss 2 [4, 0, 0, 0] ring(16384, 2, 1) [0, 0, 0, 0]\nloop');
    const [a, b] = [called, inline].map((code) => prove(free(moved(code))));
    expect(a!.verdicts).toEqual(b!.verdicts);
    expect(a!.findings.map(({ rule, message, notes }) => [rule, message, notes[0]])).toEqual([
      ['V10', 'dma1:4 (called at 2): `src` ends at 16652 of 1024 lines of SRAM at I0=2', '`dst src=@0x100+ss1 srcPitch=1 dst=kv@0x0+ss1 dstPitch=1 lines=1 rows=4`'],
      ['V10', 'dma1:4 (called at 2): `dst` ends at 16396 of 256 lines of `kv` at I0=2', '`dst src=@0x100+ss1 srcPitch=1 dst=kv@0x0+ss1 dstPitch=1 lines=1 rows=4`'],
    ]);
  });

  it('a token left out of a subprogram is missed in every call', () => {
    const { findings } = prove(free(called.replace('  ret post(s2)', '  ret')));
    expect(findings.map(({ rule, message, notes }) => [rule, message, ...notes])).toEqual([
      ['V05', 'deadlock: dma1 waits for what nobody is left to give', 'dma1:1 `call target=4 wait(s2)` waits for 1 of s2, has 0, never posted'],
    ]);
    const raced = prove(free(called.replace(' rows=4 wait(s1)', ' rows=4').replace('  ret post(s2)', '  ret wait(s1) post(s2)'))).findings;
    expect(raced[0]!.message).toBe('vec:3 (called at 5, at 1) reads SRAM that dma0:4 (called at 1) writes, in either order');
  });

  it('reads in assembly as it was written', () => {
    const text = disassemble(withCalls);
    expect(text.slice(text.indexOf('.queue vec'))).toBe(`.queue vec
  .ss 1 [0, 0, 0, 0]
  .ss 2 [4, 0, 0, 0]
  .ss 3 [4, 0, 0, 0]
  .ss 4 [4, 0, 0, 0] ring(128, 2, 1) [0, 0, 0, 0]
  .ss 5 [4, 0, 0, 0] ring(64, 2, 1) [0, 0, 0, 0]
  loop level=0 count=3 body=1
    call target=sub_5 frame=1
  ret
sub_3:
  vmap function=multiply xFormat=f32 yFormat=f32 format=f32 x=@0x0+ss1 xPitch=1 y=@0x0+ss1 yPitch=1 out=@0x100+ss2 outPitch=1 columns=2 rows=4 wait(s1)
  ret post(s2)
sub_5:
  call target=sub_3
  call target=sub_3 frame=2
  ret
`);
  });
});
