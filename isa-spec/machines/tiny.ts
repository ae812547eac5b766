import type { Machine, Quantity } from '../machine.ts';

const chosen = (value: number): Quantity => ({ value, provenance: 'assumed', source: 'a machine small enough that a test reaches every edge' });

/** Everything small: four arrays of 8 x 8, 8 KiB of SRAM in lines of 8 bytes. */
export const tiny: Machine = {
  name: 'tiny',
  chips: 1,
  clockHz: chosen(1e9),
  arrays: { count: chosen(4), size: chosen(8), bf16Rate: chosen(0.5) },
  accumulatorRows: chosen(32),
  weightFifoTiles: chosen(4),
  attention: { count: chosen(2), size: chosen(8), kvBytesPerCycle: chosen(16) },
  softmaxPerCycle: chosen(8),
  vectorLanes: chosen(16),
  sram: { bytes: chosen(8192), banks: chosen(4), lineBytes: chosen(8) },
  hbm: {
    bytes: chosen(2 ** 24),
    bytesPerSecond: chosen(64e9),
    latencySeconds: chosen(50e-9),
    efficiency: [
      { runBytes: 4096, fraction: chosen(0.9) },
      { runBytes: 1024, fraction: chosen(0.85) },
      { runBytes: 256, fraction: chosen(0.6) },
      { runBytes: 64, fraction: chosen(0.3) },
    ],
  },
  link: { bytesPerSecond: chosen(16e9), latencySeconds: chosen(100e-9) },
  syncCycles: chosen(4),
};

/** Two tiny chips. */
export const tiny2: Machine = { ...tiny, name: 'tiny-2', chips: 2 };
