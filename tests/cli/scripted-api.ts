/** A server that answers as a Capybara does, with what a test says: the CLI's other side of the wire. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type {
  Approval,
  Entry,
  Event,
  SessionDetails,
  SessionTree,
  Task,
  TreeNode,
  Why,
  WhyTask,
} from '../../src/api/wire.ts';

export interface Received {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: IncomingMessage['headers'];
  readonly body: unknown;
}

/** Answers with JSON, or takes the response over and returns nothing. */
export type Handler = (request: Received, response: ServerResponse) => unknown;

export interface ScriptedApi {
  readonly url: string;
  readonly port: number;
  readonly received: Received[];
  /** `route`: `GET /v1/tasks`. The latest handler of a route counts. */
  on(route: string, handler: Handler): void;
  /** Cuts all connections and frees the port. */
  close(): Promise<void>;
}

export async function startScriptedApi(port = 0): Promise<ScriptedApi> {
  const handlers = new Map<string, Handler>();
  const received: Received[] = [];
  const server = createServer((request, response) => {
    void answer(request, response).catch((error: unknown) => response.destroy(error as Error));
  });
  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://localhost');
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const got: Received = {
      method: request.method ?? '',
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      headers: request.headers,
      body: text === '' ? undefined : JSON.parse(text),
    };
    received.push(got);
    const handler = handlers.get(`${got.method} ${got.path}`);
    if (!handler) return problem(response, 404, 'not_found', `There is no ${got.path}.`);
    const body = await handler(got, response);
    if (body === undefined) return;
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  }
  handlers.set('GET /healthz', () => ({ status: 'ok' }));
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const address = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${address.port}`,
    port: address.port,
    received,
    on: (route, handler) => handlers.set(route, handler),
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

export function problem(response: ServerResponse, status: number, code: string, detail: string): void {
  const body = { type: 'about:blank', title: code, status, code, detail };
  response.writeHead(status, { 'content-type': 'application/problem+json' }).end(JSON.stringify(body));
}

export function openStream(response: ServerResponse): ServerResponse {
  response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
  return response;
}

export function sendEvents(response: ServerResponse, events: readonly Event[]): void {
  for (const event of events) {
    response.write(`id: ${event.seq}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
  }
}

export const AT = '2026-01-02T03:04:05.000Z';
export const SESSION_ID = `ses_${'1'.repeat(32)}`;
export const TASK_ID = `task_${'2'.repeat(32)}`;

export function event(seq: number, type: Event['type'], data: Event['data'] = {}, turn = 1): Event {
  return { seq, type, at: AT, sessionId: SESSION_ID, taskId: TASK_ID, turn, data };
}

const NO_USAGE: Task['usage'] = {
  input: 0,
  output: 0,
  cached: 0,
  cacheWritten: 0,
  reasoning: 0,
  requests: 0,
  usd: null,
  unpriced: 0,
  brokenOff: { requests: 0, tokens: 0, usd: null },
  byModel: [],
  toolCalls: 0,
  toolFailures: 0,
};

/** What a model has used. */
export function aCount(change: Partial<Task['usage']['byModel'][number]> = {}) {
  const { brokenOff: _, byModel: __, toolCalls: ___, toolFailures: ____, ...nothing } = NO_USAGE;
  return { model: 'openai/m', ...nothing, requests: 1, ...change };
}

export function aTask(change: Partial<Task> = {}): Task {
  return {
    id: TASK_ID,
    sessionId: SESSION_ID,
    status: 'running',
    waitingOn: null,
    cancelRequested: false,
    prompt: 'do it',
    createdBy: 'Ana',
    scheduleId: null,
    agent: 'build',
    model: 'openai/m',
    mode: 'auto',
    limits: {
      ...{ turns: 70, treeTurns: 1000, children: 12, concurrentChildren: 3, depth: 1 },
      tokens: null,
      usd: null,
      seconds: null,
      onLimit: 'fail',
    },
    turns: 1,
    result: null,
    error: null,
    usage: NO_USAGE,
    metadata: {},
    createdAt: AT,
    startedAt: AT,
    endedAt: null,
    ...change,
  };
}

