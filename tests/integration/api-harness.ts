/** A listening API over a Postgres of its own, and a worker's moves by hand: what happens is what a test makes happen. */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAgents } from '../../src/agents/agents.ts';
import { type Api, type ApiDeps, createApi } from '../../src/api/app.ts';
import { listen } from '../../src/api/server.ts';
import { Task } from '../../src/api/wire.ts';
import type { Bus } from '../../src/bus/bus.ts';
import { createPostgresBus } from '../../src/bus/postgres.ts';
import { newId, systemClock } from '../../src/clock.ts';
import { fromPublicId, type IdKind } from '../../src/core/id.ts';
import { SCOPES, type Scope } from '../../src/core/scope.ts';
import { silentLog } from '../../src/log.ts';
import { createModels } from '../../src/model/providers.ts';
import { createPostgresQueueBackend } from '../../src/queue/postgres.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import {
  claimTurn,
  type Held,
  type NewCall,
  type RecordedAnswer,
  recordAnswer,
  settleTurn,
} from '../../src/store/turns.ts';
import { registerWorker } from '../../src/store/workers.ts';
import { builtinTools } from '../../src/tools/builtin.ts';
import { createRegistry } from '../../src/tools/registry.ts';
import { noTracing } from '../../src/tracing/tracing.ts';
import { openSnapshots } from '../../src/workspace/snapshots/open-snapshots.ts';
import { uploadLimits } from '../../src/workspace/uploads/limits.ts';
import { openUploads } from '../../src/workspace/uploads/uploads.ts';
import { createTestDatabase } from '../support/database.ts';
import { sealing } from '../support/sealing.ts';
import { keyOf } from '../support/store.ts';

const MCP = { connectSeconds: 30, callSeconds: 120, messageKib: 16_384 };

export interface Person {
  readonly teamId: string;
  readonly userId: string;
  readonly apiKey: string;
}

export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests read what they expect
  readonly json: any;
}

export interface Asking {
  readonly body?: unknown;
  /** Sent as it is. */
  readonly raw?: string | Uint8Array<ArrayBuffer>;
  readonly headers?: Readonly<Record<string, string>>;
  /** None with `null`. */
  readonly key?: string | null;
}

export interface TestApi {
  readonly url: string;
  readonly databaseUrl: string;
  readonly db: Database;
  readonly bus: Bus;
  readonly api: Api;
  readonly deps: ApiDeps;
  readonly dataDir: string;
  readonly me: Person;
  ask(method: string, path: string, asking?: Asking): Promise<Answered>;
  /** A committed task of mine. */
  submit(body?: Record<string, unknown>): Promise<Task>;
  /** With a key for everything, where nothing else is said. */
  addPerson(team: string, name: string, scopes?: readonly Scope[]): Promise<Person>;
  close(): Promise<void>;
}

export async function startTestApi(
  change: (deps: ApiDeps, databaseUrl: string) => Partial<ApiDeps> = () => ({}),
): Promise<TestApi> {
  const database = await createTestDatabase();
  const db = openDatabase({ url: database.url, log: silentLog, patienceMs: 500 });
  const backend = createPostgresQueueBackend({ url: database.url, log: silentLog });
  const queue = backend.queue();
  const bus = createPostgresBus({ url: database.url, log: silentLog });
  const dataDir = mkdtempSync(join(tmpdir(), 'capybara-api-'));
  const directory = join(dataDir, 'snapshots');
  const snapshots = openSnapshots({ directory });
  const uploads = openUploads({ directory, limits: uploadLimits(16) });
  const base: ApiDeps = {
    ...{ db, queue, bus, dataDir, snapshots, uploads, allowLocal: true },
    repositories: { own: true, online: true, allowed: [] },
    ...{ requestsPerMinute: 0, wrongKeysPerMinute: 0, corsOrigins: [], metricsOpen: false },
    sealing,
    webhooks: { allow: [], online: true },
    mcp: { enabled: false, servers: {}, teamServers: 'addresses', projectServers: false, ...MCP },
    schedules: { perTeam: 100, shortestSeconds: 60 },
    models: createModels({ openai: { apiKey: 'sk-none' } }, { model: 'openai/m' }),
    agents: createAgents(createRegistry(builtinTools())),
    log: silentLog,
    tracing: noTracing,
    clock: systemClock,
  };
  const deps = { ...base, ...change(base, database.url) };
  const api = createApi(deps);
  const server = await listen(api, { host: '127.0.0.1', port: 0 });
  const me = await addPerson(db, { team: 'ours', name: 'Ana' });
  const ask = askerOf(server.url, me);
  return {
    ...{ url: server.url, databaseUrl: database.url, db, bus, api, deps, dataDir, me, ask },
    submit: async (body = {}) => {
      const answer = await ask('POST', '/v1/tasks', { body: { prompt: 'do it', ...body } });
      return Task.parse(answer.json);
    },
    addPerson: (team, name, scopes) => addPerson(db, { team, name, scopes }),
    close: async () => {
      await server.close();
      await snapshots.close();
      await queue.close();
      await backend.close();
      await bus.close();
      await db.close();
      await database.drop();
      rmSync(dataDir, { recursive: true });
    },
  };
}

