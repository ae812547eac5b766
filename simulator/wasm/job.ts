/** A product as `mm` asks for it. Elements are codes: bytes of E4M3, words of BF16. */
export type Job = {
  readonly size: number;
  readonly kTiles: number;
  /** Rows of the last k-tile. */
  readonly kLast: number;
  readonly nTiles: number;
  readonly rows: number;
  readonly x: Uint8Array | Uint16Array;
  /** Where row r starts in `x`. */
  readonly xAt: (r: number) => number;
  /** Tiles, k outermost, a row of one taking `pitch` elements. */
  readonly tiles: Uint8Array | Uint16Array;
  readonly pitch: number;
  /** Rows [row, row + rows) of the product in tile column `nt`: where their sums are. */
  readonly places: readonly { readonly row: number; readonly rows: number; readonly at: number; readonly sums: (nt: number) => Float64Array }[];
};

export const roundUp = (value: number, to: number): number => Math.ceil(value / to) * to;
/** Elements the packing kernels take at a time. */
export const lanes = 16;
/** Rows multiplied at a time: their sums of a tile column and a slice of their activations stay in a cache, and weights are packed anew for each so many. */
const rowsAtATime = 128;
/** Rows of a tile taken at a time. */
export const sliceDepth = 256;

/** The job in parts of few enough rows. */
export const partsOf = (job: Job): readonly Job[] =>
  Array.from({ length: Math.ceil(job.rows / rowsAtATime) }, (_, part) => {
    const first = part * rowsAtATime;
    const rows = Math.min(rowsAtATime, job.rows - first);
    const places = job.places.flatMap(({ row, rows: count, at, sums }) => {
      const from = Math.max(row, first);
      const to = Math.min(row + count, first + rows);
      return from < to ? [{ row: from - first, rows: to - from, at: at + (from - row) * job.size, sums }] : [];
    });
    return { ...job, rows, places, xAt: (r) => job.xAt(first + r) };
  });

/** Rows [first, first + depth) of k-tile `kt`, filled up with zeros to `deep`; `at`: those of the slices before. */
export type Slice = { readonly kt: number; readonly first: number; readonly depth: number; readonly deep: number; readonly at: number };

export const slicesOf = ({ size, kTiles, kLast }: Job): readonly Slice[] => {
  const slices: Slice[] = [];
  let at = 0;
  for (let kt = 0; kt < kTiles; kt++) {
    const rows = kt === kTiles - 1 ? kLast : size;
    for (let first = 0; first < rows; first += sliceDepth) {
      const depth = Math.min(sliceDepth, rows - first);
      const deep = roundUp(depth, lanes);
      slices.push({ kt, first, depth, deep, at });
      at += deep;
    }
  }
  return slices;
};

/** Copies a slice of row r of the activations to `into[to..]`. */
export const copyRow = ({ x, xAt, size }: Job, r: number, { kt, first, depth, deep }: Slice, into: Uint8Array | Uint16Array, to: number): void => {
  const from = xAt(r) + kt * size + first;
  into.set(x.subarray(from, from + depth), to);
  into.fill(0, to + depth, to + deep);
};

/** Copies a slice of tile column `nt` to `into[to..]`, rows `width` elements apart. */
export const copySlice = ({ tiles, pitch, size, nTiles }: Job, nt: number, { kt, first, depth, deep }: Slice, into: Uint8Array | Uint16Array, [to, width]: readonly [number, number]): void => {
  const from = ((kt * nTiles + nt) * size + first) * pitch;
  if (pitch === width && size === width) into.set(tiles.subarray(from, from + depth * pitch), to);
  else {
    into.fill(0, to, to + depth * width);
    for (let k = 0; k < depth; k++) into.set(tiles.subarray(from + k * pitch, from + k * pitch + size), to + k * width);
  }
  into.fill(0, to + depth * width, to + deep * width);
};

export const loadSums = ({ places, size }: Job, nt: number, c: Float64Array | Float32Array, width: number): void => {
  for (const { row, rows, at, sums } of places) {
    const from = sums(nt);
    for (let r = 0; r < rows; r++) c.set(from.subarray(at + r * size, at + (r + 1) * size), (row + r) * width);
  }
};

export const storeSums = ({ places, size }: Job, nt: number, c: Float64Array | Float32Array, width: number): void => {
  for (const { row, rows, at, sums } of places) {
    const to = sums(nt);
    for (let r = 0; r < rows; r++) to.set(c.subarray((row + r) * width, (row + r) * width + size), at + r * size);
  }
};
