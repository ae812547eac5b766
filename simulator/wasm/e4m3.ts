import type { Engine } from './engine.ts';
import { copyRow, copySlice, type Job, lanes, loadSums, partsOf, roundUp, slicesOf, sliceDepth, storeSums } from './job.ts';
import { panelBytes } from './product.ts';
import { at as tables } from './tables.ts';

/** The shares of elements an integer kernel takes for 0 from which doubles are faster than lists. */
const smallShare = { activations: 1 / 8, weights: 1 / 8 };
const nan = 0x7f;

/** The list of activations of a slice that are not whole in their row's unit; whether integers and those suffice. */
type Small = { readonly from: number; readonly to: number; readonly whole: boolean };

/**
 * E4M3 products, exact. Most values are few units of 2^-u, of eighths if they are weights: those are multiplied in 16-bit integers and
 * summed in 32; the few others are listed and multiplied apart, in doubles. Where there are many, or NaN, all are.
 */
export const multiplyE4m3 = (engine: Engine, job: Job): void => {
  for (const part of partsOf(job)) multiplyPart(engine, part);
};

const multiplyPart = (engine: Engine, job: Job): void => {
  const { size, nTiles, rows } = job;
  const slices = slicesOf(job);
  const width = roundUp(size, lanes);
  const fours = roundUp(rows, 4);
  /** Of what goes down columns; uneven, lest they share few lines of a cache. */
  const columnPitch = 8 * (fours + 8);
  const depth = slices.reduce((sum, { deep }) => sum + deep, 0);
  const { tileAt, packedAt, wListAt, codesAt, wholeAt, scalesAt, doublesAt, xListAt, cAt, columnsAt } = engine.reserve({
    tileAt: sliceDepth * width, packedAt: sliceDepth * width * 8, wListAt: sliceDepth * width * 4,
    codesAt: rows * depth, wholeAt: rows * depth * 2, scalesAt: slices.length * rows * 8, doublesAt: columnPitch * depth, xListAt: rows * depth * 4,
    cAt: fours * width * 8, columnsAt: columnPitch * width,
  });
  const { u8, f64 } = engine.views;
  const { productI16, productF64, packI16, readI16, packF64, addRows, addColumns, addTransposed } = engine.functions;
  const c = f64.subarray(cAt / 8, cAt / 8 + rows * width);
  const columns = f64.subarray(columnsAt / 8, (columnsAt + columnPitch * width) / 8);
  const noticed = u8.subarray(tables.noticed, tables.noticed + lanes);

  let list = xListAt;
  const smalls = slices.map((slice, i): Small => {
    const { deep, at } = slice;
    const from = list;
    noticed.fill(0);
    for (let r = 0; r < rows; r++) {
      const codes = codesAt + rows * at + r * deep;
      copyRow(job, r, slice, u8, codes);
      list = readI16(codes, deep, wholeAt + 2 * (rows * at + r * deep), scalesAt + 8 * (i * rows + r), doublesAt + columnPitch * at + 8 * r, columnPitch, list, r << 16);
    }
    return { from, to: list, whole: !noticed.includes(nan) && (list - from) / 4 <= rows * deep * smallShare.activations };
  });

  for (let nt = 0; nt < nTiles; nt++) {
    loadSums(job, nt, c, width);
    columns.fill(0);
    slices.forEach((slice, i) => {
      const { deep, at } = slice;
      const { from, to, whole } = smalls[i]!;
      const doubles = doublesAt + columnPitch * at;
      copySlice(job, nt, slice, u8, [tileAt, width]);
      const end = whole ? packI16(tileAt, width, packedAt, deep, width, wListAt) : Infinity;
      if ((end - wListAt) / 4 > deep * width * smallShare.weights || noticed.includes(nan)) {
        packF64(tileAt, width, packedAt, deep, width);
        productF64(cAt, width * 8, doubles, 8, columnPitch, packedAt, deep * panelBytes, deep, rows, width / 4, 0);
        // A weight of NaN, which the panels hold as a number.
        for (let i = 0; i < deep * width; i++) if ((u8[tileAt + i]! & nan) === nan) for (let r = 0; r < rows; r++) c[r * width + (i % width)] = NaN;
        return;
      }
      productI16(cAt, width * 8, wholeAt + 2 * rows * at, 2 * deep, 4, packedAt, deep / 2 * panelBytes, deep / 2, rows, width / 8, scalesAt + 8 * i * rows);
      addRows(cAt, width * 8, packedAt, deep / 2 * panelBytes, codesAt + rows * at, deep, from, to, width / 8);
      addColumns(columnsAt, columnPitch, doubles, columnPitch, tileAt, width, wListAt, end, fours);
    });
    addTransposed(cAt, width * 8, columnsAt, columnPitch, fours, width);
    storeSums(job, nt, c, width);
  }
};
