/** How numbers look in reports. No locale: the same everywhere. */

const prefixes = ['', 'k', 'M', 'G', 'T', 'P', 'E'] as const;
const kibi = 1024;

/** Three significant digits, no exponent: 0.0123, 1.23, 12.3; whole numbers whole. */
export const three = (value: number): string => {
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return value.toString();
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(6, digits));
};

/** `12,345`. */
export const grouped = (value: number): string => Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, ',');

/** `4.80 T` and the unit given. */
export function si(value: number, unit: string): string {
  let power = 0;
  let scaled = value;
  while (Math.abs(scaled) >= 999.5 && power < prefixes.length - 1) {
    scaled /= 1000;
    power++;
  }
  return `${three(scaled)} ${prefixes[power]}${unit}`;
}

/** A model's parameters, as people count them: `70.6 B`. */
export const billions = (count: number): string => si(count, '').trim().replace('G', 'B');

/** Capacities of on-chip memory, which come in powers of two: `192 MiB`. */
export function binary(bytes: number): string {
  const power = bytes < kibi ? 0 : Math.min(3, Math.floor(Math.log2(bytes) / 10));
  return power === 0 ? `${bytes} B` : `${three(bytes / kibi ** power)} ${['', 'K', 'M', 'G'][power]}iB`;
}

/** `3.93 ms`, from seconds. */
export function duration(seconds: number): string {
  if (seconds >= 0.9995) return `${three(seconds)} s`;
  if (seconds >= 0.9995e-3) return `${three(seconds * 1e3)} ms`;
  return `${three(seconds * 1e6)} us`;
}

export const percent = (fraction: number): string => `${(fraction * 100).toFixed(1)} %`;

const eighths = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'] as const;

/** A bar of `width` characters, `fraction` of it full. Anything above nothing shows. */
export function bar(fraction: number, width: number): string {
  const parts = Math.min(8 * width, Math.max(fraction > 0 ? 1 : 0, Math.round(fraction * 8 * width)));
  const filled = '█'.repeat(Math.floor(parts / 8)) + eighths[parts % 8];
  return filled + '·'.repeat(width - filled.length);
}

/** `exposedDma` as people read it: `exposed DMA`. */
export const readable = (name: string): string =>
  name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`).replace('fill drain', 'fill and drain').replace(/\bdma\b/, 'DMA').replace(/^hbm$/, 'HBM');

export const plural = (count: number, noun: string): string => `${grouped(count)} ${noun}${count === 1 ? '' : 's'}`;

/** How many matrix arrays a program lends. */
export const lentText = (lent: number): string => `${lent === 0 ? 'no matrix array' : plural(lent, 'matrix array')} lent to the attention unit`;

/** What an engine does in a second, in the unit people know: multiply-adds as FLOPs. */
export const rate = (unit: string, perSecond: number): string => (unit === 'multiply-adds' ? si(2 * perSecond, 'FLOP/s') : si(perSecond, unit === 'bytes' ? 'B/s' : '/s'));

/** A number of the machine, of whatever unit: `900e9` as 9.00e11. */
export const machineNumber = (value: number): string => (value >= 1e6 || (value !== 0 && value < 1e-3) ? value.toExponential(2).replace('+', '') : three(value));
