import { defineConfig } from 'rolldown';

/** Everything in a few files: an unbundled start takes five times as long. Kept outside: what users may not have, and what finds its own files. */
export default defineConfig({
  input: { sohuc: 'driver/cli.ts', api: 'driver/api.ts' },
  platform: 'node',
  external: ['onnxruntime-node', 'amaro'],
  output: { dir: 'dist', format: 'esm', cleanDir: true, chunkFileNames: 'chunks/[name]-[hash].js', banner: (chunk) => (chunk.name === 'sohuc' ? '#!/usr/bin/env node' : '') },
});
