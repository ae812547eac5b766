import { SimulationFault } from '../fault.ts';
import type { SystolicArray } from './array.ts';
import type { ReadPort } from './port.ts';

/**
 * One `wld` under way: `read(tile, k)` gives row k of a k-tile; a row takes `beats` cycles at the port. Of 2^`kSplit` arrays each gets every
 * 2^`kSplit`-th k-tile.
 */
export type Load = {
  readonly format: string;
  readonly kTiles: number;
  readonly kSplit: number;
  readonly beats: number;
  readonly read: (tile: number, k: number) => Float64Array;
  /** Of each block of k, if blocks have any: a tile is no wider than a block. */
  readonly scales: readonly number[] | undefined;
};
/** What a product expects to find: `scaleOf` is there if its blocks have scales. */
type Expected = { readonly format: string; readonly kTiles: number; readonly kSplit: number; readonly scaleOf: unknown };
/** What moves in a cycle: a row of weights, or a part of a wide one, which is there with its last part. */
type Beat = { readonly tile: number; readonly k: number; readonly beats: number; readonly values: Float64Array | undefined };

/** The weights of all arrays: to each its way, and the entries that were pushed and no product has taken. */
export class Weights {
  readonly #paths: readonly WeightPath[];
  readonly #entries: Load[] = [];

  constructor(paths: readonly WeightPath[]) {
    this.#paths = paths;
  }

  get loading(): boolean {
    return this.#paths.some((path) => path.loading);
  }

  /** Tiles loaded or loading that no multiplication has taken. */
  get left(): number {
    return this.#paths.reduce((sum, path) => sum + path.left, 0);
  }

  begin(load: Load): void {
    this.#entries.push(load);
    const arrays = 2 ** load.kSplit;
    this.#paths.slice(0, arrays).forEach((path, index) => {
      const own = Math.ceil((load.kTiles - index) / arrays);
      if (own > 0) path.begin(own, load.beats, (tile, k) => load.read(tile * arrays + index, k));
    });
  }

  /** A product takes the next entry, which must be what it expects; undefined if there is none yet. */
  take({ format, kTiles, kSplit, scaleOf }: Expected): Load | undefined {
    const entry = this.#entries.shift();
    if (entry === undefined || (entry.format === format && entry.kTiles === kTiles && entry.kSplit === kSplit && (entry.scales === undefined) === (scaleOf === undefined))) return entry;
    throw new SimulationFault('fifo', `multiplies ${kTiles} tiles of ${format} by 2^${kSplit} arrays, pushed were ${entry.kTiles} of ${entry.format} for 2^${entry.kSplit}`);
  }

  /** One cycle, after the arrays'. Returns whether a load ended. */
  step(cycle: number): boolean {
    const { loading } = this;
    for (const path of this.#paths) path.step(cycle);
    return loading && !this.loading;
  }
}

/**
 * The way of weights to one array: SRAM, through the read port, to the FIFO; from there into the array's shadow registers. Each side moves a
 * row of E4M3 weights a cycle, of BF16 half a row. Rows pass an empty FIFO in the cycle they come. A tile moves into the shadow registers
 * from the cycle the tile before starts multiplying, and may multiply itself when all its rows are in.
 */
export class WeightPath {
  readonly #array: SystolicArray;
  readonly #port: ReadPort;
  readonly #capacity: number;
  readonly #fifo: Beat[] = [];
  /** The load under way: row k of its `tile`-th tile for this array. */
  #load: { readonly tiles: number; readonly beats: number; readonly read: (tile: number, k: number) => Float64Array } | undefined;
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

  get left(): number {
    return this.#tiles - this.#started;
  }

  begin(tiles: number, beats: number, read: (tile: number, k: number) => Float64Array): void {
    this.#load = { tiles, beats, read };
    this.#loadTile = this.#tiles;
    this.#tiles += tiles;
    this.#row = 0;
    this.#beat = 0;
  }

  /** Whether every row of the next tile is in the array. */
  get ready(): boolean {
    return this.#entered >= (this.#started + 1) * this.#array.side;
  }

  /** The multiplication takes the next tile: its number. */
  start(): number {
    return this.#started++;
  }

  step(cycle: number): void {
    const moved = this.#move();
    this.#fill(cycle);
    if (!moved) this.#move();
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
  #fill(cycle: number): void {
    const load = this.#load;
    const { side } = this.#array;
    if (load === undefined || this.#stored + 1 / load.beats > this.#capacity || !this.#port.take(side, cycle)) return;
    const last = ++this.#beat === load.beats;
    const [tile, k] = [Math.floor(this.#row / side), this.#row % side];
    this.#fifo.push({ tile: this.#loadTile + tile, k, beats: load.beats, values: last ? load.read(tile, k) : undefined });
    this.#stored += 1 / load.beats;
    if (!last) return;
    this.#beat = 0;
    if (++this.#row === load.tiles * side) this.#load = undefined;
  }
}
