/** What a thousand readers on one API process cost: how late a word of an answer is, and memory. */
import { startProcess } from './process.ts';
import { ended, type Row, submitTask, type Under } from './under.ts';

/** Each answer writes twenty times a second: a hundred deltas a second together. */
const SESSIONS = 5;

interface Heard {
  readonly n: number;
  readonly p50: number;
  readonly p99: number;
}

export async function measureTails(under: Under, tails: number, seconds: number): Promise<Row[]> {
  const { rss: before } = await under.capybara.ask<{ rss: number }>();
  const few = await hear(under, SESSIONS, seconds);
  const many = await hear(under, tails, seconds);
  const shared = { backend: under.backend, unit: 'ms' };
  const words = (count: number) => `from the model's word to the reader, ${count} tails, 100 deltas/s`;
  return [
    { ...shared, what: words(SESSIONS), ...few.heard },
    { ...shared, what: words(tails), ...many.heard },
    {
      what: `resident memory with ${tails} tails (before: ${mib(before).toFixed(0)} MiB)`,
      backend: under.backend,
      unit: 'MiB',
      n: 1,
      p50: mib(many.rss),
    },
  ];
}

const mib = (bytes: number) => bytes / (1024 * 1024);

async function hear(under: Under, tails: number, seconds: number): Promise<{ heard: Heard; rss: number }> {
  const prompt = `turns=0 stream=${seconds}`;
  const tasks = await Promise.all(Array.from({ length: SESSIONS }, () => submitTask(under, prompt)));
  const clients = await startProcess<{ open: number }>('./tail-clients.ts', {
    BENCH_URL: under.capybara.ready.url,
    BENCH_API_KEY: under.capybara.ready.apiKey,
    BENCH_TAILS: String(tails),
    BENCH_SESSIONS: tasks.map((task) => task.sessionId).join(','),
  });
  await clients.ask();
  await new Promise((resolve) => setTimeout(resolve, (seconds * 1000) / 2));
  const { rss } = await under.capybara.ask<{ rss: number }>();
  await ended(
    under,
    tasks.map((task) => task.id),
  );
  const heard = await clients.ask<Heard>();
  await clients.stop();
  return { heard, rss };
}
