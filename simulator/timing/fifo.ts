import type { Standing } from './standing.ts';

/**
 * One chip's weight FIFO and matrix pipe, tile by tile. A load takes its cycles as soon as the load before it is done and one of the
 * FIFO's `depth` places is free. From the FIFO a tile moves into the array's shadow registers at the rate it was loaded at, its rows passing
 * through as they come, once the tile before it is at work and needs them no more: that frees its place, so that with the one in the
 * registers `depth` + 1 tiles wait. Tile t of a multiplication starts when tile t-1 has streamed its rows and tile t has moved in:
 * max(rows, load) a tile even when the FIFO is full (the cycle-stepped reference has shown both: simulator/reference). Where arrays share k,
 * tiles are steps: a tile for each of them. A multiplication of fewer levels of adders than the one before is held back until its sums overtake
 * none. Once a load and its multiplication have both started, every time of both follows, so they are computed at once and ahead of the clock.
 */
export class WeightFifo {
  /** Tiles there is room for: in the FIFO and in the shadow registers. */
  readonly #places: number;
  readonly #mask: number;
  readonly #loaded: Float64Array;
  /** Cycles each tile takes to load, and again to move in. */
  readonly #moving: Float64Array;
  readonly #started: Float64Array;
  readonly #entryTiles: Int32Array;
  #nextLoad = 0;
  #nextPop = 0;
  #entriesIn = 0;
  #entriesOut = 0;
  #loadLeft = 0;
  #loadCycles = 0;
  /** When the tile at work started. */
  #lastStart = -Infinity;
  #multiplyLeft = 0;
  #streamCycles = 0;
  /** Levels of adders of the multiplication begun last, and when it could start at the earliest. */
  #levels = 0;
  #clear = 0;
  /** When the load and the multiplication begun last are done, as far as known. */
  loadTime = 0;
  multiplyTime = 0;
  /** Cycles the multiplication begun last waited for tiles in flight. */
  waited = 0;
  /** Cycles it was held back, for the sums before its own. */
  held = 0;
  loading = false;
  multiplying = false;

  constructor(depth: number) {
    this.#places = depth + 1;
    const size = 2 ** Math.ceil(Math.log2(depth + 3));
    this.#mask = size - 1;
    this.#loaded = new Float64Array(size);
    this.#moving = new Float64Array(size);
    this.#started = new Float64Array(size);
    this.#entryTiles = new Int32Array(size);
  }

  /** Whether a multiplication is held up because no load for it has started. */
  get starved(): boolean {
    return this.multiplying && this.#entriesOut > this.#entriesIn;
  }

  /** Starts loading an entry. False if the multiplication waiting for it takes another number of tiles. */
  beginLoad(now: number, tiles: number, cyclesPerTile: number): boolean {
    const wanted = this.starved ? this.#multiplyLeft : tiles;
    if (this.starved) this.#hold(now);
    this.#entryTiles[this.#entriesIn++ & this.#mask] = tiles;
    this.#loadLeft = tiles;
    this.#loadCycles = cyclesPerTile;
    this.loadTime = Math.max(this.loadTime, now);
    this.loading = true;
    return wanted === tiles;
  }

  /** Starts multiplying with the next entry; sums pass `levels` of adders. False if the entry has another number of tiles. */
  beginMultiply(now: number, tiles: number, streamCycles: number, levels: number): boolean {
    const known = this.#entriesOut < this.#entriesIn;
    const there = known ? this.#entryTiles[this.#entriesOut & this.#mask]! : tiles;
    this.#entriesOut++;
    this.#multiplyLeft = tiles;
    this.#streamCycles = streamCycles;
    this.#clear = this.multiplyTime + this.#levels - levels;
    this.#levels = levels;
    this.#hold(now);
    this.waited = 0;
    this.multiplying = true;
    return there === tiles;
  }

  #hold(now: number): void {
    this.multiplyTime = Math.max(now, this.#clear);
    this.held = this.multiplyTime - now;
  }

