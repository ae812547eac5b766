import { describe, expect, it } from 'vitest';
import { buildProgram, placedOn } from '../../backend-sohu/program.ts';
import { decodeAll, encodeAll } from '../../isa-spec/encoding.ts';
import { type Instruction, type InstructionOf, type Mnemonic, type Queue } from '../../isa-spec/instructions.ts';
import type { Json } from '../../isa-spec/json.ts';
import { sohu8 } from '../../isa-spec/machines/sohu.ts';
import { tiny } from '../../isa-spec/machines/tiny.ts';
import type { ChipCode, Program } from '../../isa-spec/program.ts';
import type { RuleId } from '../../verifier/chip.ts';
import { prove, verify } from '../../verifier/verify.ts';
import { fitted, normative } from '../passes/lower.ts';
import { tinyLlama } from '../passes/tiny-llama.ts';
import { programOf } from './programs.ts';

const program = buildProgram([placedOn(fitted(normative(tinyLlama(), tiny, 'fp8'), tiny, 0.19).tile, tiny)], tiny, 'step', {});
const pair = buildProgram([placedOn(fitted(normative(tinyLlama(), sohu8, 'fp8', 2), sohu8, 0.25, 2).tile, sohu8)], sohu8, 'step', {});

const textsOf = (broken: Program, rule: RuleId): readonly string[] => verify(broken).filter((finding) => finding.rule === rule).flatMap(({ message, notes }) => [message, ...notes.map((note) => `  ${note}`)]);

/** The program with a queue's code changed, on all chips or on one. */
function recoded(from: Program, queue: Queue, change: (code: readonly Instruction[]) => readonly Instruction[], chip?: number): Program {
  const old = from.code[0]![0]!;
  const changed: ChipCode = { ...old, [queue]: { ...old[queue], words: encodeAll(change(decodeAll(old[queue].words, queue)), queue) } };
  return { ...from, code: [from.code[0]!.map((one, at) => (chip === undefined || at === chip ? changed : one))] };
}

/** The n-th instruction of a kind with other fields. */
const refielded = <M extends Mnemonic>(from: Program, queue: Queue, op: M, change: (fields: InstructionOf<M>['fields']) => object, n = 0): Program =>
  recoded(from, queue, (code) => {
    let left = n;
    return code.map((instruction) => (instruction.op === op && left-- === 0 ? ({ ...instruction, fields: { ...instruction.fields, ...change(instruction.fields as never) } } as Instruction) : instruction));
  });

/** The certificate with some of its JSON changed. */
const recertified = (from: Program, change: (life: { ops: Json[]; loops: Json[]; buffers: { [key: string]: Json }[] }) => void): Program => {
  const life = JSON.parse(JSON.stringify(from.life)) as { ops: Json[]; loops: Json[]; buffers: { [key: string]: Json }[] }[];
  change(life[0]!);
  return { ...from, life: life as unknown as Json };
};

describe('what nothing is known of', () => {
  it('is said, with the reason', () => {
    const skipped = prove(programOf('')).verdicts.flatMap((verdict) => (verdict.outcome === 'skipped' ? [`${verdict.rule} ${verdict.reason}`] : []));
    expect(skipped).toEqual([
      'V02 proved by reading: the reader of containers refuses every other file',
      'V12 the program has no certificate (`life`)', 'V13 the program has no certificate (`life`)', 'V14 the program has no certificate (`life`)',
      'V16 no machine says which lines share a bank: their conflicts are part of its rates',
      'V22 the program has no map of weights',
    ]);
    const { findings, verdicts } = prove(programOf('.queue vec\nsync wait(s7)\n'));
    expect(findings.map(({ rule }) => rule)).toEqual(['V05']);
    expect(verdicts.find(({ rule }) => rule === 'V11')).toMatchObject({ outcome: 'skipped', reason: 'needs V05' });
  });
});

