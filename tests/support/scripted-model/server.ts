import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { imageRefusal } from './images.ts';
import { play } from './play.ts';
import { type Body, type Protocol, placeIn, type ScriptedRequest } from './request.ts';
import type { Script } from './step.ts';
import { protocolAt, WIRES } from './wires.ts';
import { errorBody, sendJson } from './writer.ts';

export interface ScriptedModelOptions {
  readonly script: Script;
  /** A free one where undefined. */
  readonly port?: number;
  /** What it listens on; 127.0.0.1 where undefined. */
  readonly host?: string;
  /** Requests without it are answered with 401. Any key, or none, is accepted where undefined. */
  readonly apiKey?: string;
  /** Requests for another model are answered with 404. Any model is accepted where undefined. */
  readonly models?: readonly string[];
}

export interface ScriptedModel {
  /** `http://127.0.0.1:PORT`: what an Anthropic client takes as base URL. */
  readonly url: string;
  /** The same with `/v1`: what an OpenAI client takes. */
  readonly baseUrl: string;
  /** Every request that was played, in order of arrival. */
  readonly requests: readonly ScriptedRequest[];
  /** What the real API would have refused, and with which words; such requests are not played. */
  readonly refusals: readonly { readonly message: string; readonly body: unknown }[];
  requestsOf(sessionId?: string, turn?: number): ScriptedRequest[];
  /** Resolves with the first request, past or future, for which the predicate is or becomes true. */
  waitForRequest(
    predicate: (request: ScriptedRequest) => boolean,
    timeoutMs?: number,
  ): Promise<ScriptedRequest>;
  /** Lets everything go on that hangs now. */
  release(): void;
  close(): Promise<void>;
}

/** A server that speaks every protocol of `wires.ts`, and answers what its script says. */
export async function startScriptedModel(options: ScriptedModelOptions): Promise<ScriptedModel> {
  const state = new State(options);
  const server = createServer((request, response) => void state.answer(request, response));
  server.listen(options.port ?? 0, options.host ?? '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    baseUrl: `${url}/v1`,
    requests: state.requests,
    refusals: state.refusals,
    requestsOf: (sessionId, turn) => state.requestsOf(sessionId, turn),
    waitForRequest: (predicate, timeoutMs = 10_000) => state.waitFor(predicate, timeoutMs),
    release: () => state.release(),
    close: () => closed(server),
  };
}

async function closed(server: Server): Promise<void> {
  if (!server.listening) return;
  const end = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await end;
}

class State {
  readonly requests: ScriptedRequest[] = [];
  readonly refusals: { message: string; body: unknown }[] = [];
  readonly #options: ScriptedModelOptions;
  readonly #watchers = new Set<() => void>();
  readonly #attempts = new Map<string, number>();
  #released = Promise.withResolvers<void>();

  constructor(options: ScriptedModelOptions) {
    this.#options = options;
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path = ''] = (request.url ?? '').split('?');
    const { protocol, isAsked } = protocolAt(path);
    if (!this.#isAllowed(request))
      return refuse(response, protocol, { status: 401, message: 'invalid x-api-key' });
    if (request.method === 'GET' && path === '/v1/models') return this.#listModels(response);
    if (request.method !== 'POST' || !isAsked) {
      return refuse(response, protocol, { status: 404, message: `no such route: ${request.method} ${path}` });
    }
    const body: Body = await json(request).catch(() => undefined);
    const message = refusalOf(protocol, body);
    if (message !== undefined) {
      this.refusals.push({ message, body });
      return refuse(response, protocol, { status: 400, message });
    }
    const model = String(WIRES[protocol].model(body));
    if (this.#options.models?.includes(model) === false) {
      return refuse(response, protocol, { status: 404, message: `model: ${model} does not exist` });
    }
    await this.#play(this.#record(protocol, request, body), response);
  }

  requestsOf(sessionId?: string, turn?: number): ScriptedRequest[] {
    return this.requests.filter(
      (request) =>
        (sessionId === undefined || request.sessionId === sessionId) &&
        (turn === undefined || request.turn === turn),
    );
  }

  waitFor(predicate: (request: ScriptedRequest) => boolean, timeoutMs: number): Promise<ScriptedRequest> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const found = this.requests.find(predicate);
        if (found === undefined) return;
        clearTimeout(timer);
        this.#watchers.delete(look);
        resolve(found);
      };
      const timer = setTimeout(() => {
        this.#watchers.delete(look);
        reject(new Error(`no such request within ${timeoutMs} ms, of ${this.requests.length} requests`));
      }, timeoutMs);
      this.#watchers.add(look);
      look();
    });
  }

  release(): void {
    this.#released.resolve();
    this.#released = Promise.withResolvers<void>();
  }

  #isAllowed({ headers }: IncomingMessage): boolean {
    const { apiKey } = this.#options;
    return (
      apiKey === undefined ||
      [headers.authorization?.replace('Bearer ', ''), headers['x-api-key'], headers['api-key']].includes(
        apiKey,
      )
    );
  }

  #listModels(response: ServerResponse): void {
    const names = this.#options.models ?? ['scripted'];
    // One shape serves both protocols: each client reads the fields that it knows.
    const data = names.map((id) => ({
      id,
      object: 'model',
      type: 'model',
      display_name: id,
      owned_by: 'tests',
    }));
    sendJson(response, 200, { object: 'list', data, has_more: false });
  }

  #record(protocol: Protocol, request: IncomingMessage, body: Body): ScriptedRequest {
    const { headers } = request;
    const sessionId = text(headers['x-capybara-session']);
    const turn = headers['x-capybara-turn'] === undefined ? undefined : Number(headers['x-capybara-turn']);
    const asked = `${sessionId} ${turn}`;
    const attempt = (this.#attempts.get(asked) ?? 0) + 1;
    this.#attempts.set(asked, attempt);
    const said = WIRES[protocol].read(body);
    const record: ScriptedRequest = {
      ...{ protocol, ...said, ...placeIn(said.messages), images: WIRES[protocol].images(body), body },
      sessionId,
      taskId: text(headers['x-capybara-task']),
      turn,
      attempt,
      number: this.requests.length + 1,
      headers,
      outcome: 'open',
    };
    this.requests.push(record);
    this.#changed();
    return record;
  }

  async #play(request: ScriptedRequest, response: ServerResponse): Promise<void> {
    const gone = new AbortController();
    response.once('close', () => response.writableFinished || gone.abort());
    const released = () => this.#released.promise;
    try {
      const step = await this.#options.script(request);
      const actions = Array.isArray(step) ? step : [step];
      request.outcome = await play(actions, { request, response, gone: gone.signal, released });
    } catch (error) {
      request.outcome = 'failed';
      const message = error instanceof Error ? error.message : String(error);
      if (response.headersSent) response.destroy();
      else refuse(response, request.protocol, { status: 400, message: `the script failed: ${message}` });
    }
    this.#changed();
  }

  #changed(): void {
    for (const look of [...this.#watchers]) look();
  }
}

function refusalOf(protocol: Protocol, body: Body): string | undefined {
  if (typeof body !== 'object' || body === null) return 'the body is not a JSON object';
  const model = WIRES[protocol].model(body);
  if (typeof model !== 'string' || model === '') return 'model: Field required';
  const images = () => WIRES[protocol].images(body).map(imageRefusal);
  return WIRES[protocol].refusal(body) ?? images().find((words) => words !== undefined);
}

function text(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header;
}

function refuse(
  response: ServerResponse,
  protocol: Protocol,
  { status, message }: { status: number; message: string },
): void {
  sendJson(response, status, errorBody(protocol, status, message));
}
