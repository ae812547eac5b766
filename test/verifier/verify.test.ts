import { describe, expect, it } from 'vitest';
import { verify } from '../../verifier/verify.ts';
import { programOf } from './programs.ts';

/** These programs are about control, tokens and boxes, and move no data worth the name: what the rules of data say of them is left out. */
const examined: readonly string[] = ['V01', 'V03', 'V04', 'V05', 'V06', 'V10'];

const findings = (code: string): readonly string[] => verify(programOf(code)).filter(({ rule }) => examined.includes(rule)).flatMap(({ rule, message, notes }) => [`${rule} ${message}`, ...notes.map((note) => `  ${note}`)]);

const wld = 'wld format=e4m3 src=@0+ss1 kTiles=1 nTiles=1 split=0';
const mm = 'mm format=e4m3 accumulate=no split=0 a=@0x100 pitch=1 acc=0 kTiles=1 kLast=8 nTiles=1 rows=4';
const ring = '.ss 1 [0, 0, 0, 0] ring(8, 2, 0) [1, 0, 0, 0]';
const stream = '.ss 1 [0, 0, 0, 0] ring(8, 2, 0) [1, 0, 0, 0]\n.ss 2 [6, 0, 0, 0]';

/** 80 weight tiles through a ring of two slots of SRAM: wld gives both in advance, dma0 takes them back. */
const sound = `.queue dma0
${stream}
loop level=0 count=80 body=1
  dld src=weights@0+ss2 srcPitch=1 dst=@0+ss1 dstPitch=1 lines=1 rows=8 wait(s2) post(s1)
sync wait(s2*2)
.queue wld
${ring}
sync post(s2*2)
loop level=0 count=80 body=1
  ${wld} wait(s1) post(s2)
.queue mxu
loop level=0 count=80 body=1
  ${mm}`;