export function doneTask(change: Partial<Task> = {}): Task {
  return aTask({
    status: 'succeeded',
    turns: 2,
    result: { text: 'All done.' },
    endedAt: '2026-01-02T03:04:17.000Z',
    ...change,
  });
}

export function aSession(change: Partial<SessionDetails> = {}): SessionDetails {
  return {
    id: SESSION_ID,
    rootId: SESSION_ID,
    parentId: null,
    title: 'do it',
    state: 'idle',
    workspace: { kind: 'empty', path: null },
    createdAt: AT,
    archivedAt: null,
    forkedFrom: null,
    todos: [],
    ...change,
  };
}

/** One that works, below the session of everything here. */
export function aNode(change: Partial<TreeNode> = {}): TreeNode {
  return {
    ...{ sessionId: `ses_${'5'.repeat(32)}`, parentId: SESSION_ID, title: 'tests', agent: 'build' },
    ...{ state: 'thinking', task: { id: `task_${'5'.repeat(32)}`, status: 'running' }, turns: 1 },
    ...{
      startedAt: AT,
      endedAt: null,
      seconds: 9,
      tokens: { input: 100, output: 20 },
      usd: '0.01',
      todos: [],
      children: [],
    },
    ...change,
  };
}

/** The session of everything here, waiting for these. */
export function aTree(children: TreeNode[], change: Partial<SessionTree> = {}): SessionTree {
  return {
    ...aNode({
      sessionId: SESSION_ID,
      parentId: null,
      title: 'do it',
      task: { id: TASK_ID, status: 'waiting' },
    }),
    ...{
      state: 'waiting',
      waitingOn: { on: 'children', children: children.length },
      seconds: 72,
      usd: '0.18',
    },
    ...{ children, seq: 0, more: false },
    ...change,
  };
}

export function assistant(position: number, text: string, calls: [string, string, string][] = []): Entry {
  const tools = calls.map(([callId, name, json]) => ({
    type: 'tool' as const,
    callId,
    name,
    arguments: json,
  }));
  const parts = [...(text === '' ? [] : [{ type: 'text' as const, text }]), ...tools];
  const stopReason = calls.length > 0 ? ('tool_calls' as const) : ('stop' as const);
  return { position, kind: 'assistant', taskId: TASK_ID, turn: 1, parts, stopReason, at: AT };
}

export function toolResult(position: number, callId: string, text: string): Entry {
  return {
    position,
    kind: 'tool_result',
    taskId: TASK_ID,
    turn: 1,
    parts: [{ type: 'text', text }],
    callId,
    status: 'failed',
    at: AT,
  };
}

export function anApproval(change: Partial<Approval> = {}): Approval {
  return {
    id: `apr_${'3'.repeat(32)}`,
    sessionId: SESSION_ID,
    path: [{ sessionId: SESSION_ID, title: 'do it', agent: 'build' }],
    taskId: TASK_ID,
    turn: 1,
    tool: 'bash',
    arguments: '{"command":"rm -rf build"}',
    status: 'open',
    message: null,
    always: {
      ...{ tool: 'bash', kind: 'command', value: 'rm -rf build' },
      scope: { kind: 'directory', path: '/home/me/project' },
    },
    ruleId: null,
    createdAt: AT,
    expiresAt: null,
    resolvedAt: null,
    resolvedBy: null,
    ...change,
  };
}

/** An unfinished task that a person has to answer for. */
export function aWaiting(change: Partial<WhyTask> = {}): WhyTask {
  const { id, tool, arguments: json } = anApproval();
  return {
    taskId: TASK_ID,
    sessionId: SESSION_ID,
    status: 'waiting',
    kind: 'calls',
    via: [],
    evidence: {
      turn: 1,
      children: 0,
      approvals: [{ id, tool, arguments: json, askedAt: AT, expiresAt: null }],
    },
    sentence: `A person must allow or deny ${tool}: \`capybara approvals allow ${id}\` (or deny).`,
    ...change,
  } as WhyTask;
}

export function aWhy(tasks: WhyTask[], change: Partial<Why> = {}): Why {
  return {
    sessionId: SESSION_ID,
    sentence: `${tasks.length} tasks are unfinished.`,
    tasks,
    more: false,
    ...change,
  };
}
