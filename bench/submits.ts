/** What `POST /v1/tasks` takes under load: each answer says that its task is committed. No worker runs beside it. */
import { randomUUID } from 'node:crypto';
import autocannon from 'autocannon';
import type { Row, Under } from './under.ts';

const CONNECTIONS = [1, 10, 64];

export async function measureSubmits(under: Under, seconds: number): Promise<Row[]> {
  await load(under, 10, Math.min(seconds, 3));
  const rows: Row[] = [];
  for (const connections of CONNECTIONS) rows.push(...(await measured(under, connections, seconds)));
  return rows;
}

async function measured(under: Under, connections: number, seconds: number): Promise<Row[]> {
  const { cpuMs: before } = await under.capybara.ask<{ cpuMs: number }>();
  const { latency, requests } = await load(under, connections, seconds);
  const { cpuMs } = await under.capybara.ask<{ cpuMs: number }>();
  const n = requests.total;
  const shared = { backend: under.backend, n };
  const what = `submit, ${connections} connection${connections === 1 ? '' : 's'}`;
  return [
    { ...shared, what, unit: 'ms', p50: latency.p50, p99: latency.p99 },
    { ...shared, what: `${what}: tasks per second`, unit: '1/s', p50: requests.average },
    { ...shared, what: `${what}: processor time of the API for each`, unit: 'ms', p50: (cpuMs - before) / n },
  ];
}

async function load(under: Under, connections: number, seconds: number): Promise<autocannon.Result> {
  const { url, apiKey } = under.capybara.ready;
  const result = await autocannon({
    url: `${url}/v1/tasks`,
    connections,
    duration: seconds,
    method: 'POST',
    headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'turns=0', workspace: { kind: 'empty' } }),
    requests: [
      {
        setupRequest: (request) => ({
          ...request,
          headers: { ...request.headers, 'idempotency-key': randomUUID() },
        }),
      },
    ],
  });
  const refused = result.errors + result.timeouts + result.non2xx;
  if (refused > 0)
    throw new Error(`${refused} of ${result.requests.total} submits were not answered with 201`);
  return result;
}
