import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import {
  Agents,
  Approval,
  CHANGES_MEDIA,
  type CreateTask,
  Entry,
  type ForkSession,
  MergedSession,
  type MergeSession,
  Models,
  PACK_MEDIA,
  type PatchTask,
  page,
  type ResolveApproval,
  Reverted,
  type RevertSession,
  RevokedRule,
  Rule,
  Session,
  SessionDetails,
  SessionTree,
  Task,
  TeamUsage,
  ToolCall,
  type UploadQuery,
  Why,
  Workspace,
} from '../api/wire.ts';
import { UserError } from '../core/errors.ts';
import { openSentFile, type SentFile } from './sent-file.ts';
import { addressOf, hostOf, problemOf, reason, type Server, UnreachableError } from './server.ts';

export { isTransient, ProblemError, type Server, UnreachableError } from './server.ts';

export type Query = Readonly<Record<string, string | number | undefined>>;
export interface Page<Item> {
  readonly data: Item[];
  readonly nextCursor: string | null;
}

/** Longest wait for the start of an answer, in milliseconds. */
export const REQUEST_TIMEOUT_MS = 30_000;

/** All of an upload, over a slow line. */
const SEND_TIMEOUT_MS = 60 * 60_000;

/** The HTTP API, one method per route. Every answer is checked against the wire schemas. */
export class Client {
  /** Asked before each request: an embedded Capybara may move. */
  readonly #server: () => Server;

  constructor(server: () => Server) {
    this.#server = server;
  }

  /** `key` makes repeating the call harmless: the same key is the same task. */
  async createTask(body: CreateTask, key: string = randomUUID()): Promise<Task> {
    return this.#send('POST', '/v1/tasks', Task, { body, headers: { 'idempotency-key': key } });
  }

  async task(id: string): Promise<Task> {
    return this.#send('GET', `/v1/tasks/${encodeURIComponent(id)}`, Task);
  }

  async tasks(query: Query = {}): Promise<Page<Task>> {
    return this.#send('GET', `/v1/tasks${search(query)}`, page(Task));
  }

  async cancelTask(id: string): Promise<Task> {
    return this.#send('POST', `/v1/tasks/${encodeURIComponent(id)}/cancel`, Task);
  }

  async pauseTask(id: string): Promise<Task> {
    return this.#send('POST', `/v1/tasks/${encodeURIComponent(id)}/pause`, Task);
  }

  async resumeTask(id: string): Promise<Task> {
    return this.#send('POST', `/v1/tasks/${encodeURIComponent(id)}/resume`, Task);
  }

  async raiseLimits(id: string, limits: z.infer<typeof PatchTask>['limits']): Promise<Task> {
    return this.#send('PATCH', `/v1/tasks/${encodeURIComponent(id)}`, Task, { body: { limits } });
  }

  async usage(query: Query = {}): Promise<TeamUsage> {
    return this.#send('GET', `/v1/usage${search(query)}`, TeamUsage);
  }

  async session(id: string): Promise<SessionDetails> {
    return this.#send('GET', `/v1/sessions/${encodeURIComponent(id)}`, SessionDetails);
  }

  async sessions(query: Query = {}): Promise<Page<Session>> {
    return this.#send('GET', `/v1/sessions${search(query)}`, page(Session));
  }

  /** A new session that goes on from a point of this one. */
  async fork(id: string, body: ForkSession, key: string = randomUUID()): Promise<Session> {
    const path = `/v1/sessions/${encodeURIComponent(id)}/fork`;
    return this.#send('POST', path, Session, { body, headers: { 'idempotency-key': key } });
  }

  /** Takes another session's files in. */
  async merge(id: string, body: MergeSession, key: string = randomUUID()): Promise<MergedSession> {
    const path = `/v1/sessions/${encodeURIComponent(id)}/merge`;
    return this.#send('POST', path, MergedSession, { body, headers: { 'idempotency-key': key } });
  }

