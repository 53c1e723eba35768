import type { LeasedSandbox, Sandbox } from '../../src/sandbox/sandbox.ts';

/** Most of these workers run no command: they go without a guard, which is a process. */
export function whenNeeded(open: () => LeasedSandbox): Sandbox & { feed(): void } {
  let opened: LeasedSandbox | undefined;
  return {
    name: 'none',
    confined: false,
    run: (...command) => {
      opened ??= open();
      return opened.run(...command);
    },
    feed: () => opened?.feed(),
    close: async () => opened?.close(),
  };
}
