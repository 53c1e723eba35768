/** The worker's main file: builds one from the configuration. */
import { type Backends, openBackends } from '../backends.ts';
import { type Config, commandEnvironment } from '../config.ts';
import { DEFAULT_RETRY } from '../core/retry.ts';
import type { Log } from '../log.ts';
import { createModels } from '../model/providers.ts';
import { createUnconfinedSandbox } from '../sandbox/unconfined.ts';
import { migrate } from '../store/migrate.ts';
import { builtinTools } from '../tools/builtin.ts';
import { configuredTools } from '../tools/configured.ts';
import { createRegistry } from '../tools/registry.ts';
import type { Tool } from '../tools/tool.ts';
import { VERSION } from '../version.ts';
import { DEFAULT_LEASE } from './lease.ts';
import { type RunningWorker, startWorker } from './worker.ts';

/** What a program that is built on a worker adds to it; no setting does. */
export interface WorkerAdditions {
  readonly moreTools?: readonly Tool[];
}

/** A worker of a server: its own connections, the database brought up to date first. */
export async function runWorker(
  config: Config,
  log: Log,
  additions: WorkerAdditions = {},
): Promise<{ stop(): Promise<void> }> {
  const backends = openBackends(config, log);
  try {
    await migrate(backends.directUrl, { log: (line) => log.info({}, line) });
    const worker = await composeWorker(config, { backends, log, ...additions });
    return { stop: () => worker.stop().finally(() => backends.close()) };
  } catch (error) {
    await backends.close();
    throw error;
  }
}

/** A worker over connections that the caller opened and closes. */
export async function composeWorker(
  config: Config,
  parts: { readonly backends: Backends; readonly log: Log } & WorkerAdditions,
): Promise<RunningWorker> {
  const sandbox = createUnconfinedSandbox({
    environment: commandEnvironment(),
    leaseMs: DEFAULT_LEASE.leaseMs,
  });
  const { backends, log, moreTools = [] } = parts;
  const { db, queue: backend, bus, directUrl } = backends;
  try {
    const worker = await startWorker({
      ...{ db, backend, bus, directUrl, sandbox, log },
      models: createModels(config.providers, { model: config.model, ...limitsOf(config) }),
      retry: { ...DEFAULT_RETRY, tries: config.modelTries },
      tools: createRegistry([...configuredTools(builtinTools(), config.tools), ...moreTools]),
      dataDir: config.dataDir,
      version: VERSION,
      concurrency: config.concurrency,
    });
    return { id: worker.id, stop: () => worker.stop().finally(() => sandbox.close()) };
  } catch (error) {
    await sandbox.close();
    throw error;
  }
}

const MIB = 1024 * 1024;

function limitsOf({ modelFirstTokenSeconds, modelIdleSeconds, modelAnswerMib }: Config) {
  const timeouts = { firstTokenMs: modelFirstTokenSeconds * 1_000, idleMs: modelIdleSeconds * 1_000 };
  return { timeouts, answerBytes: modelAnswerMib * MIB };
}
