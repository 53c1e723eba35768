/**
 * The Capybara a command talks to: the configured server, or the embedded one of the data directory, which is joined
 * where it runs and, where the command allows it, started for the while where it does not.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Client, createClient, type Server } from '../client/client.ts';
import type { Config } from '../config.ts';
import { messageOf, UserError } from '../core/errors.ts';
import type { Log } from '../log.ts';
import { endedSentence } from './failure.ts';
import { toldRequests } from './timings.ts';

export interface Connection {
  readonly client: Client;
  /** One whose requests end, as if the person had never asked, when `signal` aborts. */
  clientUntil(signal: AbortSignal): Client;
  /**
   * - `configured`: a server that was named; whoever runs it.
   * - `joined`: the embedded Capybara of another process, which may end at any time.
   * - `own`: started by this process, ends with it.
   */
  readonly kind: 'configured' | 'joined' | 'own';
  /** How an embedded Capybara confines commands; a server is asked by nobody, since it does or was told not to. */
  readonly sandbox?: 'bubblewrap' | 'runtime' | 'docker' | 'none' | undefined;
  /** After a request failed: where an embedded Capybara has gone, finds or (where allowed) starts the next one. */
  recover(): Promise<void>;
  /** Stops what was started. */
  stop(): Promise<void>;
}

export interface ConnectOptions {
  /**
   * Whether an embedded Capybara may be started for the while. `kept`: only where the data directory holds one already,
   * on a free port, and only to begin with: one that was joined and ended is for its owner to start again. `answering`: likewise,
   * and it works on no task, since what it began would be broken off a moment later. `keeping`: as `answering`, and to begin with
   * also where the directory holds none: for what is to be kept there.
   */
  readonly start: boolean | 'kept' | 'answering' | 'keeping';
  /** The port of one that is started; the configured one where not given. All but `true` take a free one. */
  readonly port?: number;
  /** Called before one is started, with its settings: throws what would make it of no use. */
  readonly check?: (config: Config) => Promise<void>;
  /** Ends the wait for one that another process starts: rejects with its reason. */
  readonly signal?: AbortSignal;
  /** Told, in a sentence, when another embedded Capybara serves than before, or lets in with another key. */
  readonly onChange?: (sentence: string) => void;
}

interface RunningCapybara extends Server {
  readonly sandbox: { readonly name: 'bubblewrap' | 'runtime' | 'docker' | 'none' };
  readonly notice?: string;
  stop(): Promise<void>;
}

/** How long another process may take to start the embedded Capybara that this one wants to join, in milliseconds. */
export const JOIN_TIMEOUT_MS = 60_000;
const JOIN_POLL_MS = 100;
const PROBE_TIMEOUT_MS = 2_000;

/** Throws `UserError` (exit code 3) where there is no Capybara. */
export async function connect(config: Config, options: ConnectOptions): Promise<Connection> {
  if (config.url !== undefined) return configured({ url: config.url, apiKey: config.apiKey }, config);
  const embedded = new EmbeddedConnection(config, options);
  await embedded.open();
  return embedded;
}

function configured(server: Server, config: Config): Connection {
  const told = toldRequests(config);
  return {
    client: createClient(server, told),
    clientUntil: (signal) => createClient(server, { ...told, signal }),
    kind: 'configured',
    recover: async () => {},
    stop: async () => {},
  };
}

class EmbeddedConnection implements Connection {
  readonly client: Client;
  #config: Config;
  readonly #options: ConnectOptions;
  #server: Server = { url: 'http://127.0.0.1' };
  #sandbox: Connection['sandbox'];
  #own: RunningCapybara | undefined;
  /** Whether this process started one: then the next is for it to start too. */
  #hasStarted = false;
  /** Settles when one that failed has been stopped; the next may be started then. */
  #failing: Promise<void> | undefined;

