/**
 * One server, while somebody needs it: connected when it is first asked for something, again after it died, ended by `close`. Whatever
 * a server does, each of these ends in time.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import type { RequestOptions } from '@modelcontextprotocol/sdk/shared/protocol.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import {
  type CallToolResult,
  CallToolResultSchema,
  ErrorCode,
  ListRootsRequestSchema,
  McpError,
  ToolListChangedNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';
import { raced } from '../../checked-agent.ts';
import { NotSignedIn } from './access.ts';
import { BackOff } from './back-off.ts';
import { describeFailure, goneOf, isNotTaken, isSessionLost, isTooLate, isUnread } from './server-failure.ts';
import { ServerGone } from './server-gone.ts';
import { offerOf, type ServerOffer } from './server-offer.ts';

/** One that lived as long has not failed at its start. */
const STEADY_MS = 60_000;
/** So long a call waits for one that is to be started again. */
const WORTH_WAITING_MS = 5_000;
/** So long a turn waits for one that could not be had the last time: it goes on being tried, and is there for another turn. */
const WORTH_ANOTHER_TRY_MS = 1_000;
/** With news of its progress a call may take so many times what it may in silence. */
const WITH_PROGRESS = 10;
/** Between two pieces of news that are told of it. */
const PROGRESS_MS = 100;

export interface ConnectionOptions {
  readonly open: () => Promise<Transport> | Transport;
  readonly version: string;
  /** Directories that the server is told of. */
  readonly roots: () => Promise<readonly string[]>;
  readonly connectMs: number;
  readonly callMs: number;
  /** What may be read of its words about a failure; all of them where left out. */
  readonly shown?: (words: string) => string;
  /** Called when the list of its tools may be another. */
  readonly onTools?: () => void;
}

export interface ServerCall {
  readonly name: string;
  readonly args: Readonly<Record<string, unknown>>;
  readonly signal: AbortSignal;
  readonly onProgress: (text: string) => void;
}

/** One request of a server; its options are for the SDK. */
export interface Asking<Answer> extends Pick<ServerCall, 'signal'> {
  readonly onProgress?: ServerCall['onProgress'];
  request(client: Client, options: RequestOptions): Promise<Answer>;
}

/** `begun`: it may have done what it was asked for, in whole or in part. */
export type Ended<Answer> =
  | { readonly kind: 'result'; readonly result: Answer }
  | {
      readonly kind: 'failed';
      readonly why: string;
      readonly errors?: string | undefined;
      readonly begun: boolean;
    };
export type CallEnd = Ended<CallToolResult>;
export type Failed = Extract<CallEnd, { kind: 'failed' }>;

export class Connection {
  readonly #options: ConnectionOptions;
  #opening: Promise<Client> | undefined;
  #client: Client | undefined;
  #transport: Transport | undefined;
  #tools: Promise<ServerOffer> | undefined;
  readonly #backOff = new BackOff();
  #isClosed = false;
  #calls = 0;
  /** When somebody used it last. */
  usedAt = performance.now();

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  /** Throws `ServerGone`, and what `signal` was aborted with. */
  async tools(signal: AbortSignal): Promise<ServerOffer> {
    let listing: Promise<ServerOffer> | undefined;
    try {
      const client = await this.#connectedSoon(signal);
      this.#tools ??= this.#list(client);
      listing = this.#tools;
      return await raced(listing, signal);
    } catch (error) {
      if (this.#tools === listing) this.#tools = undefined;
      if (signal.aborted) throw error;
      const gone = this.#asGone(error);
      const { why, errors } = this.#shown({ why: gone.message, errors: gone.errors });
      throw gone instanceof NotSignedIn ? new NotSignedIn(why, errors) : new ServerGone(why, errors);
    }
  }

  #shown<Told extends Pick<Failed, 'why' | 'errors'>>(told: Told): Told {
    const { shown = (words) => words } = this.#options;
    return {
      ...told,
      why: shown(told.why),
      ...(told.errors === undefined ? {} : { errors: shown(told.errors) }),
    };
  }