describe('verify', () => {
  it('has nothing to say of a sound program', () => {
    expect(findings(sound)).toEqual([]);
  });

  it('V01: words that are no instructions, and instructions the machine has not', () => {
    expect(findings(sound.replace('kTiles=1 nTiles=1 split=0\n', 'kTiles=1 nTiles=1 split=4\n').replace('src=@0+ss1', 'src=@0+ss9').replace('split=0 wait', 'split=4 wait'))).toEqual([
      'V01 wld:2: wld must be one that drives no more arrays than the machine has: nTiles * 2^(split + kSplit) <= arrays',
      'V01 wld:2: `src` is moved by stride set 9, which is not defined',
    ]);
    const added = 'must be one that shares k among arrays only if sums are exact, or blocks have scales: e4m3 by e4m3';
    expect(findings('.queue wld\nwld format=bf16 src=@0 kTiles=2 nTiles=1 split=0 kSplit=1\n')[0]).toBe(`V01 wld:0: wld ${added}`);
    expect(findings('.queue mxu\nmm format=bf16 accumulate=no split=0 a=@0 pitch=2 acc=0 kTiles=2 kLast=8 nTiles=1 rows=4 kSplit=1\n')[0]).toBe(`V01 mxu:0: mm ${added}`);
    expect(findings('.queue wld\nwld format=e4m3 src=@0 kTiles=2 nTiles=2 split=1 kSplit=1\n')[0]).toBe('V01 wld:0: wld must be one that drives no more arrays than the machine has: nTiles * 2^(split + kSplit) <= arrays');
    const program = programOf(sound);
    program.code[0]![0]!.mxu.words[33] = 0xff;
    expect(verify(program)).toMatchObject([{ rule: 'V01', place: { entry: 'step', chips: [0], queue: 'mxu', pc: 1 } }]);
  });

  it('V03: loops that do not nest, registers nobody set', () => {
    expect(findings('.queue mxu\nloop level=0 count=2 body=2\nloop level=0 count=2 body=1\nsync\n')).toEqual(['V03 mxu:1: the loop counts I0, and so does the loop at 0 around it']);
    expect(findings('.queue mxu\nloop level=0 count=2 body=2\nsync\n')).toEqual(["V03 mxu:0: the loop's 2 instructions end at 3, the code of mxu at 2"]);
    expect(findings(`.queue mxu\n${mm.replace('rows=4', 'rows=4:R1@1')}`)).toContain('V03 mxu:0: `rows` is shortened by R1, which nothing has set');
  });

  it('V04: two queues that wait for one semaphore', () => {
    expect(findings('.queue dma0\nsync post(s1*2)\n.queue wld\nsync wait(s1)\n.queue mxu\nsync wait(s1)\n')).toEqual([
      'V04 s1 (ready: w.ring) is waited for by 2 queues: wld, mxu',
      '  waited for by wld:0',
      '  waited for by mxu:0',
      '  give each of them a semaphore of its own',
    ]);
    expect(findings('.queue vec\nsync post(s1)\n.queue wld\nsync wait(s1)\n')).toEqual(['V04 s1 (ready: w.ring) is declared to be posted by dma0', '  posted by vec:0']);
  });

  it('V05: queues that wait for each other, in the iteration they do', () => {
    // Only one slot is given in advance, and wld takes two before it gives one back.
    const tight = sound.replace('sync post(s2*2)', 'sync post(s2)').replace(`${wld} wait(s1) post(s2)`, `${wld} wait(s1*2) post(s2)`);
    expect(findings(tight)).toEqual([
      'V05 deadlock: dma0 waits for wld waits for dma0',
      '  dma0:1 at I0=1 `dld src=weights@0x0+ss2 srcPitch=1 dst=@0x0+ss1 dstPitch=1 lines=1 rows=8 wait(s2) post(s1)` waits for 1 of s2 (free: w.ring), has 0, last posted by wld:0',
      '  wld:2 `wld format=e4m3 src=@0x0+ss1 kTiles=1 nTiles=1 split=0 wait(s1*2) post(s2)` waits for 2 of s1 (ready: w.ring), has 1, last posted by dma0:1',
    ]);
  });

  it('V05: a queue that waits for itself, for nobody, for the weight FIFO', () => {
    expect(findings('.queue vec\nsync wait(s7)\nsync post(s7)\n')[0]).toBe('V05 deadlock: vec waits for itself');
    expect(findings('.queue vec\nsync wait(s7)\n.queue mxu\nsync post(s7)\nsync post(s7)\n.queue epi\nsync wait(s8)\n').slice(0, 2)).toEqual([
      'V05 deadlock: epi waits for what nobody is left to give',
      '  epi:0 `sync wait(s8)` waits for 1 of s8, has 0, never posted',
    ]);
    expect(findings(`.queue wld\n${ring}\n${wld}\n${wld}\n${wld} post(s9)\n.queue mxu\n${mm} wait(s9)\n${mm}\n${mm}\n`)).toEqual([
      'V05 deadlock: wld waits for mxu waits for wld',
      '  wld:2 `wld format=e4m3 src=@0x0+ss1 kTiles=1 nTiles=1 split=0 post(s9)` waits for room in the weight FIFO, which holds 2',
      '  mxu:0 `mm format=e4m3 accumulate=no split=0 a=@0x100 pitch=1 acc=0 kTiles=1 kLast=8 nTiles=1 rows=4 wait(s9)` waits for 1 of s9, has 0, never posted',
    ]);
  });

  it('V05: says so when it gives up', () => {
    const nest = '.queue vec\nloop level=0 count=1048576 body=4\nloop level=1 count=1048576 body=3\nloop level=2 count=1048576 body=2\nloop level=3 count=1048576 body=1\nsync\n';
    expect(findings(nest)[0]).toMatch(/^V05 not proved/);
  });

  it('V06: tokens and weights left over', () => {
    expect(findings('.queue dma0\nloop level=0 count=15 body=1\nsync post(s1*2)\n.queue wld\nloop level=0 count=15 body=1\nsync wait(s1)\n')).toEqual([
      'V06 s1 (ready: w.ring) has 15 tokens left at the end of a step',
      '  first posted by dma0:1',
      '  first waited for by wld:1',
    ]);
    expect(findings(`.queue wld\n${ring}\n${wld}\n`)[0]).toBe('V06 the weight FIFO has 1 entries left at the end of a step');
  });

  it('V10: a box outside its memory, in the iteration that leaves it', () => {
    expect(findings(sound.replace('.ss 2 [6,', '.ss 2 [7,'))).toEqual([
      'V10 dma0:1: `src` ends at 561 of 512 lines of `weights` at I0=79',
      '  `dld src=weights@0x0+ss2 srcPitch=1 dst=@0x0+ss1 dstPitch=1 lines=1 rows=8 wait(s2) post(s1)`',
    ]);
    expect(findings(`.queue mxu\n.ss 1 [0, 0, 0, 0] ring(15, 2, 0) [1, 0, 0, 0]\nloop level=0 count=2 body=1\n${mm.replace('acc=0', 'acc=15+ss1')}\n.queue wld\n${ring}\nloop level=0 count=2 body=1\n${wld}\n`)[0]).toBe(
      'V10 mxu:1: `acc` ends at 34 of 32 accumulator rows at I0=1',
    );
  });

  it('V10: windows end where the step does', () => {
    // 20 rows of 51 lines end at 971 + 1; the third window of 8 rows would end at 1174 if the step did not end first.
    const copy = (reg: number): string => `.queue vec
.ss 1 [0, 408, 0, 0]
sreg reg=1 count=tokens
loop level=1 count=3 body=1
vmap function=relu xFormat=bf16 yFormat=f32 format=bf16 x=@0+ss1 xPitch=51 y=@0 yPitch=0 out=@0 outPitch=51 columns=1 rows=8:R${reg}@1`;
    expect(findings(copy(1))).toEqual([]);
    expect(findings(copy(0))[0]).toBe('V10 vec:2: `x` ends at 1174 of 1024 lines of SRAM at I1=2');
  });

  it('V10: pages and lists as long as the entry says', () => {
    const attn = (off: number): string => `.queue att\nattn format=e4m3 mask=causal kv=kv@${off} pages=0 pageRows=4 kvLines=8 kvHeads=1 window=0\n`;
    // 4 pages of 8 rows of 8 lines are the 256 lines of the region.
    expect(findings(attn(0))).toEqual([]);
    expect(findings(attn(1))[0]).toBe('V10 att:0: `kv` ends at 257 of 256 lines of `kv`');
    expect(findings(attn(0).replace('pages=0', 'pages=1021'))[0]).toContain('`pages` ends at 1025 of 1024 lines of SRAM');
  });
});