export function askerOf(url: string, me: Person): TestApi['ask'] {
  return async (method, path, asking = {}) => {
    const { body, raw, key = me.apiKey } = asking;
    const sent = body === undefined ? raw : JSON.stringify(body);
    const response = await fetch(`${url}${path}`, {
      method,
      headers: {
        ...(sent === undefined ? {} : { 'content-type': 'application/json' }),
        ...(key === null ? {} : { authorization: `Bearer ${key}` }),
        ...asking.headers,
      },
      ...(sent === undefined ? {} : { body: sent }),
    });
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.includes('json') === true;
    return {
      status: response.status,
      headers: response.headers,
      text,
      json: isJson && text !== '' ? JSON.parse(text) : undefined,
    };
  };
}

async function addPerson(
  db: Database,
  { team, name, scopes = SCOPES }: { team: string; name: string; scopes?: readonly Scope[] | undefined },
): Promise<Person> {
  await db.sql`INSERT INTO team (id, name) VALUES (${newId()}, ${team}) ON CONFLICT DO NOTHING`;
  const [row] = await db.sql<{ id: string; team_id: string }>`
    INSERT INTO "user" (id, team_id, name) SELECT ${newId()}, id, ${name} FROM team WHERE name = ${team}
    RETURNING id, team_id`;
  const owner = { teamId: row?.team_id ?? '', userId: row?.id ?? '' };
  const { apiKey } = await keyOf(db, { ...owner, name: 'test', scopes });
  return { ...owner, apiKey };
}

export function uuid(kind: IdKind, id: string): string {
  const found = fromPublicId(kind, id);
  if (found === undefined) throw new Error(`${id} is no ${kind}`);
  return found;
}

/** Plays a worker that never dies. */
export class HandWorker {
  readonly id = randomUUID();
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  async register(): Promise<this> {
    await registerWorker(
      this.#db,
      { id: this.id, host: 'here', pid: 1, pidStartedAt: '1', lockKey: '1', version: '0' },
      3_600_000,
    );
    return this;
  }

  /** Claims the session's queued turn. */
  async claim(sessionId: string): Promise<Held> {
    const [turn] = await this.#db.sql<{ id: string }>`
      SELECT id FROM turn WHERE session_id = ${sessionId} AND status = 'queued'`;
    const held = { turnId: turn?.id ?? '', attemptId: newId() };
    const claim = { ...held, workerId: this.id, reserve: 10, nextTurnId: newId() };
    const { outcome } = await claimTurn(this.#db, claim);
    if (outcome !== 'claimed') throw new Error(`claim: ${outcome}`);
    return held;
  }

  async answer(held: Held, answer: Partial<RecordedAnswer> = {}): Promise<number> {
    const calls = answer.calls ?? [];
    const outcome = await recordAnswer(this.#db, held, {
      before: [],
      parts: [{ type: 'text', text: 'All done.' }],
      stopReason: calls.length > 0 ? 'tool_calls' : 'stop',
      usage: { ...USAGE, latencyMs: 5, firstTokenMs: 2 },
      calls,
      ...answer,
    });
    if (outcome.outcome !== 'recorded') throw new Error(`answer: ${outcome.outcome}`);
    return outcome.answerPosition;
  }

  /** A whole turn that ends the task well; returns what the bus would be told. */
  async finish(sessionId: string): Promise<number> {
    const held = await this.claim(sessionId);
    const resultPosition = await this.answer(held);
    const settled = await settleTurn(this.#db, held, {
      results: [],
      end: { kind: 'finish', status: 'succeeded', resultPosition },
      nextTurnId: newId(),
    });
    if (settled.outcome !== 'settled') throw new Error(`settle: ${settled.outcome}`);
    return settled.seq;
  }
}

export const USAGE = { model: 'openai/m', input: 100, output: 20, cached: 60, reasoning: 5 };

export function aCall(change: Partial<NewCall> = {}): NewCall {
  return {
    id: newId(),
    ordinal: 0,
    callId: 'c1',
    name: 'bash',
    effect: 'external',
    status: 'requested',
    ...change,
  };
}