  /** Takes it back to the end of a turn. */
  async revert(id: string, body: RevertSession, key: string = randomUUID()): Promise<Reverted> {
    const path = `/v1/sessions/${encodeURIComponent(id)}/revert`;
    return this.#send('POST', path, Reverted, { body, headers: { 'idempotency-key': key } });
  }

  async entries(sessionId: string, query: Query = {}): Promise<Page<Entry>> {
    return this.#send(
      'GET',
      `/v1/sessions/${encodeURIComponent(sessionId)}/entries${search(query)}`,
      page(Entry),
    );
  }

  async toolCalls(sessionId: string, query: Query = {}): Promise<Page<ToolCall>> {
    const path = `/v1/sessions/${encodeURIComponent(sessionId)}/tool-calls${search(query)}`;
    return this.#send('GET', path, page(ToolCall));
  }

  /** It and every session below it, with what each does. */
  async tree(sessionId: string): Promise<SessionTree> {
    return this.#send('GET', `/v1/sessions/${encodeURIComponent(sessionId)}/tree`, SessionTree);
  }

  async why(sessionId: string): Promise<Why> {
    return this.#send('GET', `/v1/sessions/${encodeURIComponent(sessionId)}/why`, Why);
  }

  async approvals(query: Query = {}): Promise<Page<Approval>> {
    return this.#send('GET', `/v1/approvals${search(query)}`, page(Approval));
  }

  /** `ask`: "true" where the providers are to say it too. */
  async models(query: Query = {}): Promise<Models> {
    return this.#send('GET', `/v1/models${search(query)}`, Models);
  }

  async rules(query: Query = {}): Promise<Page<Rule>> {
    return this.#send('GET', `/v1/rules${search(query)}`, page(Rule));
  }

  async agents(): Promise<Agents> {
    return this.#send('GET', '/v1/agents', Agents);
  }

  async revokeRule(id: string): Promise<z.infer<typeof RevokedRule>> {
    return this.#send('DELETE', `/v1/rules/${encodeURIComponent(id)}`, RevokedRule);
  }

  async resolveApproval(id: string, body: z.infer<typeof ResolveApproval>): Promise<Approval> {
    return this.#send('POST', `/v1/approvals/${encodeURIComponent(id)}`, Approval, { body });
  }

  /** What the session has changed in its files, as a patch; empty where it changed none. */
  async diff(sessionId: string): Promise<Buffer> {
    return this.#bytes(`/v1/sessions/${encodeURIComponent(sessionId)}/diff`, 'text/x-diff');
  }

  /** Whether that patch has anything in it: it is not sent. */
  async hasChanges(sessionId: string): Promise<boolean> {
    const path = `/v1/sessions/${encodeURIComponent(sessionId)}/diff`;
    const response = await this.#fetch(path, { method: 'HEAD', headers: { accept: 'text/x-diff' } });
    return response.headers.get('content-length') !== '0';
  }

  /** What it has changed, with every file whole; with `turn` what takes the files back there, with `into` what another has not got. */
  async changes(sessionId: string, query: Query = {}): Promise<Buffer> {
    return this.#bytes(
      `/v1/sessions/${encodeURIComponent(sessionId)}/changes${search(query)}`,
      CHANGES_MEDIA,
    );
  }

  /** The same as a git bundle. */
  async bundle(sessionId: string): Promise<Buffer> {
    return this.#bytes(`/v1/sessions/${encodeURIComponent(sessionId)}/bundle`, 'application/x-git-bundle');
  }

  async #bytes(path: string, accept: string): Promise<Buffer> {
    const response = await this.#fetch(path, { headers: { accept } });
    try {
      return Buffer.from(await response.arrayBuffer());
    } catch (error) {
      throw this.#unreachable(error);
    }
  }

  async workspace(id: string): Promise<Workspace> {
    return this.#send('GET', `/v1/workspaces/${encodeURIComponent(id)}`, Workspace);
  }

  /** Sends the snapshot of a directory. */
  async sendWorkspace(query: UploadQuery, file: SentFile): Promise<Workspace> {
    const path = `/v1/workspaces${search(query)}`;
    const sent = openSentFile(file);
    const headers = {
      accept: 'application/json',
      'content-type': PACK_MEDIA,
      'content-length': String(file.bytes),
      'idempotency-key': file.key,
    };
    try {
      const response = await this.#fetch(path, { method: 'POST', ...sent.init, headers }, SEND_TIMEOUT_MS);
      return await this.#read(response, path, Workspace);
    } catch (error) {
      throw sent.isStalled() ? this.#unreachable(new Error('it takes nothing of what is sent')) : error;
    } finally {
      sent.close();
    }
  }

  /** The stream of a session's tree behind sequence number `after`. Ends when `signal` aborts. */
  async openEvents(sessionId: string, after: number, signal: AbortSignal): Promise<Response> {
    const headers = {
      accept: 'text/event-stream',
      ...(after > 0 && { 'last-event-id': String(after) }),
    };
    return this.#fetch(`/v1/sessions/${encodeURIComponent(sessionId)}/events`, { headers, signal });
  }

  async #send<Schema extends z.ZodType>(
    method: string,
    path: string,
    schema: Schema,
    { body, headers }: { body?: unknown; headers?: Record<string, string> } = {},
  ): Promise<z.infer<Schema>> {
    const json = body === undefined ? {} : { body: JSON.stringify(body) };
    const type = body === undefined ? {} : { 'content-type': 'application/json' };
    const response = await this.#fetch(path, {
      method,
      ...json,
      headers: { accept: 'application/json', ...type, ...headers },
    });
    return this.#read(response, path, schema);
  }

  async #read<Schema extends z.ZodType>(
    response: Response,
    path: string,
    schema: Schema,
  ): Promise<z.infer<Schema>> {
    const answer = await this.#answer(response, path);
    const parsed = schema.safeParse(answer);
    if (parsed.success) return parsed.data;
    throw this.#notCapybara(path, z.prettifyError(parsed.error).split('\n')[0] ?? '');
  }

  async #answer(response: Response, path: string): Promise<unknown> {
    try {
      return JSON.parse(await response.text());
    } catch (error) {
      if (error instanceof SyntaxError) throw this.#notCapybara(path, 'this is not JSON');
      throw this.#unreachable(error);
    }
  }

  #notCapybara(path: string, found: string): UserError {
    const message = `${hostOf(this.#server())} gave an answer to ${path} that this version does not understand (${found}): check the address and update the older one.`;
    return new UserError('bad_answer', message, 3);
  }

  /** An answer of status 2xx; anything else is thrown. */
  async #fetch(
    path: string,
    init: RequestInit & { headers: Record<string, string> },
    timeoutMs = REQUEST_TIMEOUT_MS,
  ): Promise<Response> {
    const server = this.#server();
    const authorization = server.apiKey ? { authorization: `Bearer ${server.apiKey}` } : {};
    const slow = new AbortController();
    const late = new Error(`no answer within ${timeoutMs / 1000} s`);
    const timer = setTimeout(() => slow.abort(late), timeoutMs);
    const signal = init.signal ? AbortSignal.any([init.signal, slow.signal]) : slow.signal;
    try {
      const headers = { ...init.headers, ...authorization };
      const response = await fetch(addressOf(server, path), { ...init, headers, signal });
      if (response.ok) return response;
      throw await problemOf(response, server);
    } catch (error) {
      if (error instanceof UserError || init.signal?.aborted) throw error;
      throw this.#unreachable(error);
    } finally {
      clearTimeout(timer);
    }
  }

  #unreachable(error: unknown): UnreachableError {
    const cause = error instanceof Error && error.cause ? error.cause : error;
    return new UnreachableError(
      `${hostOf(this.#server())} cannot be reached (${reason(cause)}): check the address, or that it runs.`,
    );
  }
}

function search(query: Query): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) parameters.set(name, String(value));
  }
  return parameters.size === 0 ? '' : `?${parameters}`;
}
