/** Files that cannot be recorded are put back only when no command goes on changing them, and the result says so. */
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { BackgroundProcesses } from '../../src/sandbox/background.ts';
import type { LeasedSandbox } from '../../src/sandbox/sandbox.ts';
import { createUnconfinedSandbox } from '../../src/sandbox/unconfined.ts';
import type { Run } from '../../src/worker/run.ts';
import { recorded } from '../../src/worker/session-files.ts';
import type { Checkout } from '../../src/workspace/checkouts.ts';
import { SnapshotError } from '../../src/workspace/snapshots/snapshot-error.ts';
import { pidsIn } from '../support/bubblewrap.ts';

let directory: string;
let sandbox: LeasedSandbox;
let background: BackgroundProcesses;
/** What ran when the files were put back. */
let seen: string[] | undefined;

beforeEach(async () => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'capybara-put-back-')));
  sandbox = createUnconfinedSandbox({ environment: process.env, killGraceMs: 100 });
  background = new BackgroundProcesses(sandbox);
  seen = undefined;
  const command = { script: 'sleep 1000', cwd: directory, writable: [directory], scratch: directory };
  await background.start(command, { momentMs: 0, signal: new AbortController().signal });
});
afterEach(async () => {
  await sandbox.close();
  rmSync(directory, { recursive: true });
});

/** One whose files cannot be recorded, which no real one can be made to fail at without its next step failing too. */
function unrecordable(managed: boolean): Checkout {
  return {
    managed,
    record: () => Promise.reject(new SnapshotError('git_failed', 'No space is left.')),
    undo: async () => {
      seen = pidsIn(directory);
    },
  } as unknown as Checkout;
}

const after = (checkout: Checkout) =>
  recorded({ background } as Run, checkout, {
    ...{ status: 'succeeded', text: 'done', written: [] },
    seen: [['a', 'version']],
  });

test('commands end before the files of a managed workspace are put back, and that is told', async () => {
  const { open } = background;
  expect(await after(unrecordable(true))).toEqual({
    status: 'failed',
    text:
      'done\n[the files could not be recorded after this call: No space is left. They were put back to what they were before the ' +
      'call. For that, bg_1 had to be killed.]',
    processes: { ended: [{ id: open[0]?.known.id, end: 'undo' }] },
  });
  expect(seen).toEqual([]);
  expect(background.cutOff).toEqual([]);
});

test('commands go on in the user’s own directory, where nothing is put back', async () => {
  expect(await after(unrecordable(false))).toEqual({
    status: 'failed',
    text: 'done\n[the files could not be recorded after this call: No space is left. They are as it left them.]',
    seen: [['a', 'version']],
  });
  expect(seen).toBeUndefined();
  expect(background.isRunning).toBe(true);
});
