import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TailHub } from '../../src/api/tails.ts';
import { SseParser } from '../../src/client/sse-parser.ts';
import { silentLog } from '../../src/log.ts';
import type { Database } from '../../src/store/database.ts';
import { startTestApi, type TestApi, uuid } from './api-harness.ts';

let it: TestApi;
beforeAll(async () => {
  it = await startTestApi();
});
afterAll(() => it.close());

const READERS = 100;
const EVENTS = 20;

/** The database, and how often a tree's events were read from it. */
function counting(db: Database): { db: Database; reads: () => number } {
  let reads = 0;
  const counted: Database = {
    ...db,
    sql: (strings, ...values) => {
      if (strings.join('').includes('FROM event')) reads += 1;
      return db.sql(strings, ...values);
    },
  };
  return { db: counted, reads: () => reads };
}

test('a hundred readers of one tree share what is read for them', async () => {
  const rootId = uuid('session', (await it.submit()).sessionId);
  const { db, reads } = counting(it.db);
  const hub = new TailHub({ db, bus: it.bus, log: silentLog });
  const [row] = await it.db.sql<{ keyId: string }>`SELECT id AS "keyId" FROM api_key LIMIT 1`;
  const request = { rootId, after: 2, keyId: row?.keyId ?? '' };
  const server = createServer((_, response) => void hub.open(request, response)).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const stop = new AbortController();
  const seen = Array.from({ length: READERS }, (): number[] => []);
  const ended = seen.map(async (seqs) => {
    const response = await fetch(url, { signal: stop.signal });
    const parser = new SseParser();
    for await (const chunk of response.body ?? [])
      for (const { id } of parser.push(new TextDecoder().decode(chunk))) seqs.push(Number(id));
  });
  // One event that all have seen: from here on they are up to date.
  await append(1, rootId);
  await expect.poll(() => seen.every((seqs) => seqs.length === 1), { timeout: 10_000 }).toBe(true);
  const before = reads();
  await append(EVENTS, rootId);
  const all = Array.from({ length: EVENTS + 1 }, (_, index) => index + 3);
  await expect.poll(() => seen.every((seqs) => seqs.length === all.length), { timeout: 10_000 }).toBe(true);
  for (const seqs of seen) expect(seqs).toEqual(all);
  expect(reads() - before).toBeLessThan(READERS);
  stop.abort();
  await Promise.allSettled(ended);
  await hub.close();
  await new Promise((resolve) => server.close(resolve));
});

async function append(count: number, rootId: string): Promise<void> {
  const body = { type: 'agent.state_changed', session: rootId, data: { state: 'thinking' } };
  for (let written = 0; written < count; written += 1) {
    const seq = Number(await it.db.transition<string>('append_events', rootId, [body]));
    it.bus.publish({ type: 'events', rootId, seq });
  }
}
