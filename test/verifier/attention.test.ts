import { describe, expect, it } from 'vitest';
import type { Program } from '../../isa-spec/program.ts';
import type { RuleId } from '../../verifier/chip.ts';
import { verify } from '../../verifier/verify.ts';
import { programOf } from './programs.ts';

/** A program whose entry's pages have one plane: latents. */
const ofLatents = (code: string): Program => {
  const program = programOf(code);
  return { ...program, entries: program.entries.map((entry) => ({ ...entry, bounds: { ...entry.bounds, pagePlanes: 1 } })) };
};
const textsOf = (program: Program, rule: RuleId): readonly string[] => verify(program).filter((finding) => finding.rule === rule).flatMap(({ message, notes }) => [message, ...notes.map((note) => `  ${note}`)]);

const host = '.queue ctl\nhostw table=worklist dst=@900 bytes=128\nhostw table=pages dst=@960 bytes=32\nhostw table=slots dst=@980 bytes=80 post(s3*3)\n';
/** 2 heads of 8, values of 6: a partial has 16 numbers, 8 lines. */
const aq = 'aq format=e4m3 q=@0 pitch=2 worklist=900 heads=2 headDim=8 scale=0.5 rows=4 valueDim=6';
const attn = 'attn format=e4m3 mask=causal latent kv=kv@0 pages=960 pageRows=4 kvLines=1 kvHeads=1 window=0';
const afin = 'afin format=f32 out=@200 pitch=6 rows=4';
const partial = (line: number): string => `afin format=f32 partial out=@${line} pitch=16 rows=4`;
const merge = (count: number, line: number): string => `${afin} merge=${count} partials=@${line} partialPitch=16`;
const unit = (...code: readonly string[]): string => `${host}.queue att\nsync wait(s3*3)\n${code.join('\n')}\n`;

describe('V10, partials and latents within their memories', () => {
  it('a partial is as long as its heads and values make it', () => {
    expect(textsOf(ofLatents(unit(aq, `${attn} splitBlocks=1 parts=1`, partial(968))), 'V10')).toEqual([]);
    expect(textsOf(ofLatents(unit(aq, `${attn} splitBlocks=1 parts=1`, partial(969))), 'V10')[0]).toBe('att:3: `out` ends at 1025 of 1024 lines of SRAM');
    expect(textsOf(ofLatents(unit(aq, merge(2, 960))), 'V10')).toEqual([]);
    expect(textsOf(ofLatents(unit(aq, merge(3, 960))), 'V10')[0]).toBe('att:2: `partials` ends at 1032 of 1024 lines of SRAM');
    // At line 0 the operand has no bits in the word; 4 rows of 1000 lines are too long all the same.
    expect(textsOf(ofLatents(unit(aq, merge(1, 0).replace('partialPitch=16', 'partialPitch=1000'))), 'V10')[0]).toBe('att:2: `partials` ends at 3008 of 1024 lines of SRAM');
  });

  it('a pool of latents has one plane a page', () => {
    // 4 pages of 4 rows of a line are 16 of the 256 lines of the region.
    const read = (off: number): string => unit(aq, attn.replace('kv@0', `kv@${off}`), afin);
    expect(textsOf(ofLatents(read(240)), 'V10')).toEqual([]);
    expect(textsOf(ofLatents(read(241)), 'V10')[0]).toBe('att:2: `kv` ends at 257 of 256 lines of `kv`');
    const append = (off: number): string => `${read(off)}.queue dma1\ndsct src=@100 srcPitch=1 dst=kv@${off} dstPitch=1 index=980 lines=1 rows=4\n`;
    expect(textsOf(ofLatents(append(240)), 'V10')).toEqual([]);
    expect(textsOf(ofLatents(append(241)), 'V10')).toContain('dma1:0: `dst` ends at 257 of 256 lines of `kv`');
  });
});

describe('V11, partials in flight', () => {
  const first = unit(aq, `${attn} splitBlocks=1 parts=1`, `${partial(300)} post(s5)`);
  it('a reader of partials waits for them', () => {
    const gather = (wait: string): string => `${first}.queue dma1\ndcp src=@300 srcPitch=16 dst=@500 dstPitch=16 lines=8 rows=4${wait}\n`;
    expect(textsOf(ofLatents(gather(' wait(s5)')), 'V11')).toEqual([]);
    expect(textsOf(ofLatents(gather('')), 'V11').slice(0, 3)).toEqual(['att:3 writes SRAM that dma1:0 reads, in either order', '  att:3 `out`: 4 rows of 8 lines, 16 apart, from 300', '  dma1:0 `src`: 4 rows of 8 lines, 16 apart, from 300']);
  });
  it('who merges partials waits for who brings them', () => {
    const bring = (post: string, wait: string): string => `${host}.queue dma0\ndld src=weights@0 srcPitch=16 dst=@300 dstPitch=16 lines=16 rows=4${post}\n.queue att\nsync wait(s3*3)\n${aq}\n${merge(2, 300)}${wait}\n`;
    expect(textsOf(ofLatents(bring(' post(s5)', ' wait(s5)')), 'V11')).toEqual([]);
    expect(textsOf(ofLatents(bring('', '')), 'V11')[0]).toBe('att:2 reads SRAM that dma0:0 writes, in either order');
  });
});