describe('V06, the end of a step', () => {
  it('is told to the host when nothing is under way', () => {
    const early = recoded(program, 'ctl', (code) => code.flatMap((one, pc) => (one.op === 'event' ? [one, code[pc - 1]!] : code[pc + 1]?.op === 'event' ? [] : [one])));
    const [message, ...notes] = textsOf(early, 'V06');
    expect(message).toMatch(/^ctl:\d+ \(end\) tells the host that the step is done, and dma0:\d+ \(.*linear\) may still be under way$/);
    expect(notes).toContainEqual(expect.stringMatching(/^ {2}and vec:\d+ /));
    expect(notes.at(-1)).toBe('  ctl must wait for them, or for who has waited for them');

    const store = '.queue dma0\ndst src=@0 srcPitch=1 dst=kv@0 dstPitch=1 lines=1 rows=4';
    expect(textsOf(programOf(`.queue ctl\nevent tag=0 wait(s5)\n${store} post(s5)\n`), 'V06')).toEqual([]);
    expect(textsOf(programOf(`.queue ctl\nevent tag=0\n${store}\n`), 'V06')[0]).toBe('ctl:0 tells the host that the step is done, and dma0:0 may still be under way');
  });
});

describe('V07, tokens in any schedule', () => {
  it('counts what is posted while the waiter is held up as long as can be', () => {
    // vec posts 20 tokens and waits for nobody; the greedy run never sees more than a few of them.
    const free = '.queue vec\nloop level=0 count=20 body=1\nsync post(s5)\n.queue epi\nloop level=0 count=20 body=1\nsync wait(s5)\n';
    expect(textsOf(programOf(free), 'V07')).toEqual([
      's5 may hold 16 tokens, more than 15',
      '  vec:1 at I0=15 posts it while epi may still be held up before epi:1',
      '  vec must wait for epi before it posts so often',
    ]);
    const paced = '.queue vec\nloop level=0 count=20 body=1\nsync wait(s6) post(s5)\nsync wait(s6*4)\n.queue epi\nsync post(s6*4)\nloop level=0 count=20 body=1\nsync wait(s5) post(s6)\n';
    expect(textsOf(programOf(paced), 'V07')).toEqual([]);
  });
});

describe('V08, neutral loops', () => {
  it('names the loops that do not go together', () => {
    const uneven = '.queue vec\nloop level=0 count=3 body=1\nsync post(s5*2)\n.queue epi\nloop level=0 count=6 body=1\nsync wait(s5)\n';
    expect(textsOf(programOf(uneven), 'V08')[0]).toBe('s5: vec:0 is repeated 3 times, epi:0 6 times');
  });
});

describe('V09, predicates', () => {
  it('are set before they are used, from registers that are', () => {
    const copy = 'vmap function=copy xFormat=bf16 yFormat=bf16 format=bf16 x=@0 xPitch=1 y=@0 yPitch=0 out=@8 outPitch=1 columns=1 rows=1';
    expect(textsOf(programOf(`.queue vec\n${copy} if P2\n`), 'V09')).toEqual(['vec:0 depends on P2, which nothing has set']);
    expect(textsOf(programOf('.queue vec\nsetp compare=ge target=2 reg=3 value=1\n'), 'V03')).toEqual(['vec:0: compares R3, which nothing has set']);
    expect(textsOf(programOf(`.queue vec\nsreg reg=3 count=tokens\nsetp compare=ge target=2 reg=3 value=1\n${copy} if P2\n`), 'V09')).toEqual([]);
  });

  it('decide over effects, never over tokens, and over nothing the certificate counts on', () => {
    const off = '.queue vec\nsreg reg=3 count=tokens\nsetp compare=ge target=2 reg=3 value=1\nnop if P2 post(s5)\n';
    expect(verify(programOf(`${off}.queue epi\nsync wait(s5)\n`)).filter(({ rule }) => ['V05', 'V06', 'V09'].includes(rule))).toEqual([]);
    expect(textsOf(programOf(off), 'V06')[0]).toBe('s5 has 1 token left at the end of a step');
    const maybe = recoded(program, 'vec', (code) => code.map((one) => (one.op === 'vnorm' ? { ...one, predicate: 2 } : one)));
    expect(textsOf(maybe, 'V09')).toContainEqual(expect.stringMatching(/^vec:\d+ \(.*norm\) has its effect only while P2 holds; the certificate counts on it$/));
  });
});

