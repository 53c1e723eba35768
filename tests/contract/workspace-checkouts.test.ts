/** The files of a managed workspace on one machine, in the hands of one process after the other. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type CheckoutHost, openCheckout } from '../../src/workspace/checkouts.ts';
import { openSnapshots } from '../../src/workspace/snapshots/open-snapshots.ts';
import type { Snapshots } from '../../src/workspace/snapshots/snapshots.ts';

let dataDir: string;
let snapshots: Snapshots;
const gone = new Set<number>();

beforeEach(() => {
  gone.clear();
  dataDir = realpathSync(mkdtempSync(join(tmpdir(), 'capybara-checkouts-')));
  snapshots = openSnapshots({ directory: join(dataDir, 'snapshots') });
});
afterEach(async () => {
  await snapshots.close();
  rmSync(dataDir, { recursive: true, force: true });
});

function open(pid: number, head: string | null = null, more: Partial<CheckoutHost> = {}) {
  const self = { host: 'here', pid, pidStartedAt: '1' };
  const onError = (error: unknown) => {
    throw error;
  };
  const isGone = (other: { pid: number }) => gone.has(other.pid);
  const row = { id: 'w', kind: 'empty', path: null, lineage: 'l', head } as const;
  return openCheckout(row, { dataDir, snapshots, self, boot: 'b', isGone, onError, ...more });
}

test('are reached by the name that is shown, wherever one that comes too late lets it lead', async () => {
  const checkout = await open(1);
  writeFileSync(join(checkout.root, 'a'), 'a');
  symlinkSync(join(checkout.shown, 'a'), join(checkout.root, 'link'));
  const late = await open(2);
  expect(late.root).not.toBe(checkout.root);
  expect(await checkout.resolve(join(checkout.shown, 'a'))).toBe(join(checkout.root, 'a'));
  expect(await checkout.resolve('link')).toBe(join(checkout.root, 'a'));
  await expect(checkout.resolve(join(checkout.shown, '..', 'a'))).rejects.toThrow('outside the workspace');
});

test('are not believed to be put back while a call that was left behind goes on', async () => {
  const checkout = await open(1);
  writeFileSync(join(checkout.root, 'a'), 'a');
  const { snapshot } = await checkout.record();
  checkout.disturb();
  writeFileSync(join(checkout.root, 'a'), 'b');
  checkout.abandon();
  await checkout.undo();
  writeFileSync(join(checkout.root, 'a'), 'left behind');
  gone.add(1);
  const next = await open(2, snapshot);
  expect(readFileSync(join(next.root, 'a'), 'utf8')).toBe('a');
});

test('are nobody’s who finds them half removed', async () => {
  const [one, two] = [await open(1), await open(2)];
  mkdirSync(join(one.root, 'many'));
  for (let number = 0; number < 2_000; number++) writeFileSync(join(one.root, 'many', `${number}`), '');
  const { snapshot } = await two.record();
  one.disturb();
  one.release();
  two.release();
  await open(3, snapshot);
  const places = readdirSync(join(dataDir, 'workspaces', 'w')).filter((name) => name.startsWith('place-'));
  expect(places).toHaveLength(1);
});

test('are fresh where a call left what cannot be put back', async () => {
  const checkout = await open(1);
  writeFileSync(join(checkout.root, 'a'), 'a');
  const { snapshot } = await checkout.record();
  checkout.disturb();
  renameSync(checkout.root, `${checkout.root}-moved`);
  symlinkSync('/etc', checkout.root);
  checkout.release();
  const told: unknown[] = [];
  const next = await open(1, snapshot, { onError: (error) => told.push(error) });
  expect(told).toMatchObject([{ code: 'bad_root' }]);
  expect(next.root).not.toBe(checkout.root);
  expect(readFileSync(join(next.root, 'a'), 'utf8')).toBe('a');
  expect(existsSync('/etc/passwd')).toBe(true);
});

test.runIf(process.getuid?.() !== 0)('that a call closed to their owner are put back', async () => {
  const first = await open(1);
  mkdirSync(join(first.root, 'closed'));
  writeFileSync(join(first.root, 'closed', 'a'), 'a');
  first.disturb();
  chmodSync(join(first.root, 'closed'), 0o555);
  chmodSync(first.root, 0);
  first.release();
  const next = await open(1);
  expect(next.root).toBe(first.root);
  expect(readdirSync(next.root)).toEqual([]);
  chmodSync(next.root, 0);
  expect((await next.record()).changed).toBe(false);
});
