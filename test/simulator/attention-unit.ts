import { formatBytes } from '../../isa-spec/fields.ts';
import type { InstructionOf } from '../../isa-spec/instructions.ts';
import type { MatrixFormat } from '../../isa-spec/profiles.ts';
import { sohu } from '../../isa-spec/machines/sohu.ts';
import { afin, aq, attn } from '../../simulator/functional/attention.ts';
import { createMachineState, imageSource, type Kernels } from '../../simulator/functional/machine-state.ts';
import { queueState } from '../../simulator/functional/queue.ts';
import { all, at, hbmAt, programOf } from './functional/harness.ts';

export type Heads = { readonly format: MatrixFormat; readonly heads: number; readonly kvHeads: number; readonly headDim: number; readonly valueDim: number; readonly latent: boolean };
type Sequence = { readonly rows: number; readonly past: number };
type Matrix = readonly (readonly number[])[];

const pageRows = 16;
const line = sohu.sram.lineBytes.value;
const [queriesAt, worklistAt, pagesAt, outAt, partialsAt] = [0, 60000, 61000, 62000, 200000];
const chunksOf = (codes: readonly number[], size: number): number[][] => Array.from({ length: codes.length / size }, (_, i) => codes.slice(i * size, (i + 1) * size));

/**
 * The attention unit of a chip of the described machine, with queries in SRAM and the keys and values of sequences in pages of HBM, their codes
 * drawn one by one: an instruction is called and has had its effect.
 */
export class AttentionUnit {
  readonly rows: number;
  /** Codes of each row of the step; of each sequence's keys and values. */
  readonly q: Matrix;
  readonly sequences: readonly (Sequence & { readonly k: Matrix; readonly v: Matrix })[];
  readonly partLines: number;
  readonly #shape: Heads;
  readonly #chip;
  readonly #queue = queueState({ name: 'att', code: [], strideSets: [] });
  readonly #kvLines: number;

  constructor(shape: Heads, sequences: readonly Sequence[], draw: () => number, kernels: Kernels) {
    const { format, heads, kvHeads, headDim, valueDim, latent } = shape;
    const bytes = formatBytes[format];
    const drawn = (rows: number, columns: number): Matrix => chunksOf(Array.from({ length: rows * columns }, draw), columns);
    const stored = (codes: readonly number[]): Uint8Array => (bytes === 1 ? Uint8Array.from(codes) : new Uint8Array(Uint16Array.from(codes).buffer));
    this.#shape = shape;
    this.rows = sequences.reduce((sum, { rows }) => sum + rows, 0);
    this.q = drawn(this.rows, heads * headDim);
    this.sequences = sequences.map(({ rows, past }) => {
      const k = drawn(rows + past, kvHeads * headDim);
      return { rows, past, k, v: latent ? k.map((row) => chunksOf(row, headDim).flatMap((head) => head.slice(0, valueDim))) : drawn(rows + past, kvHeads * valueDim) };
    });
    this.partLines = Math.ceil((heads * (valueDim + 2) * 4) / line);
    this.#kvLines = Math.ceil((kvHeads * (latent ? headDim : Math.max(headDim, valueDim)) * bytes) / line);

    const planes = latent ? 1 : 2;
    const pages = sequences.map(({ rows, past }) => Math.ceil((rows + past) / pageRows));
    const count = pages.reduce((sum, own) => sum + own, 0);
    const plane = pageRows * this.#kvLines * line;
    const chip = createMachineState(programOf([{}], { machine: sohu, regions: [{ base: 'kv', bytes: count * planes * plane }] }), [imageSource(new Uint8Array(0))], kernels).chips[0]!;
    this.#chip = chip;
    const pitch = this.#queryPitch();
    this.q.forEach((row, r) => chip.sram.views.u8.set(stored(row), chip.sram.at(queriesAt + r * pitch, pitch * line)));
    let [row, page] = [0, 0];
    this.sequences.forEach(({ rows, past, k, v }, i) => {
      chip.sram.views.u32.set([row, rows, past + rows, past, page], chip.sram.range(worklistAt * line + 64 * i, 64) / 4);
      (latent ? [k] : [k, v]).forEach((matrix, which) => matrix.forEach((codes, j) => {
        const listed = page + Math.floor(j / pageRows);
        chip.hbm.kv!.write(((count - 1 - listed) * planes + which) * plane + (j % pageRows) * this.#kvLines * line, stored(codes));
      }));
      row += rows;
      page += pages[i]!;
    });
    chip.sram.views.i32.set(Array.from({ length: count }, (_, i) => count - 1 - i), chip.sram.at(pagesAt, 4 * count) / 4);
  }

  #queryPitch(): number {
    return Math.ceil((this.#shape.heads * this.#shape.headDim * formatBytes[this.#shape.format]) / line);
  }

  load(): void {
    const { format, heads, headDim, valueDim } = this.#shape;
    aq(this.#chip, this.#queue, { format, q: at(queriesAt), pitch: this.#queryPitch(), worklist: worklistAt, heads, headDim, valueDim, scale: Math.fround(0.2), rows: all(this.rows) });
  }

  attend(fields: Partial<InstructionOf<'attn'>['fields']> = {}): void {
    const { format, kvHeads, latent } = this.#shape;
    attn(this.#chip, this.#queue, { format, mask: 'causal', kv: hbmAt('kv', 0), pages: pagesAt, pageRows, kvLines: this.#kvLines, kvHeads, window: 0, latent, ...fields });
  }

  /** Stores a partial where `merge` of `count` partials finds its number `part`. */
  storePartial(part: number, count: number, merge: Partial<InstructionOf<'afin'>['fields']> = {}): void {
    afin(this.#chip, this.#queue, { format: 'f32', partial: true, out: at(partialsAt + part * this.partLines), pitch: count * this.partLines, rows: all(this.rows), ...merge });
  }

  /** `merge` of the partials from the first on, of `count` there are. */
  partials(merge: number, count: number): Partial<InstructionOf<'afin'>['fields']> {
    return { merge, partials: at(partialsAt), partialPitch: count * this.partLines };
  }

  /** The results of all rows, as FP32 words. */
  finish(fields: Partial<InstructionOf<'afin'>['fields']> = {}): Uint32Array {
    const columns = this.#shape.heads * this.#shape.valueDim;
    const pitch = Math.ceil((columns * 4) / line);
    afin(this.#chip, this.#queue, { format: 'f32', out: at(outAt), pitch, rows: all(this.rows), ...fields });
    const results = new Uint32Array(this.rows * columns);
    for (let r = 0; r < this.rows; r++) {
      const first = ((outAt + r * pitch) * line) / 4;
      results.set(this.#chip.sram.views.u32.subarray(first, first + columns), r * columns);
    }
    return results;
  }
}
