/** What a workspace's files are, recorded between the steps of a turn. */
import { describe, expect, test } from 'vitest';
import { newId } from '../../src/clock.ts';
import type { FoundSource, GitSource, RootsSource } from '../../src/core/workspace.ts';
import { createTask } from '../../src/store/tasks.ts';
import { claimTurn, recordFiles } from '../../src/store/turns.ts';
import { claim, claimOf, running, submissionOf, useStore } from '../support/store.ts';

const store = useStore();
const SOURCE: GitSource = { url: 'https://host.example/app', ref: 'main' };
const FOUND: FoundSource = { commit: 'c'.repeat(40), rules: [{ decision: 'deny', tool: 'bash' }] };
const [FIRST, SECOND] = ['a'.repeat(40), 'b'.repeat(40)];

type Cloning =
  | { readonly kind: 'git'; readonly source: GitSource }
  | { readonly kind: 'roots'; readonly source: RootsSource };

/** A turn in hand whose workspace is a repository that was not cloned yet. */
async function cloning(from: Cloning = { kind: 'git', source: SOURCE }) {
  const plain = submissionOf(store);
  const workspace = { id: newId(), path: null, ...from };
  const session = { id: newId(), title: 'A session', workspace };
  await createTask(store.db, { ...plain, session });
  return { ...(await claim(store.db, plain.task.turnId)), sessionId: session.id };
}

async function rowOf(sessionId: string) {
  const [row] = await store.db.sql`
    SELECT w.base, w.head, w.source FROM workspace w JOIN session s ON s.workspace_id = w.id WHERE s.id = ${sessionId}`;
  return row;
}

async function eventsOf(sessionId: string) {
  const rows = await store.db.sql<{ type: string }>`
    SELECT type FROM event WHERE session_id = ${sessionId} AND type = 'workspace.snapshotted'`;
  return rows.length;
}

describe('record_files', () => {
  test('says what a cloned workspace begins with, once', async () => {
    const held = await cloning();
    const files = { snapshot: FIRST, found: FOUND };
    expect(await recordFiles(store.db, held, files)).toMatchObject({ outcome: 'recorded' });
    expect(await recordFiles(store.db, held, files)).toMatchObject({ outcome: 'recorded' });
    expect(await rowOf(held.sessionId)).toEqual({
      base: FIRST,
      head: FIRST,
      source: { ...SOURCE, found: FOUND },
    });
    expect(await eventsOf(held.sessionId)).toBe(1);
    await recordFiles(store.db, held, { snapshot: SECOND });
    expect(await rowOf(held.sessionId)).toEqual({
      base: FIRST,
      head: SECOND,
      source: { ...SOURCE, found: FOUND },
    });
  });

  test('tells it to every later claim', async () => {
    const held = await cloning();
    await recordFiles(store.db, held, { snapshot: FIRST, found: FOUND });
    const again = await claimTurn(store.db, {
      ...claimOf(held.turnId, held.workerId),
      attemptId: held.attemptId,
    });
    expect(again).toMatchObject({
      outcome: 'repeated',
      turn: { workspace: { base: FIRST, head: FIRST, source: { ...SOURCE, found: FOUND } } },
    });
  });

  test('of a clone is a step: the tries count from none again', async () => {
    const held = await cloning();
    await store.db.sql`UPDATE turn SET retries = 1, takeovers = 3 WHERE id = ${held.turnId}`;
    const tries = async () =>
      (await store.db.sql`SELECT retries, takeovers FROM turn WHERE id = ${held.turnId}`)[0];
    await recordFiles(store.db, held, { snapshot: FIRST });
    expect(await tries()).toEqual({ retries: 1, takeovers: 3 });
    await recordFiles(store.db, held, { snapshot: SECOND, found: FOUND });
    expect(await tries()).toEqual({ retries: 0, takeovers: 0 });
  });

  test('by an attempt that has lost the turn writes nothing', async () => {
    const held = await cloning();
    const files = { snapshot: FIRST, found: FOUND };
    expect(await recordFiles(store.db, { ...held, attemptId: newId() }, files)).toEqual({
      outcome: 'fenced',
    });
    expect(await rowOf(held.sessionId)).toEqual({ base: null, head: null, source: SOURCE });
  });

  test('says what a workspace of several roots begins with', async () => {
    const source: RootsSource = {
      roots: [
        { name: 'app', access: 'write', kind: 'git', url: SOURCE.url, ref: null },
        { name: 'out', access: 'read', kind: 'empty' },
      ],
    };
    const held = await cloning({ kind: 'roots', source });
    const found = { commits: { app: 'c'.repeat(40) }, rules: FOUND.rules };
    await recordFiles(store.db, held, { snapshot: FIRST, found });
    await recordFiles(store.db, held, { snapshot: SECOND });
    expect(await rowOf(held.sessionId)).toEqual({ base: FIRST, head: SECOND, source: { ...source, found } });
    const claimed = await claimTurn(store.db, {
      ...claimOf(held.turnId, held.workerId),
      attemptId: held.attemptId,
    });
    expect(claimed).toMatchObject({ turn: { workspace: { kind: 'roots', source: { ...source, found } } } });
  });

  test('leaves the source of other workspaces alone', async () => {
    const held = await running(store);
    await recordFiles(store.db, held, { snapshot: FIRST });
    expect(await rowOf(held.sessionId)).toEqual({ base: FIRST, head: FIRST, source: null });
  });
});
