/** A team's MCP servers, as Postgres has them: whole and sealed, so many of a team, and no other team's. */
import { afterEach, expect, test } from 'vitest';
import { newId } from '../../src/clock.ts';
import {
  MAX_MCP_SERVERS,
  type NewMcpServer,
  putMcpServer,
  readMcpServers,
  removeMcpServer,
} from '../../src/store/mcp-servers.ts';
import { Sealing } from '../../src/store/sealing.ts';
import { ENCRYPTION_KEY, sealing } from '../support/sealing.ts';
import { addTeam, changesBetween, snapshotRows, useStore } from '../support/store.ts';

const store = useStore();
const me = () => ({ teamId: store.teamId, userId: store.userId });
const put = (name: string, change: Partial<NewMcpServer> = {}) =>
  putMcpServer(
    store.db,
    { ...me(), id: newId(), name, settings: { url: `https://${name}/` }, ...change },
    sealing,
  );
const all = async (teamId = store.teamId, by = sealing) =>
  (await readMcpServers(store.db, teamId, by)).map(({ id: _, ...each }) => each);

afterEach(() => store.db.sql`TRUNCATE mcp_server, mcp_sign_in`);

test('is kept sealed, and opens for its team alone', async () => {
  const other = await addTeam(store.db);
  const settings = { command: 'x', env: { KEY: 'planted' } };
  await put('a', { settings });
  await put('a', { ...other, settings: { command: 'theirs' } });
  expect(await all()).toEqual([{ name: 'a', settings }]);
  expect(await all(other.teamId)).toEqual([{ name: 'a', settings: { command: 'theirs' } }]);
  const rows = await store.db.sql<{ settings: Buffer }>`SELECT settings FROM mcp_server`;
  for (const row of rows) expect(row.settings.toString('latin1')).not.toContain('planted');
});

test('is replaced by one of the same name, by whoever writes it; a repeat changes nothing more', async () => {
  await put('a');
  const before = await store.db.sql<{ created_at: Date }>`SELECT created_at FROM mcp_server`;
  const again = { ...me(), id: newId(), name: 'a', settings: { url: 'https://new/' } };
  for (const _ of [1, 2]) expect(await putMcpServer(store.db, again, sealing)).toEqual({ outcome: 'put' });
  expect(await all()).toEqual([{ name: 'a', settings: again.settings }]);
  expect(await store.db.sql`SELECT id, created_at FROM mcp_server`).toEqual([{ id: again.id, ...before[0] }]);
});

test('goes with what the team has signed in with there, and nothing else does', async () => {
  const other = await addTeam(store.db);
  const signIn = (teamId: string, server: string) => store.db.sql`
    INSERT INTO mcp_sign_in (id, team_id, user_id, server, secret)
    VALUES (${newId()}, ${teamId}, ${store.userId}, ${server}, ${sealing.seal(Buffer.from('t'), { table: 'mcp_sign_in', id: newId() })})`;
  await Promise.all([put('a'), put('b'), put('a', other)]);
  for (const [team, name] of [
    [store.teamId, 'a'],
    [store.teamId, 'b'],
    [other.teamId, 'a'],
  ] as const)
    await signIn(team, name);
  const before = await snapshotRows(store.db);
  expect(await removeMcpServer(store.db, { teamId: store.teamId, name: 'a' })).toEqual({
    outcome: 'removed',
  });
  const changes = changesBetween(before, await snapshotRows(store.db));
  expect(Object.entries(changes).map(([table, rows]) => [table, rows.length])).toEqual([
    ['mcp_server', 1],
    ['mcp_sign_in', 1],
  ]);
  expect(await removeMcpServer(store.db, { teamId: store.teamId, name: 'a' })).toEqual({
    outcome: 'not_found',
  });
});

test(`there are at most ${MAX_MCP_SERVERS} of a team, also where two come at once`, async () => {
  for (let count = 1; count < MAX_MCP_SERVERS; count += 1) await put(`s${count}`);
  const outcomes = (await Promise.all([put('x'), put('y')])).map(({ outcome }) => outcome);
  expect(outcomes.toSorted()).toEqual(['put', 'too_many']);
  expect(await put('s1')).toEqual({ outcome: 'put' });
  expect(await put('x', await addTeam(store.db))).toEqual({ outcome: 'put' });
  expect(await all()).toHaveLength(MAX_MCP_SERVERS);
});

test('one that does not open says why, and keeps no other from opening', async () => {
  const others = new Sealing([Buffer.alloc(32, 8).toString('base64'), ENCRYPTION_KEY]);
  await put('a');
  await putMcpServer(store.db, { ...me(), id: newId(), name: 'b', settings: {} }, others);
  expect(await all()).toEqual([
    { name: 'a', settings: { url: 'https://a/' } },
    {
      name: 'b',
      unopened: expect.stringContaining('sealed with a key that is not in CAPYBARA_ENCRYPTION_KEY'),
    },
  ]);
});
