import { bench, describe } from 'vitest';
import { hbmAt, codeOf, done, make, rows, stepOf, time } from '../test/simulator/timing/build.ts';
import { sohu } from '../isa-spec/machines/sohu.ts';

/**
 * Layers in row tiles and column groups, double-buffered: the shape of a 70B step, with more layers to have
 * something to measure. The budget is 5 million instructions a second.
 */
const layerLoop = { level: 0, count: 800 };
const rowLoop = { level: 1, count: 4 };
const groups = { level: 2, count: 8 };
const around = (per: number, ...body: Parameters<typeof codeOf>[0][keyof Parameters<typeof codeOf>[0]] & object) => [
  make('loop', { ...layerLoop, body: body.length + 2 }),
  make('loop', { ...rowLoop, body: body.length + 1 }),
  make('loop', { ...groups, count: per, body: body.length }),
  ...body,
];
const code = codeOf({
  dma0: [make('sync', {}, [], []), ...around(8, make('dld', { src: hbmAt(1), lines: 1024, srcPitch: 1024, rows: rows(64) }, [8], [1]))],
  wld: [make('sync', {}, [], [8]), make('sync', {}, [], [8]), ...around(8, make('wld', { kTiles: 32, nTiles: 32, split: 1 }, [1], [8]))],
  mxu: [make('sync', {}, [], []), ...around(8, make('mm', { kTiles: 32, kLast: 256, nTiles: 32, split: 1, rows: rows(512) }, [9], [2]))],
  epi: [make('sync', {}, [], [9]), make('sync', {}, [], [9]), ...around(8, make('epi', { nTiles: 32, nLast: 256, split: 1, rows: rows(512) }, [2], [3, 9]))],
  vec: [...around(8, make('vqnt', { columns: 8192, rows: rows(512) }, [3], [4]))],
  dma1: [...around(8, make('dst', { dst: hbmAt(3), lines: 128, dstPitch: 128, rows: rows(512) }, [4]))],
});

describe('timing simulation', () => {
  const { instructions } = done(time(sohu, code, stepOf(2048)));
  const started = process.hrtime.bigint();
  const runs = 10;
  for (let run = 0; run < runs; run++) time(sohu, code, stepOf(2048));
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  console.log(`${instructions} instructions, ${((runs * instructions) / seconds / 1e6).toFixed(1)} M a second`);
  bench(`${instructions} instructions`, () => {
    time(sohu, code, stepOf(2048));
  });
});
