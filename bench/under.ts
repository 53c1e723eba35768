/** What is under measurement, and how the bench speaks to it. */
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { type BenchProcess, startProcess } from './process.ts';
import { quantile } from './statistics.ts';

export interface Row {
  readonly what: string;
  readonly backend: string;
  readonly unit: string;
  readonly n: number;
  readonly p50: number;
  readonly p99?: number;
}

export interface Samples {
  /** Between the end of one answer and the next request of the same session. */
  readonly overheads: readonly number[];
  readonly arrivals: readonly { readonly session: string; readonly at: number }[];
  /** Of each that follows a turn that delegated: when it arrived, and when the last answer of what it waited for had been sent. */
  readonly rounds: readonly {
    readonly session: string;
    readonly turn: number;
    readonly at: number;
    readonly since: number;
  }[];
  readonly hanging: number;
}

export interface Under {
  readonly backend: string;
  readonly capybara: BenchProcess<{ readonly url: string; readonly apiKey: string }>;
  readonly model: { readonly baseUrl: string };
  /** Settings of one more process beside it. */
  readonly env: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

export async function startUnder(
  backend: string,
  env: Readonly<Record<string, string>>,
  ...args: readonly string[]
): Promise<Under> {
  const model = await startProcess<{ baseUrl: string }>('./model.ts', {});
  const settings = {
    ...env,
    BENCH_API_KEY: `capy_${randomBytes(32).toString('base64url')}`,
    CAPYBARA_MODEL_ENDPOINT: model.ready.baseUrl,
    CAPYBARA_MODEL: 'bench',
    CAPYBARA_CONCURRENCY: '256',
  };
  const capybara = await startProcess<{ url: string; apiKey: string }>('./capybara.ts', settings, ...args);
  return {
    ...{ backend, capybara, env: settings, model: model.ready },
    stop: async () => {
      await capybara.stop();
      await model.stop();
    },
  };
}

export function spread(what: string, { backend }: Pick<Under, 'backend'>, times: readonly number[]): Row {
  return {
    ...{ what, backend, unit: 'ms', n: times.length },
    p50: quantile(times, 0.5),
    p99: quantile(times, 0.99),
  };
}

/** `what`: more that the prompts say to the bench's model. */
export async function runSessions(
  under: Under,
  sessions: number,
  { turns, what = '' }: { readonly turns: number; readonly what?: string },
): Promise<Samples> {
  await samples(under);
  const prompt = `turns=${turns}${what}`;
  const tasks = await Promise.all(Array.from({ length: sessions }, () => submit(under, prompt)));
  await ended(under, tasks);
  return samples(under);
}

const WARM_UP_TURNS = 60;
const WARM_UP_SESSIONS = 16;

/** A server runs for weeks: what the first turns pay for compilation is not what a turn costs. */
export async function warmUp(under: Under): Promise<void> {
  await runSessions(under, WARM_UP_SESSIONS, { turns: WARM_UP_TURNS });
}

/** A task's id. */
export async function submit(under: Under, prompt: string): Promise<string> {
  return (await submitTask(under, prompt)).id;
}

/** In a new session, or the next task of one. */
export function submitTask(
  under: Under,
  prompt: string,
  sessionId?: string,
): Promise<{ id: string; sessionId: string }> {
  const limits = { turns: 100_000, treeTurns: 100_000 };
  const where = sessionId === undefined ? { workspace: { kind: 'empty' } } : { sessionId };
  return api(under, '/v1/tasks', { prompt, ...where, limits });
}

export async function ended(under: Under, tasks: readonly string[]): Promise<void> {
  for (const id of tasks) {
    for (;;) {
      const { status } = await api<{ status: string }>(under, `/v1/tasks/${id}`);
      if (status === 'succeeded' || status === 'cancelled') break;
      if (status === 'failed') throw new Error(`task ${id} of the bench failed`);
      await delay(100);
    }
  }
}

export async function samples({ model }: Under): Promise<Samples> {
  return (await fetch(new URL('/samples', model.baseUrl))).json() as Promise<Samples>;
}

export async function api<Answer>(under: Under, path: string, body?: unknown): Promise<Answer> {
  const { url, apiKey } = under.capybara.ready;
  const response = await fetch(`${url}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as Answer;
}
