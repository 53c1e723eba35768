import { defineConfig } from 'vitest/config';
import { LongFirst } from './tests/support/long-first.ts';

export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    globalSetup: ['tests/support/global-setup.ts'],
    setupFiles: ['tests/support/leaks.ts'],
    pool: 'forks',
    // Their heaps are small, and the cores few.
    execArgv: ['--single-threaded-gc'],
    sequence: { sequencer: LongFirst },
    // One more than the cores it must do with: much of it waits for leases.
    maxWorkers: 3,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // What is waited for comes; how soon is not for a busy machine to say.
    expect: { poll: { timeout: 10_000 } },
    disableConsoleIntercept: true,
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts'],
      exclude: ['src/store/generated/**'],
      reportOnFailure: true,
      reporter: ['text-summary', 'json-summary'],
      // Lines that run only in processes of their own (launcher, guards, threads) are not counted as run.
      thresholds: { lines: 80 },
    },
  },
});
