/**
 * One chip's weight FIFO and matrix pipe, tile by tile. A load takes its cycles as soon as the load before it is done and one of the
 * FIFO's `depth` places is free; a place is freed when the tile moves into its array. Tile t of a multiplication starts when tile t-1 has
 * streamed its rows and tile t is loaded: max(rows, load) a tile in the long run. Once a load and its multiplication have both started,
 * every time of both follows, so they are computed at once and ahead of the clock.
 */
export class WeightFifo {
  readonly #depth: number;
  readonly #mask: number;
  readonly #loaded: Float64Array;
  readonly #popped: Float64Array;
  readonly #entryTiles: Int32Array;
  #nextLoad = 0;
  #nextPop = 0;
  #entriesIn = 0;
  #entriesOut = 0;
  #loadLeft = 0;
  #loadCycles = 0;
  #multiplyLeft = 0;
  #streamCycles = 0;
  /** When the load and the multiplication begun last are done, as far as known. */
  loadTime = 0;
  multiplyTime = 0;
  /** Cycles the multiplication begun last waited for tiles in flight. */
  waited = 0;
  loading = false;
  multiplying = false;

  constructor(depth: number) {
    this.#depth = depth;
    const size = 2 ** Math.ceil(Math.log2(depth + 2));
    this.#mask = size - 1;
    this.#loaded = new Float64Array(size);
    this.#popped = new Float64Array(size);
    this.#entryTiles = new Int32Array(size);
  }

  /** Whether a multiplication is held up because no load for it has started. */
  get starved(): boolean {
    return this.multiplying && this.#entriesOut > this.#entriesIn;
  }

  /** Starts loading an entry. False if the multiplication waiting for it takes another number of tiles. */
  beginLoad(now: number, tiles: number, cyclesPerTile: number): boolean {
    const wanted = this.starved ? this.#multiplyLeft : tiles;
    if (this.starved) this.multiplyTime = now;
    this.#entryTiles[this.#entriesIn++ & this.#mask] = tiles;
    this.#loadLeft = tiles;
    this.#loadCycles = cyclesPerTile;
    this.loadTime = Math.max(this.loadTime, now);
    this.loading = true;
    return wanted === tiles;
  }

  /** Starts multiplying with the next entry. False if the entry has another number of tiles. */
  beginMultiply(now: number, tiles: number, streamCycles: number): boolean {
    const known = this.#entriesOut < this.#entriesIn;
    const there = known ? this.#entryTiles[this.#entriesOut & this.#mask]! : tiles;
    this.#entriesOut++;
    this.#multiplyLeft = tiles;
    this.#streamCycles = streamCycles;
    this.multiplyTime = now;
    this.waited = 0;
    this.multiplying = true;
    return there === tiles;
  }

  /** Computes all that follows from what has started. Returns what has become known: 1 the load's end, 2 the multiplication's, 3 both, 0 neither. */
  advance(): 0 | 1 | 2 | 3 {
    for (let moved = true; moved; ) {
      moved = false;
      while (this.#loadLeft > 0 && this.#nextLoad - this.#nextPop < this.#depth) {
        const freed = this.#nextLoad < this.#depth ? 0 : this.#popped[(this.#nextLoad - this.#depth) & this.#mask]!;
        this.loadTime = Math.max(this.loadTime, freed) + this.#loadCycles;
        this.#loaded[this.#nextLoad++ & this.#mask] = this.loadTime;
        this.#loadLeft--;
        moved = true;
      }
      while (this.#multiplyLeft > 0 && this.#nextPop < this.#nextLoad) {
        const start = Math.max(this.multiplyTime, this.#loaded[this.#nextPop & this.#mask]!);
        this.waited += start - this.multiplyTime;
        this.#popped[this.#nextPop++ & this.#mask] = start;
        this.multiplyTime = start + this.#streamCycles;
        this.#multiplyLeft--;
        moved = true;
      }
    }
    let known: 0 | 1 | 2 | 3 = 0;
    if (this.loading && this.#loadLeft === 0) {
      this.loading = false;
      known = 1;
    }
    if (this.multiplying && this.#multiplyLeft === 0) {
      this.multiplying = false;
      known = known === 1 ? 3 : 2;
    }
    return known;
  }
}
