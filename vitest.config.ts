import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  // Plug-ins import 'sohuc', as users' do; in tests that is the source.
  resolve: { alias: { sohuc: fileURLToPath(new URL('driver/api.ts', import.meta.url)) } },
  test: { include: ['test/**/*.test.ts'], testTimeout: 60_000, pool: 'forks' },
});