  get isBusy(): boolean {
    return this.#calls > 0;
  }

  /** Never throws, but what `signal` was aborted with. */
  call({ name, args, ...asking }: ServerCall): Promise<CallEnd> {
    const params = { name, arguments: args };
    return this.ask({
      ...asking,
      request: (client, options) =>
        client.request({ method: 'tools/call', params }, CallToolResultSchema, options),
    });
  }

  /** As `call`. */
  async ask<Answer>(asking: Asking<Answer>): Promise<Ended<Answer>> {
    this.#calls += 1;
    try {
      const end = await this.#ask(asking);
      return end.kind === 'failed' ? this.#shown(end) : end;
    } finally {
      this.#calls -= 1;
      this.usedAt = performance.now();
    }
  }

  async #ask<Answer>(asking: Asking<Answer>): Promise<Ended<Answer>> {
    for (let tries = 0; ; tries += 1) {
      let client: Client;
      try {
        client = await this.#connected(asking.signal);
      } catch (error) {
        asking.signal.throwIfAborted();
        const gone = this.#asGone(error);
        return { kind: 'failed', why: gone.message, errors: gone.errors, begun: false };
      }
      const hasSession = this.#transport?.sessionId !== undefined;
      try {
        return { kind: 'result', result: await asking.request(client, this.#optionsOf(asking)) };
      } catch (error) {
        asking.signal.throwIfAborted();
        if (hasSession && isSessionLost(error) && tries === 0) await this.#drop(client);
        else return await this.#failed(error, client);
      }
    }
  }

  #optionsOf({ signal, onProgress }: Omit<Asking<unknown>, 'request'>): RequestOptions {
    const { callMs } = this.#options;
    const timing = { timeout: callMs, maxTotalTimeout: WITH_PROGRESS * callMs, resetTimeoutOnProgress: true };
    if (onProgress === undefined) return { signal, ...timing };
    let toldAt = Number.NEGATIVE_INFINITY;
    return {
      ...{ signal, ...timing },
      onprogress: ({ progress, total, message }) => {
        if (performance.now() - toldAt < PROGRESS_MS) return;
        toldAt = performance.now();
        onProgress(`${message ?? 'progress'} (${progress}${total === undefined ? '' : ` of ${total}`})\n`);
      },
    };
  }

