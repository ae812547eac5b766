import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { configDefaults, defineConfig } from 'vitest/config';

/** What a check leaves to `npm test`, besides most cases of sweeps (`test/sweep.ts`). */
const exhaustive = ['test/numerics/**', '**/*corpus*', 'test/isa-spec/fuzz.test.ts'];

export default defineConfig(({ mode }) => ({
  // Plug-ins import 'sohuc', as users' do; in tests that is the source.
  resolve: { alias: { sohuc: fileURLToPath(new URL('driver/api.ts', import.meta.url)) } },
  test: {
    include: ['test/**/*.test.ts'], exclude: [...configDefaults.exclude, ...(mode === 'check' ? exhaustive : [])], setupFiles: ['test/setup.ts'], testTimeout: 60_000,
    // A check loads every module once a process, not once a file. What V8 is told: docs/adr/0038.
    // Many tests wait for commands they have begun: a process more than there are cores.
    maxWorkers: availableParallelism() + 1,
    pool: 'forks', isolate: mode !== 'check', execArgv: ['--max-semi-space-size=64', '--interrupt-budget=400000'],
  },
}));
