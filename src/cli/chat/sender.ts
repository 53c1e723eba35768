/** Sends what the person says: to the task in hand, as the session's next task, or as the first of a new session. */
import { randomUUID } from 'node:crypto';
import type { CreateTask, Session, Task } from '../../api/wire.ts';
import { type Client, ProblemError } from '../../client/client.ts';
import type { Connection } from '../connection.ts';
import { sendTask, type TaskRequest } from '../task-input.ts';
import { untilReachable } from '../until-reachable.ts';
import type { Action } from './reduce.ts';
import { type ChatState, lastTask, type Sent, taskInHand } from './state.ts';

export interface SenderOptions {
  readonly connection: Connection;
  readonly request: TaskRequest;
  /** The files that a message takes with it. */
  readonly attached: (text: string) => Pick<CreateTask, 'attachments'>;
  readonly state: () => ChatState;
  readonly tell: (action: Action) => void;
  readonly show: (session: Session) => void;
  readonly signal: AbortSignal;
}

export class Sender {
  readonly #options: SenderOptions;
  readonly #client: Client;
  #me: string | undefined;

  constructor(options: SenderOptions) {
    this.#options = options;
    this.#client = options.connection.clientUntil(options.signal);
  }

  /** Who sits here, as the server knows them; undefined before anything was sent. */
  get me(): string | undefined {
    return this.#me;
  }

  /** While the agent works it is told this with its next turn; else this is the next task. */
  async say(text: string): Promise<void> {
    const { session } = this.#options.state();
    if (session === undefined) return this.#begin(text);
    if (taskInHand(this.#options.state()) === undefined) return this.queue(text);
    await this.#sending(text, 'now', (key) => this.#steer(session.id, text, key));
  }

  /** The session's next task, after the one in hand. */
  async queue(text: string): Promise<void> {
    const { session } = this.#options.state();
    if (session === undefined) return this.#begin(text);
    await this.#sending(text, 'task', (key) => this.#next(session.id, text, key));
  }

  /** A task that ended in this moment takes nothing in: then it is the next one. */
  async #steer(sessionId: string, text: string, key: string): Promise<void> {
    const { attached } = this.#options;
    const client = this.#client;
    const body = { text, ...attached(text) };
    try {
      await this.#repeated(() => client.postMessage(sessionId, body, key));
    } catch (error) {
      if (!(error instanceof ProblemError) || error.code !== 'no_running_task') throw error;
      await this.#next(sessionId, text, key);
    }
  }

  async #next(sessionId: string, text: string, key: string): Promise<void> {
    const { attached } = this.#options;
    const client = this.#client;
    const body = { ...this.#settings(), sessionId, prompt: text, ...attached(text) };
    this.#accepted(await this.#repeated(() => client.createTask(body, key)));
  }

  async #begin(text: string): Promise<void> {
    const { request, attached, state, tell, show, signal } = this.#options;
    const client = this.#client;
    const body = { ...request.body, ...state().wishes, prompt: text, ...attached(text) };
    const note = (line: string) => tell({ do: 'note', text: line, tone: 'quiet' });
    await this.#sending(text, 'task', async (key) => {
      const options = { key, signal, tell: note };
      const task = await this.#repeated(() => sendTask(client, { ...request, body }, options));
      show(await this.#repeated(() => client.session(task.sessionId)));
      tell({ do: 'sent', sent: { key, text, when: 'task' } });
      this.#accepted(task);
    });
  }

  /** What is not chosen is as the session's last task had it. */
  #settings(): Omit<CreateTask, 'prompt'> {
    const { request, state } = this.#options;
    const { prompt: _, workspace: __, attachments: ___, ...given } = request.body;
    const last = lastTask(state());
    const wished = { ...given, ...state().wishes };
    if (last === undefined) return wished;
    // Another agent has a model and a mode of its own.
    const isSame = (wished.agent ?? last.agent) === last.agent;
    return { agent: last.agent, ...(isSame && { model: last.model, mode: last.mode }), ...wished };
  }

  #accepted(task: Task): void {
    this.#me = task.createdBy ?? undefined;
    this.#options.tell({ do: 'task', task, isNew: true });
  }

  async #sending(text: string, when: Sent['when'], send: (key: string) => Promise<void>): Promise<void> {
    const { tell } = this.#options;
    const key = randomUUID();
    tell({ do: 'sent', sent: { key, text, when } });
    try {
      await send(key);
    } catch (error) {
      tell({ do: 'unsent', key });
      throw error;
    }
  }

  #repeated<Answer>(send: () => Promise<Answer>): Promise<Answer> {
    const { connection, signal } = this.#options;
    return untilReachable({ connection, signal }, send);
  }
}
