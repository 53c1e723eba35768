/** An API and a worker over one Postgres and one data directory: sessions that really run, by what a test scripts. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Session, Task } from '../../src/api/wire.ts';
import { silentLog } from '../../src/log.ts';
import { createModels } from '../../src/model/providers.ts';
import { createPostgresQueueBackend } from '../../src/queue/postgres.ts';
import { createUnconfinedSandbox } from '../../src/sandbox/unconfined.ts';
import { builtinTools } from '../../src/tools/builtin.ts';
import { createRegistry } from '../../src/tools/registry.ts';
import type { TargetPolicy } from '../../src/webhooks/target.ts';
import { startWorker } from '../../src/worker/worker.ts';
import {
  call,
  type ScriptedModel,
  type Step,
  say,
  startScriptedModel,
} from '../support/scripted-model/scripted-model.ts';
import { sealing } from '../support/sealing.ts';
import { startTestApi, type TestApi, uuid } from './api-harness.ts';

const PATIENCE_MS = 60_000;
const POLL_MS = 25;
/** Each task of a test runs whole: seconds on an idle machine, more on a busy one. */
export const SHOP_TIMEOUT_MS = 120_000;

export interface Shop extends TestApi {
  readonly model: ScriptedModel;
  /** What the model answers to a prompt, whoever gives it. */
  script(prompt: string, steps: readonly Step[]): void;
  /** Gives a task and waits for its end. */
  run(prompt: string, steps: readonly Step[], to?: Record<string, unknown>): Promise<Task>;
  taskIs(id: string, status: Task['status']): Promise<Task>;
  /** A file of the session's workspace as it is on the disk; undefined where there is none. */
  read(sessionId: string, path: string): Promise<string | undefined>;
  session(id: string): Promise<Session>;
  /** The messages of the session's last request to the model. */
  lastSeen(sessionId: string): string[];
}

/** `deliveries`: where webhooks may go. */
export async function openShop({ deliveries }: { deliveries?: TargetPolicy } = {}): Promise<Shop> {
  const scripts = new Map<string, readonly Step[]>();
  const model = await startScriptedModel({
    script: ({ messages }) => {
      const asked = messages.findLastIndex(({ role, text }) => role === 'user' && promptIn(text, scripts));
      const steps = scripts.get(promptIn(messages[asked]?.text ?? '', scripts) ?? '') ?? [];
      const answered = messages.slice(asked).filter(({ role }) => role === 'assistant').length;
      return steps[answered] ?? say('Nothing more.');
    },
  });
  const models = createModels({ env: { baseUrl: model.baseUrl } }, { model: 'env/scripted' });
  const api = await startTestApi(() => ({ models, ...(deliveries && { webhooks: deliveries }) }));
  const backend = createPostgresQueueBackend({ url: api.databaseUrl, log: silentLog });
  const sandbox = createUnconfinedSandbox({ environment: process.env, killGraceMs: 100 });
  const worker = await startWorker({
    ...{ db: api.db, directUrl: api.databaseUrl, backend, bus: api.bus, models, sandbox, log: silentLog },
    ...{ tools: createRegistry(builtinTools()), dataDir: api.dataDir, version: 'test', concurrency: 4 },
    repositories: { policy: { own: true, online: true, allowed: [] } },
    ...(deliveries && { deliveries: { policy: deliveries, sealing } }),
  });
  const script: Shop['script'] = (prompt, steps) => void scripts.set(prompt, steps);
  const taskIs = async (id: string, status: Task['status']): Promise<Task> => {
    const giveUpAt = performance.now() + PATIENCE_MS;
    for (;;) {
      const { json } = await api.ask('GET', `/v1/tasks/${id}`);
      if (json.status === status) return json;
      if (performance.now() > giveUpAt) throw new Error(`the task is not ${status}: ${JSON.stringify(json)}`);
      await delay(POLL_MS);
    }
  };
  return {
    ...api,
    model,
    script,
    taskIs,
    run: async (prompt, steps, to = { workspace: { kind: 'empty' } }) => {
      script(prompt, steps);
      const { status, json, text } = await api.ask('POST', '/v1/tasks', {
        body: { prompt, mode: 'auto', ...to },
      });
      if (status !== 201) throw new Error(text);
      return taskIs(json.id, 'succeeded');
    },
    read: async (sessionId, path) => {
      const [row] = await api.db.sql<{ id: string; path: string | null }>`
        SELECT w.id, w.path FROM workspace w JOIN session s ON s.workspace_id = w.id WHERE s.id = ${uuid('session', sessionId)}`;
      try {
        const root = row?.path ?? join(api.dataDir, 'workspaces', row?.id ?? '', 'files');
        return readFileSync(join(root, path), 'utf8');
      } catch {
        return undefined;
      }
    },
    session: async (id) => (await api.ask('GET', `/v1/sessions/${id}`)).json,
    lastSeen: (sessionId) => {
      const request = model.requestsOf(uuid('session', sessionId)).at(-1);
      return request?.messages.map(({ role, text }) => `${role}: ${text}`) ?? [];
    },
    close: async () => {
      await worker.stop();
      await sandbox.close();
      await backend.close();
      await model.close();
      await api.close();
    },
  };
}

/** The last of the prompts that stands in a message, in a line of its own: notices may stand before and behind it. */
function promptIn(text: string, scripts: ReadonlyMap<string, unknown>): string | undefined {
  return text.split('\n').findLast((line) => scripts.has(line));
}

export const write = (path: string, content: string) => call('write_file', { path, content });
