import type { Machine, Quantity } from '../machine.ts';

const published = (value: number, source: string): Quantity => ({ value, provenance: 'published', source });
const derived = (value: number, source: string): Quantity => ({ value, provenance: 'derived', source });
const assumed = (value: number, source: string): Quantity => ({ value, provenance: 'assumed', source });

const peak = '500,000 tok/s (input and output) of Llama-3-70B at 2048/128 on 8 chips needs 9.71 PFLOP/s a chip at 90 %; 64 x 256 x 256 x 2 x 1.2 GHz is 10.07';
const runs = 'run-length efficiency of HBM: no primary source; order of magnitude of GPU measurements';

/** One chip. Sohu's instruction set, clock, array shape, SRAM, links and power are not public. */
export const sohu: Machine = {
  name: 'sohu',
  chips: 1,
  clockHz: derived(1.2e9, peak),
  arrays: {
    count: derived(64, peak),
    size: derived(256, `${peak}; 256 halves operand traffic against 128`),
    bf16Rate: assumed(0.5, 'half of FP8, as on GPUs of its time'),
  },
  accumulatorRows: assumed(1024, 'two banks of 512: one hides a 256-cycle weight load twice over'),
  weightFifoTiles: assumed(4, 'four tiles deep, as TPU v1'),
  attention: {
    count: assumed(16, 'a unit of its own, so that decoding overlaps matrix products'),
    size: assumed(128, 'the usual head dimension'),
    kvBytesPerCycle: assumed(256, 'per array: two keys of 128 FP8 elements a cycle'),
  },
  softmaxPerCycle: assumed(2048, '1.5e9 exponentials a step of 4.35 ms, four times over'),
  vectorLanes: assumed(8192, 'norms, rotations, residuals and quantisation within a step of 4.35 ms'),
  sram: {
    bytes: assumed(192 * 2 ** 20, 'activations of a 2175-row step, weight and KV staging'),
    banks: assumed(128, 'two a matrix array'),
    lineBytes: assumed(64, '24-bit line addresses reach 1 GiB'),
  },
  hbm: {
    bytes: published(144e9, '144 GB HBM3E per chip (third-party pages on Etched Sohu)'),
    bytesPerSecond: published(4.8e12, '4.8 or 6.03 TB/s (third-party pages, conflicting); the lower'),
    latencySeconds: assumed(0.4e-6, 'HBM round trip of GPUs of its time'),
    efficiency: [
      { runBytes: 4096, fraction: assumed(0.9, runs) },
      { runBytes: 1024, fraction: assumed(0.85, runs) },
      { runBytes: 256, fraction: assumed(0.6, runs) },
      { runBytes: 64, fraction: assumed(0.3, runs) },
    ],
  },
  link: {
    bytesPerSecond: assumed(900e9, 'per direction and chip, all-to-all (NVLink 5 class)'),
    latencySeconds: assumed(1e-6, 'one hop'),
  },
  syncCycles: assumed(20, 'from a post to the wait it satisfies, across a large die'),
};

/** The server: eight chips, all-to-all. */
export const sohu8: Machine = { ...sohu, name: 'sohu-8', chips: 8 };

/** The server with the higher of the two HBM bandwidths quoted. */
export const sohu8Wide: Machine = {
  ...sohu8,
  name: 'sohu-8-6tbs',
  hbm: { ...sohu8.hbm, bytesPerSecond: published(6.03e12, '4.8 or 6.03 TB/s (third-party pages, conflicting); the higher') },
};
