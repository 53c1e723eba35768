/** What Capybara adds to a provider's own client, to a long log, and to a worker with many answers under way. */
import { setTimeout as delay } from 'node:timers/promises';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { contextOf } from '../src/core/compaction.ts';
import { messagesIn } from '../src/core/context.ts';
import { type ContextLimits, countedSize } from '../src/core/context-size.ts';
import type { Entry } from '../src/core/entry.ts';
import { DEFAULT_CONTEXT } from '../src/core/profile.ts';
import { createModels } from '../src/model/providers.ts';
import { tokenCounter } from '../src/model/tokens.ts';
import { startProcess } from './process.ts';
import { quantile } from './statistics.ts';
import { ended, type Row, submitTask, type Under } from './under.ts';

const PIECES = 50;
const PACE_MS = 2;
const WARM_UP = 10;
const SYSTEM = 'You are measured.';

export interface Sizes {
  /** Answers per wire and client. */
  readonly answers: number;
  /** Entries of the log. */
  readonly entries: number;
  /** Answers under way at once. */
  readonly streams: number;
}

/** Reads an answer and says of each piece of its text that it is there. */
type Read = (hear: (text: string) => void) => Promise<void>;

export async function measureModels({ answers, entries }: Sizes): Promise<Row[]> {
  const server = await startProcess<{ url: string }>('./wires.ts', {
    WIRES_PIECES: String(PIECES),
    WIRES_PACE_MS: String(PACE_MS),
  });
  try {
    const rows: Row[] = [];
    for (const [name, clients] of Object.entries(clientsOf(server.ready.url)))
      rows.push(...(await compare(name, clients, answers)));
    return [...rows, ...(await measureContext(entries))];
  } finally {
    await server.stop();
  }
}

function clientsOf(url: string): Readonly<Record<string, Readonly<Record<'plain' | 'Capybara', Read>>>> {
  const base = { apiKey: 'key', maxRetries: 0 };
  const openai = new OpenAI({ ...base, baseURL: `${url}/v1` });
  const anthropic = new Anthropic({ ...base, baseURL: url });
  const models = createModels({
    chat: { kind: 'chat', baseUrl: `${url}/v1`, apiKey: 'key' },
    responses: { kind: 'openai', baseUrl: `${url}/v1`, apiKey: 'key' },
    messages: { kind: 'anthropic', baseUrl: url, apiKey: 'key' },
  });
  const messages = [{ role: 'user' as const, content: 'Go.' }];
  const ours =
    (provider: string): Read =>
    async (hear) => {
      const trace = { sessionId: 'ses_1', taskId: 'task_1', turn: 1 };
      const request = {
        system: SYSTEM,
        messages: [{ role: 'user', text: 'Go.' } as const],
        tools: [],
        trace,
      };
      for await (const event of models
        .resolve(`${provider}/bench`)
        .stream(request, new AbortController().signal)) {
        if (event.type === 'text') hear(event.delta);
        if (event.type === 'failed') throw new Error(event.failure.message);
      }
    };
  return {
    'Chat Completions': {
      plain: async (hear) => {
        const all = [{ role: 'system' as const, content: SYSTEM }, ...messages];
        for await (const { choices } of await openai.chat.completions.create({
          model: 'bench',
          messages: all,
          stream: true,
        }))
          if (choices[0]?.delta.content) hear(choices[0].delta.content);
      },
      Capybara: ours('chat'),
    },
    Responses: {
      plain: async (hear) => {
        for await (const event of await openai.responses.create({
          model: 'bench',
          instructions: SYSTEM,
          input: 'Go.',
          stream: true,
        }))
          if (event.type === 'response.output_text.delta') hear(event.delta);
      },
      Capybara: ours('responses'),
    },
    Messages: {
      plain: async (hear) => {
        const asked = { model: 'bench', max_tokens: 4_096, system: SYSTEM, messages, stream: true as const };
        for await (const event of await anthropic.messages.create(asked))
          if (event.type === 'content_block_delta' && event.delta.type === 'text_delta')
            hear(event.delta.text);
      },
      Capybara: ours('messages'),
    },
  };
}

interface Heard {
  /** From the question to the first piece, without the time until that was sent. */
  readonly first: number[];
  /** From sending a piece to hearing it, for all but the first. */
  readonly later: number[];
}

