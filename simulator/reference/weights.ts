import { SimulationFault } from '../fault.ts';
import type { SystolicArray } from './array.ts';
import type { ReadPort } from './port.ts';

/** One `wld` under way: its tiles are `kTiles` of `side` rows, `read(row)` the row counted from its first tile, `beats` cycles a row takes at the port. */
export type Load = { readonly format: string; readonly kTiles: number; readonly beats: number; readonly read: (row: number) => Float64Array; readonly scales: BlockScales | undefined };
/** The scale of a column of the weights in a block of k. */
export type BlockScales = (block: number, column: number) => number;
type Entry = { readonly format: string; readonly kTiles: number; readonly scales: BlockScales | undefined };
/** What a product expects to find: `scaleOf` is there if its blocks have scales. */
type Expected = { readonly format: string; readonly kTiles: number; readonly scaleOf: unknown };
/** What moves in a cycle: a row of weights, or a part of a wide one, which is there with its last part. */
type Beat = { readonly tile: number; readonly k: number; readonly beats: number; readonly values: Float64Array | undefined };

/**
 * The way of weights: SRAM, through the read port, to the FIFO; from there into the array's shadow registers. Each side moves a row of
 * E4M3 weights a cycle, of BF16 half a row. Rows pass an empty FIFO in the cycle they come. A tile moves into the shadow registers from
 * the cycle the tile before starts multiplying, and may multiply itself when all its rows are in.
 */
export class WeightPath {
  readonly #array: SystolicArray;
  readonly #port: ReadPort;
  readonly #capacity: number;
  readonly #entries: Entry[] = [];
  readonly #fifo: Beat[] = [];
  #load: Load | undefined;
  #scales: BlockScales | undefined;
  #loadTile = 0;
  #row = 0;
  #beat = 0;
  /** Rows in the FIFO, rows that entered the array, tiles loading has begun of, tiles that started multiplying. */
  #stored = 0;
  #entered = 0;
  #tiles = 0;
  #started = 0;

  constructor(array: SystolicArray, port: ReadPort, tiles: number) {
    this.#array = array;
    this.#port = port;
    this.#capacity = tiles * array.side;
  }

  get loading(): boolean {
    return this.#load !== undefined;
  }

  /** Tiles loaded or loading that no multiplication has taken. */
  get left(): number {
    return this.#tiles - this.#started;
  }

  begin(load: Load): void {
    this.#entries.push({ format: load.format, kTiles: load.kTiles, scales: load.scales });
    this.#load = load;
    this.#loadTile = this.#tiles;
    this.#tiles += load.kTiles;
    this.#row = 0;
    this.#beat = 0;
  }

  /** Whether every row of the next tile is in the array. */
  get ready(): boolean {
    return this.#entered >= (this.#started + 1) * this.#array.side;
  }

  /** Of the blocks of the entry that is multiplied. */
  get scales(): BlockScales | undefined {
    return this.#scales;
  }

  /** The multiplication takes the next tile: its number. The first of an entry says what it expects the entry to be. */
  start(expected: Expected | undefined): number {
    if (expected !== undefined) {
      const entry = this.#entries.shift();
      if (entry?.format !== expected.format || entry.kTiles !== expected.kTiles || (entry.scales === undefined) !== (expected.scaleOf === undefined)) {
        throw new SimulationFault('fifo', `multiplies ${expected.kTiles} tiles of ${expected.format}, pushed were ${entry?.kTiles} of ${entry?.format}`);
      }
      this.#scales = entry.scales;
    }
    return this.#started++;
  }

  /** One cycle, after the array's. Returns whether a load ended. */
  step(cycle: number): boolean {
    const moved = this.#move();
    const ended = this.#fill(cycle);
    if (!moved) this.#move();
    return ended;
  }

  /** FIFO -> shadow registers, if those are free for the tile. */
  #move(): boolean {
    const beat = this.#fifo[0];
    if (beat === undefined || beat.tile > this.#started) return false;
    this.#fifo.shift();
    this.#stored -= 1 / beat.beats;
    if (beat.values !== undefined) {
      this.#array.push(beat.tile, beat.k, beat.values);
      this.#entered++;
    }
    return true;
  }

  /** SRAM -> FIFO, if there is room and the port is free. */
  #fill(cycle: number): boolean {
    const load = this.#load;
    const { side } = this.#array;
    if (load === undefined || this.#stored + 1 / load.beats > this.#capacity || !this.#port.take(side, cycle)) return false;
    const last = ++this.#beat === load.beats;
    this.#fifo.push({ tile: this.#loadTile + Math.floor(this.#row / side), k: this.#row % side, beats: load.beats, values: last ? load.read(this.#row) : undefined });
    this.#stored += 1 / load.beats;
    if (!last) return false;
    this.#beat = 0;
    if (++this.#row < load.kTiles * side) return false;
    this.#load = undefined;
    return true;
  }
}