  async #failed(error: unknown, client: Client): Promise<Failed> {
    const gone = this.#client === client ? undefined : this.#goneOf();
    if (gone !== undefined) return { kind: 'failed', why: gone.message, errors: gone.errors, begun: true };
    if (error instanceof z.core.$ZodError)
      return { kind: 'failed', why: 'answered with what is no result of a call', begun: true };
    if (!(error instanceof McpError)) {
      // What is under way ends with it, and the next call connects anew.
      if (!isUnread(error)) await this.#drop(client);
      return { kind: 'failed', ...describeFailure(error), begun: !isNotTaken(error) };
    }
    if (error.code === ErrorCode.RequestTimeout)
      return { kind: 'failed', why: `did not answer within ${this.#options.callMs / 1_000} s`, begun: true };
    // The server's own refusal of the call.
    const refused = [ErrorCode.InvalidParams, ErrorCode.MethodNotFound, ErrorCode.InvalidRequest];
    return { kind: 'failed', ...describeFailure(error), begun: !refused.includes(error.code) };
  }

  /** As `#connected`, but for a server that could not be had the last time nobody waits. */
  async #connectedSoon(signal: AbortSignal): Promise<Client> {
    const { away, waitMs } = this.#backOff;
    if (this.#client !== undefined || away === undefined) return this.#connected(signal);
    if (waitMs > 0 && this.#opening === undefined) throw this.#backOff.sentence;
    const soon = AbortSignal.any([signal, AbortSignal.timeout(WORTH_ANOTHER_TRY_MS)]);
    return this.#connected(soon).catch((error) => {
      throw soon.aborted && !signal.aborted ? away : error;
    });
  }

  /** A client that is connected, if need be to a server that is started for it. */
  async #connected(signal: AbortSignal): Promise<Client> {
    if (this.#client !== undefined) return this.#client;
    const { waitMs } = this.#backOff;
    if (waitMs > WORTH_WAITING_MS) throw this.#backOff.sentence;
    if (waitMs > 0) await pause(waitMs, undefined, { signal });
    if (this.#isClosed) throw new ServerGone('was ended', undefined);
    this.#opening ??= this.#connect().finally(() => {
      this.#opening = undefined;
    });
    return raced(this.#opening, signal);
  }

  async #connect(): Promise<Client> {
    const { open, version, roots, connectMs } = this.#options;
    const client = new Client({ name: 'capybara', version }, { capabilities: { roots: {} } });
    client.setRequestHandler(ListRootsRequestSchema, async () => ({
      roots: (await roots()).map((path) => ({ uri: pathToFileURL(path).href })),
    }));
    client.setNotificationHandler(ToolListChangedNotificationSchema, () => {
      this.#tools = undefined;
      this.#options.onTools?.();
    });
    const startedAt = performance.now();
    let transport: Transport | undefined;
    try {
      transport = await open();
      this.#transport = transport;
      if (this.#isClosed) throw new ServerGone('was ended', undefined);
      // The client's own limit begins when the transport has started, which an address that never answers keeps it from.
      await raced(client.connect(transport, { timeout: connectMs }), AbortSignal.timeout(connectMs));
      if (this.#isClosed) throw new ServerGone('was ended', undefined);
    } catch (error) {
      const failure = this.#connectFailure(error, transport);
      await client.close().catch(() => undefined);
      // One that had to be ended tells what it said then.
      const said = failure.errors ?? goneOf(transport)?.errors;
      const gone = said === failure.errors ? failure : new ServerGone(failure.message, said);
      this.#backOff.failed(gone, performance.now() - startedAt);
      throw gone;
    }
    client.onclose = () => this.#lost(client, startedAt);
    this.#client = client;
    if (this.#goneOf() !== undefined) this.#lost(client, startedAt);
    this.#options.onTools?.();
    return client;
  }

  #connectFailure(error: unknown, transport: Transport | undefined): ServerGone {
    const gone = goneOf(transport);
    if (gone !== undefined) return gone;
    if (error instanceof ServerGone) return error;
    if (isTooLate(error))
      return new ServerGone(
        `did not answer within ${this.#options.connectMs / 1_000} s of its start`,
        undefined,
      );
    const { why, errors } = describeFailure(error);
    return new ServerGone(why, errors);
  }

  #lost(client: Client, startedAt: number): void {
    if (this.#client !== client) return;
    this.#client = undefined;
    this.#tools = undefined;
    if (this.#isClosed) return;
    const isSteady = performance.now() - startedAt >= STEADY_MS;
    this.#backOff.ended(this.#goneOf() ?? new ServerGone('closed the connection', undefined), isSteady);
  }

  #goneOf(): ServerGone | undefined {
    return goneOf(this.#transport);
  }

  #asGone(error: unknown): ServerGone {
    const gone =
      error instanceof ServerGone ? error : this.#client === undefined ? this.#goneOf() : undefined;
    if (gone !== undefined) return gone;
    const { why, errors } = describeFailure(error);
    return new ServerGone(why, errors);
  }

  async #list(client: Client): Promise<ServerOffer> {
    const offer = await offerOf(client, this.#options.connectMs);
    this.#backOff.works();
    return offer;
  }

  async #drop(client: Client): Promise<void> {
    if (this.#client === client) this.#client = undefined;
    this.#tools = undefined;
    delete client.onclose;
    await client.close().catch(() => undefined);
  }

  /** Resolves when nothing of the server is left that was started for it. */
  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#opening !== undefined) {
      // One that does not answer is not waited for.
      await this.#transport?.close().catch(() => undefined);
      await this.#opening.catch(() => undefined);
    }
    const client = this.#client;
    this.#client = undefined;
    await client?.close();
  }
}