/** The two clients by turns, so that whatever else happens on the machine happens to both. */
async function compare(
  name: string,
  clients: Readonly<Record<'plain' | 'Capybara', Read>>,
  answers: number,
): Promise<Row[]> {
  const heard: Record<'plain' | 'Capybara', Heard> = {
    plain: { first: [], later: [] },
    Capybara: { first: [], later: [] },
  };
  for (let index = -WARM_UP; index < answers; index += 1) {
    for (const who of ['plain', 'Capybara'] as const) {
      const one = await hearOne(clients[who]);
      if (index < 0) continue;
      heard[who].first.push(...one.first);
      heard[who].later.push(...one.later);
    }
  }
  const row = (what: string, times: readonly number[]): Row => ({
    ...{ what: `${name}, ${what}`, backend: '', unit: 'ms', n: times.length },
    ...{ p50: quantile(times, 0.5), p99: quantile(times, 0.99) },
  });
  return (['plain', 'Capybara'] as const).flatMap((who) => {
    const client = who === 'plain' ? 'the provider’s own client' : who;
    return [
      row(`first token, ${client}`, heard[who].first),
      row(`each later piece, ${client}`, heard[who].later),
    ];
  });
}

async function hearOne(read: Read): Promise<Heard> {
  const first: number[] = [];
  const later: number[] = [];
  const asked = performance.now();
  await read((text) => {
    const at = performance.timeOrigin + performance.now();
    for (const [, sent] of text.matchAll(/t=([\d.]+);/g)) {
      if (first.length === 0) first.push(performance.now() - asked - PACE_MS);
      else later.push(at - Number(sent));
    }
  });
  if (first.length + later.length !== PIECES) throw new Error(`${later.length + 1} pieces, not ${PIECES}`);
  return { first, later };
}

const LINE = 'export function total(items: readonly Item[]): number { return items.reduce(sum, 0); }\n';

/** The next request of a session that goes on: what it was built from is at hand, and one answer and its result are new. */
async function measureContext(size: number): Promise<Row[]> {
  const count = await tokenCounter();
  const limits: ContextLimits = { policy: DEFAULT_CONTEXT, tokens: 10 ** 9, overhead: 2_000, count };
  const log: Entry[] = [{ kind: 'user', position: 1, parts: [{ type: 'text', text: 'Mend the total.' }] }];
  const add = () => {
    const position = log.length + 1;
    const callId = `call_${position}`;
    const parts = [
      { type: 'text', text: `Look at ${position}.` },
      { type: 'tool', callId, name: 'read_file', arguments: '{"path":"src/total.ts"}' },
    ] as const;
    log.push({ kind: 'assistant', position, parts: [...parts], stopReason: 'tool_calls' });
    const text = LINE.repeat(10);
    log.push({
      kind: 'tool_result',
      position: position + 1,
      callId,
      status: 'succeeded',
      parts: [{ type: 'text', text }],
    });
  };
  while (log.length < size) add();
  const cold = performance.now();
  build(log, limits);
  const first = performance.now() - cold;
  const times: number[] = [];
  for (let index = 0; index < 200; index += 1) {
    add();
    const from = performance.now();
    build([...log], limits);
    times.push(performance.now() - from);
  }
  const row = { backend: '', unit: 'ms', n: times.length };
  return [
    {
      ...row,
      what: `context of ${size} entries, warm`,
      p50: quantile(times, 0.5),
      p99: quantile(times, 0.99),
    },
    { ...row, what: `context of ${size} entries, when it is first built`, n: 1, p50: first },
  ];
}

function build(log: readonly Entry[], limits: ContextLimits): void {
  const view = contextOf(log, limits);
  if (countedSize(view, limits.count) === 0 || messagesIn(view).length === 0)
    throw new Error('an empty context');
}

const STREAM_SECONDS = 10;

/** Many answers at once on one worker, each of which writes twenty times a second. */
export async function measureStreams(under: Under, streams: number): Promise<Row[]> {
  const before = await used(under);
  const prompt = `turns=0 stream=${STREAM_SECONDS}`;
  const tasks = await Promise.all(Array.from({ length: streams }, () => submitTask(under, prompt)));
  await delay(1_000);
  const begun = await used(under);
  await delay((STREAM_SECONDS - 3) * 1_000);
  const after = await used(under);
  await ended(
    under,
    tasks.map(({ id }) => id),
  );
  const row = { backend: under.backend, n: streams };
  const mib = (bytes: number) => bytes / (1024 * 1024);
  return [
    {
      ...row,
      what: `memory, ${streams} answers under way (before: ${mib(before.rss).toFixed(0)} MiB)`,
      unit: 'MiB',
      p50: mib(after.rss),
    },
    {
      ...row,
      what: `processor, ${streams} answers under way, ${streams * 20} pieces/s`,
      ...{ unit: '% of a core', p50: (after.cpuMs - begun.cpuMs) / ((after.at - begun.at) / 100) },
    },
  ];
}

async function used(under: Under): Promise<{ rss: number; cpuMs: number; at: number }> {
  const { rss, cpuMs } = await under.capybara.ask<{ rss: number; cpuMs: number }>();
  return { rss, cpuMs, at: performance.now() };
}
