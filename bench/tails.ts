/**
 * What readers on one API process cost: how late an event is after its row was written, how late a word of an answer is, and
 * memory, at first and when they have stayed.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { startProcess } from './process.ts';
import { ended, type Row, submitTask, type Under } from './under.ts';

/** Each answer writes twenty times a second: a hundred deltas a second together. */
const SESSIONS = 5;
const TAILS = [1, 100];

export interface TailSizes {
  readonly tails: number;
  /** How long each number of tails hears of events, and of words. */
  readonly seconds: number;
  /** How long many stay. */
  readonly staySeconds: number;
}

interface Heard {
  readonly n: number;
  readonly p50: number;
  readonly p99: number;
}
interface Clients {
  readonly words: Heard;
  readonly events: Heard;
}

export async function measureTails(under: Under, { tails, seconds, staySeconds }: TailSizes): Promise<Row[]> {
  const { rss: before } = await under.capybara.ask<{ rss: number }>();
  const rows: Row[] = [];
  for (const count of [...TAILS, tails]) rows.push(...(await hear(under, count, seconds)));
  return [...rows, ...(await stay(under, { tails, seconds: staySeconds, before }))];
}

async function hear(under: Under, count: number, seconds: number): Promise<Row[]> {
  const sessions = await begin(under, `turns=0 stream=${seconds}`);
  const clients = await tailClients(under, count, sessions);
  await clients.ask();
  await ended(
    under,
    sessions.map(({ id }) => id),
  );
  const { words } = await clients.ask<Clients>();
  await happen(under, sessions, seconds);
  const { events } = await clients.ask<Clients>();
  await clients.stop();
  const shared = { backend: under.backend, unit: 'ms' };
  const of = `${count} tail${count === 1 ? '' : 's'}`;
  return [
    { ...shared, what: `from the model's word to the reader, ${of}, 100 deltas/s`, ...words },
    { ...shared, what: `from an event's row (just before its commit) to the reader, ${of}`, ...events },
  ];
}

/** Tasks of two turns, one after the other in each session, twice a second. */
async function happen(
  under: Under,
  sessions: readonly { sessionId: string }[],
  seconds: number,
): Promise<void> {
  const tasks: string[] = [];
  for (let round = 0; round < seconds * 2; round++) {
    for (const { sessionId } of sessions) tasks.push((await submitTask(under, 'turns=1', sessionId)).id);
    await delay(500);
  }
  await ended(under, tasks);
}

/** What the process holds while so many stay, and something happens every second. */
async function stay(
  under: Under,
  { tails, seconds, before }: { tails: number; seconds: number; before: number },
): Promise<Row[]> {
  const sessions = await begin(under, 'turns=0');
  const clients = await tailClients(under, tails, sessions);
  const { rss: first } = await under.capybara.ask<{ rss: number }>();
  for (let second = 0; second < seconds; second++) {
    const { sessionId } = sessions[second % sessions.length] ?? { sessionId: '' };
    await Promise.all([submitTask(under, 'turns=1', sessionId), delay(1_000)]);
  }
  const { rss: last } = await under.capybara.ask<{ rss: number }>();
  await clients.stop();
  const compared = `before ${mib(before)}, at first ${mib(first)} MiB`;
  const what = `resident memory of API and worker with ${tails} tails after ${seconds} s (${compared})`;
  return [{ what, backend: under.backend, unit: 'MiB', n: 1, p50: Number(mib(last)) }];
}

const mib = (bytes: number) => (bytes / (1024 * 1024)).toFixed(0);

function begin(under: Under, prompt: string) {
  return Promise.all(Array.from({ length: SESSIONS }, () => submitTask(under, prompt)));
}

function tailClients(under: Under, count: number, sessions: readonly { sessionId: string }[]) {
  return startProcess<{ open: number }>('./tail-clients.ts', {
    BENCH_URL: under.capybara.ready.url,
    BENCH_API_KEY: under.capybara.ready.apiKey,
    BENCH_TAILS: String(count),
    BENCH_SESSIONS: sessions.map(({ sessionId }) => sessionId).join(','),
  });
}