describe('V11, races', () => {
  const load = 'dld src=weights@0 srcPitch=1 dst=@16 dstPitch=1 lines=1 rows=8';
  const copy = (at: number): string => `vmap function=copy xFormat=bf16 yFormat=bf16 format=bf16 x=@${at} xPitch=1 y=@0 yPitch=0 out=@64 outPitch=1 columns=1 rows=4`;

  it('shows both instructions, their lines and the missing token', () => {
    expect(textsOf(programOf(`.queue dma0\n${load}\n.queue vec\n${copy(20)}\n`), 'V11')).toEqual([
      'vec:0 reads SRAM that dma0:0 writes, in either order',
      '  vec:0 `x`: lines 20 to 23',
      '  dma0:0 `dst`: lines 16 to 23',
      '  missing: a token dma0 posts after dma0:0, and vec waits for before vec:0 (or the other way round)',
    ]);
    expect(textsOf(programOf(`.queue dma0\n${load} post(s5)\n.queue vec\n${copy(20)} wait(s5)\n`), 'V11')).toEqual([]);
    expect(textsOf(programOf(`.queue dma0\n${load}\n.queue vec\n${copy(24)}\n`), 'V11')).toEqual([]);
  });

  it('order goes through other queues, and a post before the effect orders nothing', () => {
    const through = '.queue epi\nsync wait(s5) post(s6)\n';
    expect(textsOf(programOf(`.queue dma0\n${load} post(s5)\n${through}.queue vec\n${copy(20)} wait(s6)\n`), 'V11')).toEqual([]);
    expect(textsOf(programOf(`.queue dma0\nsync post(s5)\n${load}\n.queue vec\n${copy(20)} wait(s5)\n`), 'V11')).toHaveLength(4);
  });

  it('finds the slot of a ring that is still being read', () => {
    const ring = (ahead: number): string => `.queue dma0\n.ss 1 [0, 0, 0, 0] ring(8, 2, 0) [1, 0, 0, 0]\nloop level=0 count=40 body=1\n${load}${' '}wait(s6) post(s5)\nsync wait(s6*${ahead})\n.queue vec\n.ss 1 [0, 0, 0, 0] ring(8, 2, 0) [1, 0, 0, 0]\nsync post(s6*${ahead})\nloop level=0 count=40 body=1\n${copy(16)} wait(s5) post(s6)\n`.replaceAll('dst=@16', 'dst=@16+ss1').replaceAll('x=@16', 'x=@16+ss1');
    expect(textsOf(programOf(ring(2)), 'V11')).toEqual([]);
    expect(textsOf(programOf(ring(3)), 'V11')[0]).toMatch(/^(vec:2 reads SRAM that dma0:1 writes|dma0:1 writes SRAM that vec:2 reads), in either order$/);
  });
});

