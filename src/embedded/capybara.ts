/**
 * The whole of Capybara in one process: Postgres, API and worker on one data directory. The same parts as on a cluster, with
 * other addresses.
 */
import { composeApi } from '../api/main.ts';
import { listen } from '../api/server.ts';
import { type Backends, openBackends } from '../backends.ts';
import type { Config } from '../config.ts';
import { UserError } from '../core/errors.ts';
import type { Log } from '../log.ts';
import { migrate } from '../store/migrate.ts';
import { openTracing, type Tracing } from '../tracing/tracing.ts';
import { composeWorker, sandboxFor } from '../worker/main.ts';
import { lockDataDir, openDataDir, readServerInfo, removeServerInfo, writeServerInfo } from './data-dir.ts';
import { openEncryptionKey, unopenedNotice } from './encryption-key.ts';
import { openOwnKey } from './own-key.ts';
import { startPostgres } from './postgres.ts';

export interface RunningCapybara {
  readonly url: string;
  readonly apiKey: string;
  readonly sandbox: Sandboxing;
  /** What its person has to know of this start: a sentence. */
  readonly notice?: string;
  /** Of webhooks that nothing can be signed for: a sentence. */
  readonly webhooks?: string;
  /** Hands turns back, closes streams and connections, stops Postgres. */
  stop(): Promise<void>;
}

/** How commands are confined, and why: a sentence. */
export interface Sandboxing {
  readonly name: 'bubblewrap' | 'runtime' | 'docker' | 'none';
  readonly reason: string;
}

export interface CapybaraOptions {
  /** 0: any free one. */
  readonly port?: number;
  readonly log: Log;
  /** Whether it works on its tasks; else it only answers, and tasks wait for the next one. Default true. */
  readonly works?: boolean;
  /** Postgres, or the whole, ended without being asked to. */
  readonly onFailed?: (reason: string) => void;
}

/** Only this machine may talk to it. */
const HOST = '127.0.0.1';

/**
 * Starts Capybara on the data directory, and resolves when it takes tasks.
 *
 * @throws UserError `already_running` where another process serves this data directory; `data_dir`, `port_in_use`,
 * `postgres_start` with exit code 3.
 */
export async function startCapybara(config: Config, options: CapybaraOptions): Promise<RunningCapybara> {
  openDataDir(config.dataDir);
  const lock = lockDataDir(config.dataDir);
  if (lock === undefined) {
    const url = readServerInfo(config.dataDir)?.url;
    const where = url === undefined ? '' : `, at ${url}`;
    throw new UserError('already_running', `A Capybara already runs on ${config.dataDir}${where}.`, 3);
  }
  const parts = new Parts();
  parts.add(() => lock.release());
  try {
    return await assemble(config, options, parts);
  } catch (error) {
    await parts.stop();
    throw error;
  }
}

async function assemble(given: Config, options: CapybaraOptions, parts: Parts): Promise<RunningCapybara> {
  const { dataDir } = given;
  const encryptionKey = openEncryptionKey(dataDir);
  const config = { ...given, encryptionKey: [encryptionKey] };
  const { log, port = given.port, works = true, onFailed } = options;
  const sandbox = await sandboxFor(config, 'local');
  const postgres = await startPostgres({ dataDir, log: (line) => log.debug({}, line) });
  parts.add(() => postgres.stop());
  await migrate(postgres.url, { log: (line) => log.debug({}, line) });

  const backends = openBackends(embeddedConfig(config, postgres.url), log);
  parts.add(() => backends.close());
  void postgres.ended.then((lines) => {
    if (parts.stopping) return;
    // It never comes back under this address: nobody waits for it, so that the parts can stop at once.
    void backends.db.close();
    onFailed?.(`The embedded Postgres ended: ${lines}`);
  });
  const key = await openOwnKey(backends.db, dataDir);
  const webhooks = await unopenedNotice(backends.db, encryptionKey);

  const tracing = await openTracing(config.tracing, { log, role: 'embedded' });
  parts.add(() => tracing.close());
  const url = await serve(config, { backends, log, tracing, port, works, sandbox }, parts);
  const about = { apiKeyFile: key.path, sandbox: sandbox.name, offline: config.offline };
  writeServerInfo(dataDir, { url, pid: process.pid, ...about });
  parts.add(() => removeServerInfo(dataDir));
  const { apiKey, notice } = key;
  const told = { ...(notice && { notice }), ...(webhooks && { webhooks }) };
  return { url, apiKey, sandbox, ...told, stop: () => parts.stop() };
}

interface Serving {
  readonly backends: Backends;
  readonly log: Log;
  readonly tracing: Tracing;
  readonly port: number;
  readonly works: boolean;
  readonly sandbox: Awaited<ReturnType<typeof sandboxFor>>;
}

async function serve(config: Config, serving: Serving, parts: Parts): Promise<string> {
  const { backends, log, tracing, port, works, sandbox } = serving;
  if (works) {
    const worker = await composeWorker(config, { backends, log, tracing, sandbox });
    parts.add(() => worker.stop());
  }
  const api = composeApi(config, { backends, log, tracing, allowLocal: true });
  parts.add(() => api.close());
  const server = await listen(api.app, { host: HOST, port });
  parts.add(() => server.close());
  // One that only answers a command hands in nothing that nobody would work on.
  if (works) api.scheduler.start();
  return server.url;
}

/** The truth is the cluster that was just started, whatever server the configuration names. */
function embeddedConfig(config: Config, databaseUrl: string): Config {
  const { databaseDirectUrl: _, ...rest } = config;
  return { ...rest, databaseUrl };
}

/** What was started, stopped in the opposite order, once. */
class Parts {
  readonly #stops: (() => unknown)[] = [];
  #stopped: Promise<void> | undefined;

  add(stop: () => unknown): void {
    this.#stops.push(stop);
  }

  get stopping(): boolean {
    return this.#stopped !== undefined;
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stopAll();
    return this.#stopped;
  }

  /** A part that fails to stop does not keep the others running; the first failure is told at the end. */
  async #stopAll(): Promise<void> {
    const failures: unknown[] = [];
    for (const stop of this.#stops.toReversed()) {
      try {
        await stop();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}