describe('V19, pages of latents', () => {
  it('are read as such, and appended to one plane', () => {
    expect(textsOf(ofLatents(unit(aq, attn, afin)), 'V19')).toEqual([]);
    expect(textsOf(ofLatents(unit(aq, attn.replace(' latent', ''), afin)), 'V19')).toEqual(['att:2: has pages of 2 planes; the entry\'s have 1']);
    expect(textsOf(programOf(unit(aq, attn, afin)), 'V19')).toEqual(['att:2: has pages of 1 planes; the entry\'s have 2']);
    const append = (off: number): string => `${unit(aq, attn, afin)}.queue dma1\ndsct src=@100 srcPitch=1 dst=kv@${off} dstPitch=1 index=980 lines=1 rows=4\n`;
    expect(textsOf(ofLatents(append(0)), 'V19')).toEqual([]);
    expect(textsOf(ofLatents(append(4)), 'V19')).toEqual(['dma1:0: scatters to neither plane of a pool that is read']);
  });
});

describe('V20, parts belong together', () => {
  const said = (...code: readonly string[]): readonly string[] => textsOf(ofLatents(unit(...code)), 'V20');
  const part = (first: number, count?: number, blocks = 1): string => `${attn} splitBlocks=${blocks}${first === 0 ? '' : ` firstPart=${first}`}${count === undefined ? '' : ` parts=${count}`}`;

  it('in their order, each once', () => {
    expect(said(aq, part(0), afin)).toEqual([]);
    expect(said(aq, part(0, 2), part(2, 1), part(3), afin)).toEqual([]);
    expect(said(aq, part(0, 2), part(3), afin)).toEqual(['att:3 goes on with part 3, after part 1']);
    expect(said(aq, part(0, 2), part(1), afin)).toEqual(['att:3 goes on with part 1, after part 1']);
    expect(said(aq, part(0), part(1), afin)).toEqual(['att:3 goes on with part 1, after the last']);
    expect(said(aq, part(0, 2), attn, afin)).toEqual(['att:3 takes keys that are not split after parts of keys']);
    expect(said(aq, attn, part(0), afin)).toEqual(['att:3 takes parts of keys after keys that are not split']);
  });

  it('of one size in all of the program', () => {
    expect(said(aq, part(0, 1), partial(300), aq, part(1, 1, 2), partial(308))).toEqual(['att:5 takes parts of 2 blocks; the program\'s have 1']);
    const [one, two] = [1, 2].map((blocks) => ofLatents(unit(aq, part(0, undefined, blocks), afin))) as [Program, Program];
    const both: Program = {
      ...one, entries: [...one.entries, { ...one.entries[0]!, name: 'large' }], code: [...one.code, ...two.code], semaphores: [],
      debugMap: { ...one.debugMap, entries: [...one.debugMap.entries, ...two.debugMap.entries] },
    };
    expect(textsOf(both, 'V20')).toContain('att:2 takes parts of 2 blocks; the program\'s have 1');
  });

  it('a partial is of one part, or of all up to one', () => {
    expect(said(aq, part(2, 1), partial(300))).toEqual([]);
    expect(said(aq, part(0, 3), partial(300))).toEqual([]);
    expect(said(aq, part(2, 2), partial(300))).toEqual(['att:3 makes a partial of the sum of several parts, the first of them 2']);
    expect(said(aq, part(1), partial(300))).toEqual(['att:3 makes a partial of the sum of several parts, the first of them 1']);
    expect(said(aq, attn, partial(300))).toEqual(['att:3 makes a partial of keys that are not split']);
  });

  it('partials are merged by themselves, or with one part after them', () => {
    expect(said(aq, merge(2, 300))).toEqual([]);
    expect(said(aq, part(2, 1), merge(2, 300))).toEqual([]);
    expect(said(aq, part(2), merge(2, 300))).toEqual(['att:3 adds the sum of several parts to partials, not one part']);
    expect(said(aq, part(2, 1), part(3, 1), merge(2, 300))).toEqual(['att:4 adds the sum of several parts to partials, not one part']);
    expect(said(aq, attn, merge(2, 300))).toEqual(['att:3 makes a partial of keys that are not split']);
    expect(said(aq, afin)).toEqual(['att:2 stores what nothing has attended to']);
  });

  it('values that fit the keys, and the rows they are in', () => {
    expect(said(aq.replace('valueDim=6', 'valueDim=9'), attn, afin)).toEqual(['att:2 takes values of 9 elements from keys of 8']);
    const apart = (dim: number): readonly string[] => textsOf(programOf(unit(aq.replace('valueDim=6', `valueDim=${dim}`), attn.replace(' latent', ''), afin)), 'V20');
    expect(apart(6)).toEqual([]);
    expect(apart(9)).toEqual(['att:2 reads 1 heads of 9 from rows of 1 lines']);
  });
});

describe('V01, fields that mean nothing without others', () => {
  it.each([
    [`${attn} parts=2`, 'attn must be one that names parts only of keys that are split'],
    [`${afin} partials=@300`, 'afin must be one that names partials only if it merges them'],
    [partial(300).replace('format=f32', 'format=bf16'), 'afin must be one that stores a partial as f32, before any sink'],
    [partial(300).replace('f32', 'f32 sink'), 'afin must be one that stores a partial as f32, before any sink'],
  ])('%s', (line, message) => {
    expect(textsOf(ofLatents(unit(aq, attn, line)), 'V01').some((text) => text.endsWith(message))).toBe(true);
  });
});
