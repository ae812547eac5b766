import { type Products, usual } from './products.ts';

const wide = { side: 16, kLast: 16 } as const;

/** The micro-suite: what is not said is `usual`. */
export const suite: Readonly<Record<string, Products>> = Object.fromEntries(
  Object.entries<Partial<Products>>({
    'one tile, 1 row': { rows: 1, kTiles: 1 },
    'one tile, 64 rows': { rows: 64, kTiles: 1 },
    '8 tiles, 1 row: bound by weights': { rows: 1, kTiles: 8 },
    '8 tiles, 8 rows': { rows: 8, kTiles: 8 },
    '8 tiles, 64 rows': { rows: 64, kTiles: 8 },
    'weights wait for late rows, 1 row': { rows: 1, kTiles: 8, late: 80, hbm: 4, groups: 8 },
    'weights wait for late rows, 5 of 40 rows, 16 products': { rows: 40, tokens: 5, groups: 16, late: 600 },
    'k cut short, 24 rows': { rows: 24, kTiles: 3, kLast: 3 },
    'independent products': { rows: 32, groups: 12 },
    'independent products, no loops': { rows: 32, groups: 12, loops: false },
    'one slot of accumulators': { rows: 32, groups: 12, sums: 1 },
    'dependent products': { rows: 32, groups: 12, dependent: true },
    'dependent products of few rows': { rows: 2, kTiles: 8, groups: 12, dependent: true },
    'weight ring of 1': { rows: 16, kTiles: 2, groups: 6, chunks: 4, ring: 1 },
    'weight ring of 2': { rows: 16, kTiles: 2, groups: 6, chunks: 4, ring: 2 },
    'weight ring of 3': { rows: 16, kTiles: 2, groups: 6, chunks: 4, ring: 3 },
    'bound by HBM': { rows: 16, kTiles: 4, groups: 8, chunks: 2, hbm: 6 },
    'bound by drains': { rows: 64, kTiles: 1, groups: 16, scale: true, residual: true },
    'bound by stores': { rows: 64, kTiles: 1, groups: 16, hbm: 16 },
    'bf16, rows enough': { format: 'bf16', rows: 32, kTiles: 4, groups: 4 },
    'bf16, bound by weights': { format: 'bf16', rows: 3, kTiles: 8, groups: 4, ring: 3 },
    'bf16, scaled, with residual': { format: 'bf16', rows: 20, kTiles: 2, groups: 8, chunks: 2, scale: true, residual: true },
    'no rows': { rows: 16, tokens: 0, groups: 4 },
    '16 x 16, few rows': { ...wide, rows: 4, kTiles: 8, groups: 4 },
    '16 x 16, 48 rows': { ...wide, rows: 48, kTiles: 4, groups: 8, chunks: 2, ring: 3, scale: true, residual: true },
    '16 x 16, bound by HBM': { ...wide, rows: 64, kTiles: 2, groups: 6, chunks: 3, hbm: 8 },
    '16 x 16, bf16': { ...wide, format: 'bf16', rows: 24, kTiles: 4, groups: 4, scale: true },
  }).map(([name, products]) => [name, { ...usual, ...products }]),
);