  /** All that decides what comes, times from `now` on: tiles and entries from the next on around. */
  standing(now: number): Standing {
    const around = (column: ArrayLike<number>, first: number, from: number): readonly number[] => Array.from(column, (_, i) => column[(first + i) & this.#mask]! - from);
    return [
      around(this.#loaded, this.#nextLoad, now), around(this.#moving, this.#nextLoad, 0), around(this.#started, this.#nextLoad, now), around(this.#entryTiles, this.#entriesIn, 0),
      Math.min(this.#nextLoad, this.#places), this.#nextLoad - this.#nextPop, this.#entriesIn - this.#entriesOut, this.#loadLeft, this.#loadCycles, this.#lastStart - now, this.#multiplyLeft, this.#streamCycles, this.#levels, Math.max(0, this.#clear - now),
      this.loadTime - now, this.multiplyTime - now, this.waited, this.held, Number(this.loading), Number(this.multiplying),
    ];
  }

  /** Puts everything off by `cycles`. */
  postpone(cycles: number): void {
    for (const column of [this.#loaded, this.#started]) column.forEach((time, i) => (column[i] = time + cycles));
    this.#lastStart += cycles;
    this.#clear += cycles;
    this.loadTime += cycles;
    this.multiplyTime += cycles;
  }

  /** Computes all that follows from what has started. Returns what has become known: 1 the load's end, 2 the multiplication's, 3 both, 0 neither. */
  advance(): 0 | 1 | 2 | 3 {
    for (let moved = true; moved; ) {
      moved = false;
      this.#repeat();
      while (this.#loadLeft > 0 && this.#nextLoad - this.#nextPop < this.#places) {
        const freed = this.#nextLoad < this.#places ? 0 : this.#started[(this.#nextLoad - this.#places) & this.#mask]!;
        this.loadTime = Math.max(this.loadTime, freed) + this.#loadCycles;
        this.#moving[this.#nextLoad & this.#mask] = this.#loadCycles;
        this.#loaded[this.#nextLoad++ & this.#mask] = this.loadTime;
        this.#loadLeft--;
        moved = true;
      }
      while (this.#multiplyLeft > 0 && this.#nextPop < this.#nextLoad) {
        const tile = this.#nextPop++ & this.#mask;
        const start = Math.max(this.multiplyTime, this.#loaded[tile]!, this.#lastStart + this.#moving[tile]!);
        this.waited += start - this.multiplyTime;
        this.#started[tile] = start;
        this.#lastStart = start;
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

  /**
   * Takes all tiles at once that the load and the multiplication under way have in common, if from here on they repeat: either the
   * FIFO is full and a tile is loaded well before its turn, or it is empty and a tile multiplies as soon as it is loaded.
   */
  #repeat(): void {
    const tiles = Math.min(this.#loadLeft, this.#multiplyLeft);
    if (tiles <= this.#places) return;
    const load = this.#loadCycles, stream = this.#streamCycles, mask = this.#mask;
    const waiting = this.#nextLoad - this.#nextPop;
    const full = waiting === this.#places && stream >= load && this.loadTime <= this.multiplyTime && this.#alike(load) && this.#lastStart + load <= this.multiplyTime;
    const empty = waiting === 0 && stream <= load && this.loadTime === this.#lastStart && this.multiplyTime === this.loadTime + stream && this.#nextLoad >= this.#places;
    if (!full && !empty) return;
    const period = full ? stream : load;
    const first = full ? this.multiplyTime : this.loadTime + load;
    for (let tile = Math.max(0, tiles - this.#places); tile < tiles; tile++) {
      const start = first + tile * period;
      this.#started[(this.#nextPop + tile) & mask] = start;
      this.#loaded[(this.#nextLoad + tile) & mask] = full ? start + load : start;
      this.#moving[(this.#nextLoad + tile) & mask] = load;
    }
    this.#nextLoad += tiles;
    this.#nextPop += tiles;
    this.#loadLeft -= tiles;
    this.#multiplyLeft -= tiles;
    this.#lastStart = first + (tiles - 1) * period;
    this.loadTime = full ? this.#lastStart + load : this.#lastStart;
    this.multiplyTime = this.#lastStart + stream;
    if (empty) this.waited += tiles * (load - stream);
  }

  /** Whether all tiles waiting take `cycles` to move in. */
  #alike(cycles: number): boolean {
    for (let tile = this.#nextPop; tile < this.#nextLoad; tile++) if (this.#moving[tile & this.#mask] !== cycles) return false;
    return true;
  }
}
