import { defineConfig, type TestUserConfig } from 'vitest/config';
import { LongFirst } from './tests/support/long-first.ts';

/**
 * Files whose tests are about their own process, or would be about another's: what it holds, listens for or has in its
 * environment. A process is of no use to a file that runs for long anyway. All others share a few, one file after the other: to
 * load the product again for each takes a seventh of the run.
 */
export const ALONE = [
  'tests/chaos/*.test.ts',
  'tests/contract/{sandbox,snapshots-p,uploads,vcs,queue,bus,model-oci,processes}*.test.ts',
  'tests/contract/{working-copy,tools-links}.test.ts',
  'tests/integration/{cli,embedded,launcher,package,planted,postgres}*.test.ts',
  'tests/integration/worker-{background,confined,death,full-disk,git,outage,roots}.test.ts',
  'tests/integration/api-{main,full-disk}.test.ts',
  'tests/store/{database,lock-order,migrate,races,repeats,storm}.test.ts',
];

export const each: TestUserConfig = {
  setupFiles: ['tests/support/leaks.ts'],
  pool: 'forks',
  // Their heaps are small, and the cores few.
  execArgv: ['--single-threaded-gc'],
  testTimeout: 30_000,
  hookTimeout: 60_000,
  // What is waited for comes; how soon is not for a busy machine to say.
  expect: { poll: { timeout: 10_000 } },
};

export default defineConfig({
  test: {
    // Their names are their order: those that share would else be parted.
    projects: [
      { test: { ...each, name: 'alone', include: ALONE } },
      {
        test: {
          ...each,
          name: 'together',
          include: ['tests/**/*.test.ts'],
          // What needs an engine of containers has a command of its own.
          exclude: [...ALONE, 'tests/containers/**'],
          isolate: false,
        },
      },
    ],
    globalSetup: ['tests/support/global-setup.ts'],
    sequence: { sequencer: LongFirst },
    // Two more than the cores it must do with: much of it waits, for leases and for processes.
    maxWorkers: 4,
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