describe('V12, definitions and uses', () => {
  it('an operand elsewhere than the certificate says: another slot, line, pitch, size', () => {
    const ringed = { ...program, code: [[{ ...program.code[0]![0]!, wld: { ...program.code[0]![0]!.wld, strideSets: program.code[0]![0]!.wld.strideSets.map((set, i) => (i === 1 ? { ...set, ring: { ...set.ring, base: (set.ring.base + 1) % set.ring.depth } } : set)) } }]] };
    expect(textsOf(ringed, 'V12')[0]).toMatch(/^wld:\d+ \(.*linear\) `src` is at .* mod \d+\), its part of `weights\.\w+` at /);
    expect(textsOf(refielded(program, 'vec', 'vnorm', ({ x }) => ({ x: { ...x, addr: x.addr + 1 } })), 'V12')[0]).toMatch(/^vec:\d+ \(.*norm\) `x` is at \d+.*, its part of `.*` at \d+/);
    expect(textsOf(refielded(program, 'vec', 'vnorm', ({ columns }) => ({ columns: columns - 1 })), 'V12')[0]).toMatch(/takes \d+ elements a row of `.*`, not \d+$/);
    expect(textsOf(refielded(program, 'dma0', 'dgat', ({ srcPitch }) => ({ srcPitch: srcPitch + 1 })), 'V12')[0]).toMatch(/picks rows \d+ lines apart of `.*`, they are \d+ apart$/);
  });

  it('other rows, other loops, effects nobody certified', () => {
    expect(textsOf(refielded(program, 'vec', 'vnorm', ({ rows }) => ({ rows: { ...rows, max: rows.max - 1 } })), 'V12')[0]).toMatch(/works on \d+ rows at a time, not \d+$/);
    expect(textsOf(refielded(program, 'vec', 'sreg', () => ({ count: 'sequences' })), 'V12')[0]).toMatch(/works on as many rows as there are sequences, not tokens$/);
    expect(textsOf(recertified(program, ({ ops }) => void ops.pop()), 'V12')[0]).toContain('the certificate cannot be read');
    expect(textsOf(recertified(program, ({ loops }) => void ((loops[0] as { count: number }).count = 7)), 'V12')[0]).toMatch(/^dma0:\d+ .* is in loops I0 < 3; the certificate has it in loops I0 < 7/);
  });

  it('reads of what nobody has written, or another than meant', () => {
    // The certificate and the code agree on a column nobody ever writes.
    const shorter = recertified(program, ({ buffers }) => {
      const [values] = buffers.filter(({ role, space }) => role === 'value' && space === 'sram') as unknown as { accesses: { does: string; from: Json }[] }[];
      for (const access of values!.accesses) if (access.does === 'uses') access.from = [];
    });
    expect(textsOf(shorter, 'V12')[0]).toMatch(/ reads what .* wrote: rows \d+ to \d+, elements \d+ to \d+ of `/);
    expect(textsOf(shorter, 'V12')[1]).toBe('  meant to read what was written by nobody');
  });

  it('reads of another turn than meant', () => {
    const [buffers] = (program.life as unknown as { buffers: { name: string; role: string; accesses: { does: string; from: number[][] }[] }[] }[]).map((life) => life.buffers);
    const ring = buffers!.findIndex(({ role, accesses }) => role === 'stage' && accesses.some(({ does, from }) => does === 'uses' && from.length > 0));
    const late = recertified(program, (life) => {
      for (const access of (life.buffers[ring] as unknown as { accesses: { does: string; from: number[][] }[] }).accesses) if (access.does === 'uses') access.from = access.from.map(([op]) => [op!, 0]);
    });
    const [message, meant] = textsOf(late, 'V12');
    expect(message).toMatch(/ reads what .* wrote: rows \d+ to \d+, elements \d+ to \d+ of /);
    expect(meant).toMatch(/^ {2}meant to read what was written by .*, of the turn before of I0$/);
  });
});

describe('V13, lifetimes', () => {
  it('a buffer over another that is still to be read: the read, and who wrote over it', () => {
    const lives = program.life as unknown as { buffers: { name: string; at: number; space: string; role: string }[] }[];
    const [ids, positions] = ['ids', 'positions'].map((name) => lives[0]!.buffers.find((buffer) => buffer.name === name)!.at) as [number, number];
    const moved = recertified(program, ({ buffers }) => void (buffers.find(({ name }) => name === 'ids')!['at'] = positions));
    const over = recoded(recoded(moved, 'ctl', (code) => code.map((one) => (one.op === 'hostw' && one.fields.table === 'ids' ? { ...one, fields: { ...one.fields, dst: { addr: positions, ss: 0 } } } : one))),
      'dma0', (code) => code.map((one) => (one.op === 'dgat' && one.fields.index === ids ? { ...one, fields: { ...one.fields, index: positions } } : one)));
    const [message, where] = textsOf(over, 'V13');
    expect(message).toMatch(/^dma0:\d+ \(.*embed\) reads rows 0 to 0, elements 0 to \d+ of `ids`, which ctl:\d+ \(inputs\) has written over$/);
    expect(where).toMatch(/^ {2}`ids` is at \d+ to \d+, `positions` at \d+ to \d+$/);
  });

  it('a buffer that ends outside its memory', () => {
    const narrow: Program = { ...program, regions: program.regions.map((region) => (region.base === 'io' ? { ...region, bytes: 8 } : region)) };
    expect(textsOf(narrow, 'V13')[0]).toMatch(/^`.*` ends at \d+ of 1 lines of `io`$/);
  });
});

describe('V14, formats', () => {
  it('a reader that takes a buffer for another format than its writers', () => {
    const [message, note] = textsOf(recertified(program, ({ buffers }) => void ((buffers.find(({ name }) => name === 'norm.20') ?? buffers.find(({ role, format, space }) => role === 'value' && format === 'bf16' && space === 'sram'))!['format'] = 'e4m3')), 'V12').concat(
      textsOf(refielded(program, 'att', 'aq', () => ({ format: 'bf16' })), 'V14'),
    ).slice(-2);
    expect(`${message} ${note}`).toMatch(/takes `.*` for bf16, it is e4m3.*written by vec:\d+/);
  });
});

describe('V15, sums', () => {
  it('begun, continued in order, drained', () => {
    expect(textsOf(refielded(program, 'mxu', 'mm', () => ({ accumulate: 'yes' })), 'V15')[0]).toMatch(/adds to accumulator row 0, where there is no sum$/);
    const mm = (accumulate: string): string => `mm format=e4m3 ${accumulate} split=0 a=@0 pitch=4 acc=0 kTiles=1 kLast=8 nTiles=1 rows=4`;
    const products = (count: number): string => `.queue wld\n${'wld format=e4m3 src=@256 kTiles=1 nTiles=1 split=0\n'.repeat(count)}`;
    const epi = 'epi format=bf16 activation=none split=0 acc=0 out=@600 pitch=2 params=@0 residualAt=@0 rowScale=0 nTiles=1 nLast=8 rows=4';
    const text = (mms: string, drain: string): readonly string[] => textsOf(programOf(`${products(mms.split('\n').length)}.queue mxu\n${mms} post(s5)\n.queue epi\n${drain}`), 'V15');
    expect(text(`${mm('accumulate=no')}`, `${epi} wait(s5)\n`)).toEqual([]);
    expect(text(`${mm('accumulate=no')}\n${mm('accumulate=yes').replace('a=@0', 'a=@1')}`, `${epi} wait(s5)\n`)).toEqual([]);
    expect(text(`${mm('accumulate=no')}\n${mm('accumulate=yes').replace('a=@0', 'a=@2')}`, `${epi} wait(s5)\n`)).toEqual(['mxu:1 goes on with k at line 2 of its operand; the sum has come to line 1']);
    expect(text(`${mm('accumulate=no').replace('kLast=8', 'kLast=7')}\n${mm('accumulate=yes').replace('a=@0', 'a=@1')}`, `${epi} wait(s5)\n`)).toEqual(['mxu:1 adds to a sum whose last k-tile was not full']);
    expect(text(`${mm('accumulate=no')}\n${mm('accumulate=no')}`, `${epi} wait(s5)\n`)).toEqual(['mxu:1 overwrites the sum at accumulator row 0 that mxu:0 began and nobody has drained']);
    const next = mm('accumulate=yes').replace('a=@0', 'a=@1');
    expect(text(`${mm('accumulate=no')}\n${next.replace('split=0', 'split=0 weightFormat=e5m2')}`, `${epi} wait(s5)\n`)).toEqual(['mxu:1 adds chained products to a sum of exact ones']);
    const inBlocks = (one: string, kTiles: number): string => one.replace('split=0', 'split=0 scaling=mx').replace('kTiles=1', `kTiles=${kTiles}`).concat(' scales=@900 scalePitch=1');
    expect(text(`${inBlocks(mm('accumulate=no'), 4)}\n${inBlocks(mm('accumulate=yes').replace('a=@0', 'a=@4'), 1)}`, `${epi} wait(s5)\n`)).toEqual([]);
    expect(text(`${inBlocks(mm('accumulate=no'), 3)}\n${inBlocks(mm('accumulate=yes').replace('a=@0', 'a=@3'), 1)}`, `${epi} wait(s5)\n`)).toEqual(['mxu:1 adds to a sum whose last block was not full']);
    expect(text(mm('accumulate=no'), 'sync wait(s5)\n')).toEqual(['the sum mxu:0 began at accumulator row 0 is never drained']);
    expect(text(mm('accumulate=no'), `${epi} wait(s5)\n${epi}\n`)).toEqual(['epi:1 drains accumulator row 0, where there is no sum']);
  });
});

describe('V17, the weight FIFO', () => {
  it('what is multiplied by is what was pushed', () => {
    expect(textsOf(programOf('.queue wld\nwld format=e4m3 src=@0 kTiles=2 nTiles=1 split=0\n.queue mxu\nmm format=e4m3 accumulate=no split=0 a=@256 pitch=4 acc=0 kTiles=1 kLast=8 nTiles=2 rows=4\n'), 'V17')).toEqual([
      'mxu:0 multiplies by e4m3 1 x 2 tiles, for 1 groups, wld:0 has pushed e4m3 2 x 1 tiles, for 1 groups',
    ]);
    const pair = (load: string, product: string, loadShares = '', shares = ''): readonly string[] =>
      textsOf(programOf(`.queue wld\nwld ${load} src=@0 kTiles=1 nTiles=1 split=0 ${loadShares}\n.queue mxu\nmm format=e4m3 accumulate=no split=0 ${product} a=@256 pitch=4 acc=0 kTiles=1 kLast=8 nTiles=1 rows=4 ${shares}\n`), 'V17');
    expect(pair('format=e5m2', 'weightFormat=e5m2')).toEqual([]);
    expect(pair('format=e4m3', 'weightFormat=bf16')).toEqual(['mxu:0 multiplies by bf16 1 x 1 tiles, for 1 groups, wld:0 has pushed e4m3 1 x 1 tiles, for 1 groups']);
    expect(pair('format=e4m3', '', 'kSplit=1', 'kSplit=1')).toEqual([]);
    expect(pair('format=e4m3', '', '', 'kSplit=1')).toEqual(['mxu:0 multiplies by e4m3 1 x 1 tiles, for 1 groups of 2 along k, wld:0 has pushed e4m3 1 x 1 tiles, for 1 groups']);
    expect(pair('format=e4m3', '', 'kSplit=2', 'kSplit=1')).toEqual(['mxu:0 multiplies by e4m3 1 x 1 tiles, for 1 groups of 2 along k, wld:0 has pushed e4m3 1 x 1 tiles, for 1 groups of 4 along k']);
    expect(pair('format=e4m3 scaling=mx', 'scaling=block')).toEqual(['mxu:0 multiplies by e4m3 with block scales 1 x 1 tiles, for 1 groups, wld:0 has pushed e4m3 with mx scales 1 x 1 tiles, for 1 groups']);
  });
});

describe('V18, collectives', () => {
  it('a chip that comes to others than the rest', () => {
    const lone = recoded(pair, 'col', (code) => code.map((one) => (one.op === 'coll' && one.fields.tag === 0 ? { ...one, fields: { ...one.fields, bytes: one.fields.bytes - 2 } } : one)), 1);
    expect(textsOf(lone, 'V18')[0]).toMatch(/^chips do not come to the same collectives: chip 0 comes to allgather 0 .* of \d+ bytes, .*, chip 1 comes to allgather 0 /);
    const loops = recoded(pair, 'col', (code) => code.map((one) => (one.op === 'loop' ? ({ ...one, fields: { ...one.fields, count: one.fields.count + 1 } } as Instruction) : one)), 1);
    expect(textsOf(loops, 'V18')[0]).toMatch(/chip 0 comes to allgather .*, 4 in I0 < 3 \(.*\), chip 1 comes to allgather .*, 4 in I0 < 4 /);
    const none = recoded(pair, 'col', (code) => code.filter(({ op }) => op !== 'coll' && op !== 'loop'), 1);
    expect(textsOf(none, 'V18')[0]).toMatch(/, chip 1 has none left$/);
  });

  const four: Program = { ...pair, chips: 4, entries: pair.entries.map((entry) => ({ ...entry, chips: [0, 1, 2, 3] })), code: pair.code.map((chips) => [...chips, ...chips]) };
  const regrouped = (program: Program, group: number, chip?: number): Program =>
    recoded(program, 'col', (code) => code.map((one) => (one.op === 'coll' && one.fields.tag === 0 ? { ...one, fields: { ...one.fields, group } } : one)), chip);

  it('groups come to theirs by themselves', () => {
    expect(textsOf(four, 'V18')).toEqual([]);
    const second = [2, 3].reduce((made, chip) => recoded(made, 'col', (code) => code.filter(({ op }) => op !== 'coll'), chip), four);
    expect(textsOf(second, 'V18')).toEqual([]);
  });

  it('a chip that is in another group than those it meets', () => {
    expect(textsOf(regrouped(four, 4, 1), 'V18')[0]).toMatch(/chip 0, 2, 3 comes to allgather 0 .* in groups of 2 of .*, chip 1 comes to allgather 0 .* in groups of 4 of /);
    expect(textsOf(regrouped(four, 4, 0), 'V18').length).toBeGreaterThan(0);
    expect(textsOf(regrouped(regrouped(four, 4, 2), 4, 3), 'V18')[0]).toMatch(/chip 0, 1 has none left, chip 2, 3 comes to allgather 0 .* in groups of 4 /);
  });

  it('groups that overlap', () => {
    expect(textsOf(regrouped(four, 3), 'V18')[0]).toBe('groups of 2, 3, 4 chips do not lie within one another');
  });

  it('the same collectives in another order of loops', () => {
    const collectives = (body: string): string => `.queue col\n${body}`;
    const gather = (tag: number): string => `coll kind=allgather src=@0 srcPitch=1 out=@64 outPitch=2 bytes=8 tag=${tag} rows=8\n`;
    const one = programOf(collectives(`loop level=0 count=3 body=2\n${gather(1)}${gather(2)}`));
    const other = programOf(collectives(`loop level=0 count=3 body=1\n${gather(1)}loop level=0 count=3 body=1\n${gather(2)}`));
    const both = { ...one, chips: 2, entries: one.entries.map((entry) => ({ ...entry, chips: [0, 1] })), code: [[one.code[0]![0]!, other.code[0]![0]!]] };
    expect(textsOf(both, 'V18')[0]).toMatch(/chip 0 comes to allgather 1 .*, 2 in I0 < 3 .*, chip 1 comes to allgather 1 .*, 1 in I0 < 3 /);
  });

  it('chips with equal code are proved once', () => {
    const broken = recoded(pair, 'ctl', (code) => code.filter(({ op }) => op !== 'event'));
    expect(new Set(verify(broken).map(({ place }) => place.chips.join(' ')))).toEqual(new Set(['0 1']));
    expect(verify(broken).length).toBeGreaterThan(0);
  });
});

describe('V19, keys and values', () => {
  it('come from, and go to, pages of one layout, by the lists for it', () => {
    expect(textsOf(refielded(program, 'att', 'attn', ({ pageRows }) => ({ pageRows: pageRows - 1 })), 'V19')).toEqual(expect.arrayContaining([expect.stringMatching(/has pages of 15 rows; the entry's have 16$/)]));
    expect(textsOf(refielded(program, 'dma1', 'dsct', ({ dst }) => ({ dst: { ...dst, off: dst.off + 1 } })), 'V19')[0]).toMatch(/scatters to neither plane of a pool that is read$/);
    expect(textsOf(refielded(program, 'ctl', 'hostw', () => ({ table: 'types' }), 2), 'V19')[0]).toMatch(/`(index|pages|worklist)` is the host's list of types, not that of/);
    expect(textsOf(refielded(program, 'ctl', 'hostw', ({ bytes }) => ({ bytes: bytes - 4 })), 'V19')[0]).toMatch(/copies \d+ bytes of ids; a step has up to \d+$/);
  });
});

describe('V20, arithmetic', () => {
  it('another function than the op\'s; attention that does not belong together', () => {
    expect(textsOf(refielded(program, 'vec', 'vnorm', () => ({ kind: 'layer' })), 'V20')[0]).toMatch(/has `kind` layer; its op computes with rms$/);
    expect(textsOf(refielded(program, 'vec', 'vnorm', () => ({ groups: 2 })), 'V20')[0]).toMatch(/has `groups` 2; its op computes without$/);
    expect(textsOf(refielded(program, 'vec', 'vqnt', () => ({ pow2: true })), 'V20')[0]).toMatch(/has `pow2` true; its op computes without$/);
    expect(textsOf(refielded(program, 'att', 'attn', () => ({ mask: 'full' })), 'V20')[0]).toMatch(/has `mask` full; its op computes with causal$/);
    expect(textsOf(refielded(program, 'att', 'attn', () => ({ softCap: 30 })), 'V20')[0]).toMatch(/has `softCap` 30; its op computes without$/);
    expect(textsOf(refielded(program, 'att', 'attn', () => ({ format: 'bf16' })), 'V20')[0]).toMatch(/reads keys of bf16 for queries of e4m3$/);
    expect(textsOf(recoded(program, 'att', (code) => code.filter(({ op }) => op !== 'aq')), 'V20').length).toBeGreaterThan(0);
  });

  it('entries that differ', () => {
    const other = refielded(program, 'epi', 'epi', ({ activation }) => ({ activation: activation === 'silu' ? 'gelu' : 'silu' }), 2);
    const two: Program = { ...program, entries: [...program.entries, { ...program.entries[0]!, name: 'large' }], code: [...program.code, ...other.code], debugMap: { ...program.debugMap, entries: [...program.debugMap.entries, ...program.debugMap.entries] }, life: [...(program.life as Json[]), ...(program.life as Json[])], semaphores: [...program.semaphores, ...program.semaphores.map((one) => ({ ...one, entry: 1 }))] };
    expect(textsOf(two, 'V20').some((text) => text.endsWith('computes something else than in entry `step`'))).toBe(true);
  });
});

describe('V21, overflow', () => {
  it('more products than the accumulator holds', () => {
    // 2^35 / 448^2 is 171,196.1: 21,400 tiles of 8 are too many.
    const long = (count: number): string => `.queue wld\nloop level=3 count=${count} body=1\nwld format=e4m3 src=@256 kTiles=200 nTiles=1 split=0\n.queue mxu\n.ss 1 [0, 0, 0, 200]\nloop level=3 count=${count} body=1\nmm format=e4m3 accumulate=first split=0 a=@0+ss1 pitch=4 acc=0 kTiles=200 kLast=8 nTiles=1 rows=1\n`;
    expect(textsOf(programOf(long(106)), 'V21')).toEqual([]);
    // A chain of FP32 sums, and FP32 sums of blocks, overflow as FP32 does.
    expect(textsOf(programOf(long(107).replace('accumulate=first split=0', 'accumulate=first split=0 weightFormat=e5m2')), 'V21')).toEqual([]);
    expect(textsOf(programOf(long(107).replace('accumulate=first split=0', 'accumulate=first split=0 scaling=block')), 'V21')).toEqual([]);
    expect(textsOf(programOf(long(107)), 'V21')[0]).toBe('mxu:1 adds up 171200 products of e4m3: 171200 * 448 * 448 is not below 2^35');
  });
});

describe('V22, weights', () => {
  it('loaded twice, not at all, from the middle of a row', () => {
    const index = decodeAll(program.code[0]![0]!.dma0.words, 'dma0').filter(({ op }) => op === 'dld').findIndex((one) => one.op === 'dld' && one.fields.src.base === 1 && one.fields.rows.max > 2);
    const shifted = (by: number): readonly string[] => textsOf(refielded(program, 'dma0', 'dld', ({ src, srcPitch }) => ({ src: { ...src, off: src.off + by * srcPitch } }), index), 'V22');
    expect(shifted(1)[0]).toMatch(/^(rows? \d+( to \d+)? of \d+ of `.*` (are never loaded|is loaded twice in a pass)|dma0:\d+ .* loads rows up to \d+ of \d+ of `.*`)$/);
    expect(textsOf(refielded(program, 'dma0', 'dld', ({ src }) => ({ src: { ...src, off: src.off + 1 } }), index), 'V22')[0]).toMatch(/begins inside row \d+ of `/);
  });
});

