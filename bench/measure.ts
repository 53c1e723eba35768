/** What is measured, on one backend. All times in milliseconds. */
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { type BenchProcess, startProcess } from './process.ts';
import { quantile } from './statistics.ts';

export interface Sizes {
  /** Turns of the one session whose overhead is measured, and of each of ten. */
  readonly turns: number;
  /** Turns of each of the 64 sessions that are timed together. */
  readonly turnsTogether: number;
  readonly submits: number;
  readonly inFlight: number;
}

export interface Row {
  readonly what: string;
  readonly backend: string;
  readonly unit: string;
  readonly n: number;
  readonly p50: number;
  readonly p99?: number;
}

interface Samples {
  readonly overheads: readonly number[];
  readonly arrivals: readonly { readonly session: string; readonly at: number }[];
  readonly hanging: number;
}

interface Under {
  readonly backend: string;
  readonly capybara: BenchProcess<{ readonly url: string; readonly apiKey: string }>;
  readonly model: { readonly baseUrl: string };
  readonly sizes: Sizes;
}

const CONCURRENCY = 64;
const WARM_UP_TURNS = 60;
const WARM_UP_SESSIONS = 16;

export async function measureBackend(
  backend: string,
  env: Readonly<Record<string, string>>,
  sizes: Sizes,
): Promise<Row[]> {
  const model = await startProcess<{ baseUrl: string }>('./model.ts', {});
  const capybara = await startProcess<{ url: string; apiKey: string }>('./capybara.ts', {
    ...env,
    CAPYBARA_MODEL_ENDPOINT: model.ready.baseUrl,
    CAPYBARA_MODEL: 'bench',
    CAPYBARA_CONCURRENCY: '256',
  });
  const under: Under = { backend, capybara, model: model.ready, sizes };
  try {
    // A server runs for weeks: what the first turns pay for compilation is not what a turn costs.
    await runSessions(under, WARM_UP_SESSIONS, WARM_UP_TURNS);
    return [
      await overhead(under, 1),
      await overhead(under, 10),
      ...(await throughput(under)),
      await submitToRequest(under),
      await memory(under),
    ];
  } finally {
    await capybara.stop();
    await model.stop();
  }
}

async function overhead(under: Under, sessions: number): Promise<Row> {
  const { overheads } = await runSessions(under, sessions, under.sizes.turns);
  return spread(`turn overhead, ${sessions} session${sessions === 1 ? '' : 's'}`, under, overheads);
}

async function throughput(under: Under): Promise<Row[]> {
  const { cpuMs: before } = await under.capybara.ask<{ cpuMs: number }>();
  const began = performance.now();
  const { overheads } = await runSessions(under, CONCURRENCY, under.sizes.turnsTogether);
  const seconds = (performance.now() - began) / 1000;
  const { cpuMs } = await under.capybara.ask<{ cpuMs: number }>();
  const n = overheads.length + CONCURRENCY;
  const shared = { backend: under.backend, n };
  return [
    { ...shared, what: `turns per second, ${CONCURRENCY} sessions`, unit: '1/s', p50: n / seconds },
    {
      ...shared,
      what: "processor time of a turn, Postgres' and the queue's left out",
      unit: 'ms',
      p50: (cpuMs - before) / n,
    },
  ];
}

async function submitToRequest(under: Under): Promise<Row> {
  const times: number[] = [];
  for (let index = 0; index < under.sizes.submits; index++) {
    const sent = performance.timeOrigin + performance.now();
    const task = await submit(under, 'turns=0');
    await ended(under, [task]);
    const { arrivals } = await samples(under);
    times.push(...arrivals.map(({ at }) => at - sent));
  }
  return spread('submit to first model request', under, times);
}

async function memory(under: Under): Promise<Row> {
  const { inFlight } = under.sizes;
  const before = await under.capybara.ask<{ rss: number }>();
  const tasks = await Promise.all(Array.from({ length: inFlight }, () => submit(under, 'hang')));
  while ((await samples(under)).hanging < inFlight) await delay(100);
  const { rss } = await under.capybara.ask<{ rss: number }>();
  await Promise.all(tasks.map((id) => api(under, `/v1/tasks/${id}/cancel`, {})));
  await ended(under, tasks);
  const mebibytes = 1024 * 1024;
  const what = `resident memory, ${inFlight} sessions in flight (idle before: ${Math.round(before.rss / mebibytes)} MiB)`;
  return { what, backend: under.backend, unit: 'MiB', n: 1, p50: rss / mebibytes };
}

function spread(what: string, { backend }: Under, times: readonly number[]): Row {
  return {
    what,
    backend,
    unit: 'ms',
    n: times.length,
    p50: quantile(times, 0.5),
    p99: quantile(times, 0.99),
  };
}

async function runSessions(under: Under, sessions: number, turns: number): Promise<Samples> {
  await samples(under);
  const tasks = await Promise.all(Array.from({ length: sessions }, () => submit(under, `turns=${turns}`)));
  await ended(under, tasks);
  return samples(under);
}

async function submit(under: Under, prompt: string): Promise<string> {
  const limits = { turns: 100_000, treeTurns: 100_000 };
  const task = await api<{ id: string }>(under, '/v1/tasks', {
    prompt,
    workspace: { kind: 'empty' },
    limits,
  });
  return task.id;
}

async function ended(under: Under, tasks: readonly string[]): Promise<void> {
  for (const id of tasks) {
    for (;;) {
      const { status } = await api<{ status: string }>(under, `/v1/tasks/${id}`);
      if (status === 'succeeded' || status === 'cancelled') break;
      if (status === 'failed') throw new Error(`task ${id} of the bench failed`);
      await delay(100);
    }
  }
}

async function samples({ model }: Under): Promise<Samples> {
  return (await fetch(new URL('/samples', model.baseUrl))).json() as Promise<Samples>;
}

async function api<Answer>(under: Under, path: string, body?: unknown): Promise<Answer> {
  const { url, apiKey } = under.capybara.ready;
  const response = await fetch(`${url}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as Answer;
}
