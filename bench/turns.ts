/** What a turn costs beside the model. All times in milliseconds. */
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { api, ended, type Row, runSessions, samples, spread, submit, type Under, warmUp } from './under.ts';

export interface Sizes {
  /** Turns of the one session whose overhead is measured, and of each of ten. */
  readonly turns: number;
  /** Turns of each of the 64 sessions that are timed together. */
  readonly turnsTogether: number;
  readonly submits: number;
  /** Turns of the session each of whose turns runs a command that changes a file. */
  readonly commands: number;
  readonly inFlight: number;
}

const CONCURRENCY = 64;

export async function measureTurns(under: Under, sizes: Sizes): Promise<Row[]> {
  const { rss: idle } = await under.capybara.ask<{ rss: number }>();
  await warmUp(under);
  return [
    await overhead(under, 1, sizes.turns),
    await overhead(under, 10, sizes.turns),
    ...(await throughput(under, sizes.turnsTogether)),
    await changing(under, sizes.commands),
    await submitToRequest(under, sizes.submits),
    await memory(under, sizes.inFlight, idle),
  ];
}

async function overhead(under: Under, sessions: number, turns: number): Promise<Row> {
  const { overheads } = await runSessions(under, sessions, { turns });
  return spread(`turn overhead, ${sessions} session${sessions === 1 ? '' : 's'}`, under, overheads);
}

/** With the command's own time, and the snapshot of what it changed. */
async function changing(under: Under, turns: number): Promise<Row> {
  const { overheads } = await runSessions(under, 1, { turns, what: ' bash' });
  return spread(
    'turn overhead, 1 session, each turn a confined command that changes a file',
    under,
    overheads,
  );
}

async function throughput(under: Under, turns: number): Promise<Row[]> {
  const { cpuMs: before } = await under.capybara.ask<{ cpuMs: number }>();
  const began = performance.now();
  const { overheads } = await runSessions(under, CONCURRENCY, { turns });
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

async function submitToRequest(under: Under, submits: number): Promise<Row> {
  const times: number[] = [];
  for (let index = 0; index < submits; index++) {
    const sent = performance.timeOrigin + performance.now();
    const task = await submit(under, 'turns=0');
    await ended(under, [task]);
    const { arrivals } = await samples(under);
    times.push(...arrivals.map(({ at }) => at - sent));
  }
  return spread('submit to first model request', under, times);
}

/** `idle`: resident bytes of the fresh process, for comparison. */
async function memory(under: Under, inFlight: number, idle: number): Promise<Row> {
  const before = await under.capybara.ask<{ rss: number }>();
  const tasks = await Promise.all(Array.from({ length: inFlight }, () => submit(under, 'turns=0 hang')));
  while ((await samples(under)).hanging < inFlight) await delay(100);
  const { rss } = await under.capybara.ask<{ rss: number }>();
  await Promise.all(tasks.map((id) => api(under, `/v1/tasks/${id}/cancel`, {})));
  await ended(under, tasks);
  const mib = (bytes: number) => bytes / (1024 * 1024);
  const compared = `fresh ${mib(idle).toFixed(0)}, before ${mib(before.rss).toFixed(0)} MiB`;
  const what = `resident memory, ${inFlight} sessions in flight (${compared})`;
  return { what, backend: under.backend, unit: 'MiB', n: 1, p50: mib(rss) };
}