  constructor(config: Config, options: ConnectOptions) {
    this.#config = config;
    this.#options = options;
    this.client = createClient(() => this.#server, toldRequests(config));
  }

  clientUntil(signal: AbortSignal): Client {
    return createClient(() => this.#server, { ...toldRequests(this.#config), signal });
  }

  get kind(): 'joined' | 'own' {
    return this.#own ? 'own' : 'joined';
  }

  get sandbox(): Connection['sandbox'] {
    return this.#sandbox;
  }

  async open(): Promise<void> {
    const deadline = Date.now() + JOIN_TIMEOUT_MS;
    while (!(await this.#join()) && !(await this.#start())) {
      if (!this.#mayStart()) throw noneRuns(this.#config.dataDir);
      if (Date.now() > deadline) throw neverReady(this.#config.dataDir);
      const { signal } = this.#options;
      await delay(JOIN_POLL_MS, undefined, signal && { signal });
    }
  }

  async recover(): Promise<void> {
    const failing = this.#failing;
    await failing;
    if (this.#failing === failing) this.#failing = undefined;
    if (this.#own || (await answers(this.#server.url))) return;
    const { url } = this.#server;
    if (this.#options.start === true || this.#hasStarted) await this.open();
    else await this.#join();
    // That it failed, and is started again, was told.
    if (failing || (this.#server.url === url && !this.#own)) return;
    const next = this.#own ? 'this one' : 'the next one';
    this.#options.onChange?.(`The Capybara that ran here ended; ${next} goes on.`);
  }

  async stop(): Promise<void> {
    const own = this.#own;
    this.#own = undefined;
    await this.#failing;
    await own?.stop();
  }

  async #join(): Promise<boolean> {
    const { readServerInfo } = await import('../embedded/data-dir.ts');
    const info = readServerInfo(this.#config.dataDir);
    if (!info || !isAlive(info.pid) || !(await answers(info.url))) return false;
    if (this.#config.offline && !info.offline) throw isOnline(info.url);
    this.#server = { url: info.url, apiKey: readKey(info.apiKeyFile) };
    this.#sandbox = info.sandbox;
    return true;
  }

  #mayStart(): boolean {
    const { start } = this.#options;
    if (typeof start === 'boolean') return start;
    return start === 'keeping' || existsSync(join(this.#config.dataDir, 'postgres'));
  }

  /** `false` where another process got ahead. */
  async #start(): Promise<boolean> {
    if (!this.#mayStart()) return false;
    const { start } = this.#options;
    const works = start !== 'answering' && start !== 'keeping';
    if (works) await this.#findModels();
    await this.#options.check?.(this.#config);
    const { startCapybara } = await import('../embedded/capybara.ts');
    const log = await this.#log();
    const port = start === true ? this.#options.port : 0;
    let early: string | undefined;
    const onFailed = (reason: string) => {
      early = reason;
      this.#fail(reason, log);
    };
    try {
      this.#own = await startCapybara(this.#config, {
        ...(port !== undefined && { port }),
        works,
        log,
        onFailed,
      });
    } catch (error) {
      if (error instanceof UserError && error.code === 'already_running') return false;
      throw error;
    }
    this.#hasStarted = true;
    this.#server = { url: this.#own.url, apiKey: this.#own.apiKey };
    this.#sandbox = this.#own.sandbox.name;
    if (this.#own.notice !== undefined) this.#options.onChange?.(this.#own.notice);
    if (early !== undefined) this.#fail(early, log);
    return true;
  }

  /** One that works needs a model: where no provider is configured, the Ollama of this machine is one. */
  async #findModels(): Promise<void> {
    const { withFoundOllama } = await import('../model/ollama-discovery.ts');
    const { settings, said } = await withFoundOllama(this.#config);
    this.#config = settings;
    if (said !== undefined) this.#options.onChange?.(said);
  }

  /** Stops what is left of this process's own: its streams end with it, and whoever follows one asks to recover. */
  #fail(reason: string, log: Log): void {
    const own = this.#own;
    if (own === undefined) return;
    this.#own = undefined;
    this.#options.onChange?.(`${endedSentence(reason)}: it is started again.`);
    this.#failing = own.stop().catch((error: unknown) => {
      log.debug({ error }, 'a part of what failed did not stop politely');
    });
  }

  /** Errors only, and none of what is broken already: its parts say less than what broke it. */
  async #log(): Promise<Log> {
    const { createLog } = await import('../log.ts');
    if (this.#config.debug) return createLog({ level: 'debug', pretty: true });
    const write = (line: string) => {
      if (!this.#failing) process.stderr.write(line);
    };
    return createLog({ level: 'error', pretty: true, destination: { write } });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

/** The key is not sent: another program may have this port now. */
async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(new URL('/healthz', url), { signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}

function readKey(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    const message = `The key of the embedded Capybara cannot be read (${messageOf(error)}): run as the user who started it.`;
    throw new UserError('no_access', message, 3);
  }
}

/** What it works on leaves this machine, whatever this process does. */
function isOnline(url: string): UserError {
  const message = `The Capybara at ${url} was not started with --offline, and contacts public addresses: stop it and start it with \`capybara up --offline\`, or leave out --offline (CAPYBARA_OFFLINE).`;
  return new UserError('online', message, 3);
}

function noneRuns(dataDir: string): UserError {
  const message = `No Capybara runs on ${dataDir}: start one with \`capybara up\`, or name a server with CAPYBARA_URL.`;
  return new UserError('no_server', message, 3);
}

function neverReady(dataDir: string): UserError {
  const seconds = JOIN_TIMEOUT_MS / 1000;
  const message = `Another process holds ${dataDir} and its Capybara did not answer within ${seconds} s: stop that process, or wait.`;
  return new UserError('no_server', message, 3);
}