describe('V23 and V24, what the program says of itself', () => {
  it('labels that do not fit the code', () => {
    const [entry] = program.debugMap.entries as [Program['debugMap']['entries'][number]];
    const relabelled = (vec: readonly number[], labels = program.debugMap.labels): Program => ({ ...program, debugMap: { labels, entries: [{ ...entry, vec }] } });
    expect(textsOf(relabelled(entry.vec.slice(1)), 'V23')[0]).toMatch(/^vec has \d+ instructions, the debug map labels \d+$/);
    expect(textsOf(relabelled(entry.vec.map(() => 999)), 'V23')[0]).toMatch(/^vec:0 has label 999 of \d+$/);
    expect(textsOf(relabelled(entry.vec, [...program.debugMap.labels, { label: 'lost', sources: [] }]), 'V23')).toEqual(['no instruction is part of `lost`']);
  });

  it('claims that are not so', () => {
    expect(textsOf({ ...program, meta: { ...program.meta, sramPeakBytes: 8 } }, 'V24')[0]).toMatch(/^the program claims sramPeakBytes 8, it is \d+$/);
    expect(textsOf({ ...program, regions: program.regions.map((region) => ({ ...region, bytes: region.bytes + 8 })) }, 'V24')[0]).toMatch(/^region `weights` has \d+ bytes, its buffers take \d+$/);
    expect(textsOf({ ...program, ioMap: { ...program.ioMap, outputs: program.ioMap.outputs.map((output) => ({ ...output, offset: 10 ** 6 })) } }, 'V24')[0]).toMatch(/^result `logits` ends at line \d+ of \d+ of `io`$/);
    expect(textsOf({ ...program, machine: { ...program.machine, hbm: { ...program.machine.hbm, bytes: { ...program.machine.hbm.bytes, value: 4096 } } } }, 'V24')[0]).toMatch(/^its regions take \d+ bytes of HBM, the machine has 4096$/);
    const lending = (lent: number): Program => ({ ...program, entries: program.entries.map((entry) => ({ ...entry, lent })) });
    expect(textsOf(lending(3), 'V24')[0]).toBe('entry `step` lends 3 matrix arrays to the attention unit, the machine has it lend 0, 2');
    expect(textsOf(lending(2), 'V24')).toEqual([]);
    expect(textsOf({ ...program, chips: 2 }, 'V24')[0]).toBe('it runs on 2 chips, the machine has 1');
  });
});
