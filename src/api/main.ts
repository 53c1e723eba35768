/** The API's main file: builds one from the configuration. */
import { join } from 'node:path';
import { type Agents, createAgents } from '../agents/agents.ts';
import { type Backends, openBackends } from '../backends.ts';
import { systemClock } from '../clock.ts';
import { type Config, repositoryPolicy } from '../config.ts';
import { sayRuleOfUnknownAgent } from '../core/agent-names.ts';
import { UserError } from '../core/errors.ts';
import { checkRepository, readRef } from '../core/repository.ts';
import { sayUnknownTools } from '../core/tool-names.ts';
import type { Log } from '../log.ts';
import { createModels, type ModelRegistry } from '../model/providers.ts';
import { migrate } from '../store/migrate.ts';
import { checkSealed } from '../store/sealed-rows.ts';
import { Sealing } from '../store/sealing.ts';
import { builtinTools } from '../tools/builtin.ts';
import { configuredTools } from '../tools/configured.ts';
import { createRegistry } from '../tools/registry.ts';
import type { Tool } from '../tools/tool.ts';
import { openTracing, type Tracing } from '../tracing/tracing.ts';
import { checkBeside, checkLocalPath } from '../workspace/kinds.ts';
import { openSnapshots } from '../workspace/snapshots/open-snapshots.ts';
import { uploadLimits } from '../workspace/uploads/limits.ts';
import { openUploads } from '../workspace/uploads/uploads.ts';
import { showAgents } from './agent-routes.ts';
import { type Api, type ApiDeps, createApi } from './app.ts';
import { profileOf } from './profile-of.ts';
import { Scheduler } from './scheduler.ts';
import { listen } from './server.ts';
import type { CreateTask } from './wire.ts';

const EVERY_ADDRESS = '0.0.0.0';
/** How long a request waits for a Postgres that is away, and for an answer of one that is slow or silent; then 503. */
const PATIENCE = { ms: 3_000, totalMs: 5_000 };

/** What a program that is built on an API adds to it; no setting does. */
export interface ApiAdditions {
  /** Tools that agents may be given beside the built-in ones: the workers have them too. */
  readonly moreTools?: readonly Tool[];
  readonly host?: string;
}

/**
 * The API of a server, on every address of this machine: its own connections, the database brought up to date first. Throws
 * `UserError` (exit code 3) where there is no database, what is sealed in it cannot be opened, or the port is taken.
 */
export async function runApi(
  config: Config,
  log: Log,
  { host = EVERY_ADDRESS, moreTools = [] }: ApiAdditions = {},
): Promise<{ readonly url: string; stop(): Promise<void> }> {
  const backends = openBackends(config, log);
  try {
    await migrate(backends.directUrl, { log: (line) => log.info({}, line) });
    await checkSealed(backends.db, new Sealing(config.encryptionKey ?? []));
    const tracing = await openTracing(config.tracing, { log, role: 'api' });
    const api = composeApi(config, { backends, log, tracing, moreTools, allowLocal: false });
    const server = await listen(api.app, { host, port: config.port });
    api.scheduler.start();
    log.info({ url: server.url, queue: backends.queue.kind }, 'the API listens');
    const stop = async () => {
      await Promise.all([server.close(), api.scheduler.close()]);
      await Promise.all([api.close(), tracing.close()]);
    };
    return { url: server.url, stop: () => stop().finally(() => backends.close()) };
  } catch (error) {
    await backends.close();
    throw error;
  }
}

/**
 * Throws the `UserError` that an API of this configuration, which takes local workspaces, would refuse a task with: for
 * whoever would have to start one first.
 */
export async function checkTask(config: Config, body: CreateTask): Promise<void> {
  const { workspace } = body;
  profileOf({ models: modelsOf(config), agents: agentsOf(config, []) }, body);
  if (workspace?.kind === 'local') {
    const root = await checkLocalPath(workspace.path, config);
    const beside = Object.entries(workspace.roots ?? {}).map(([name, { path }]) => ({ name, path }));
    await checkBeside(root, beside, config);
  }
  const sources = workspace?.kind === 'roots' ? Object.values(workspace.roots) : [workspace];
  for (const source of sources) {
    if (source?.kind !== 'git') continue;
    checkRepository(source.url, repositoryPolicy(config, { own: true }));
    readRef(source.ref);
  }
}

/** The agents that an API of this configuration would have: for whoever would have to start one first. */
export function agentsHere(config: Config): ReturnType<typeof showAgents> {
  return showAgents(agentsOf(config, []));
}

function modelsOf({ providers, model, aliases, models, dataDir }: Config): ModelRegistry {
  return createModels(providers, { model, aliases, models, dataDir });
}

function agentsOf(config: Config, moreTools: readonly Tool[]): Agents {
  const { tools, permissions, approvals, mcp } = config;
  const unbound = sayRuleOfUnknownAgent(permissions ?? [], Object.keys(config.agents));
  if (unbound !== undefined) throw new UserError('config_invalid', `permissions: ${unbound}.`);
  const registry = createRegistry([...configuredTools(builtinTools(config), tools), ...moreTools]);
  const { allowedPaths } = tools;
  return createAgents(registry, {
    rules: permissions,
    allowedPaths,
    approvalSeconds: approvals?.expireAfter,
    agents: config.agents,
    context: config.context,
    servers: mcp.enabled ? Object.keys(mcp.servers) : [],
    hasTeamServers: mcp.enabled && mcp.teamServers !== 'none',
    hasProjectServers: mcp.enabled && mcp.projectServers,
  });
}

/** An API over connections that the caller opened and closes; not listening yet, and handing in nothing that is due. */
export function composeApi(
  config: Config,
  parts: { readonly backends: Backends; readonly log: Log; readonly tracing: Tracing } & Pick<
    ApiDeps,
    'allowLocal'
  > &
    Pick<ApiAdditions, 'moreTools'>,
): { readonly app: Api; readonly scheduler: Scheduler; close(): Promise<void> } {
  const { backends, log, tracing, allowLocal, moreTools = [] } = parts;
  const unknown = sayUnknownTools(
    config.permissions ?? [],
    moreTools.map(({ name }) => name),
  );
  if (unknown !== undefined) log.warn({}, unknown);
  const queue = backends.queue.queue();
  const directory = join(config.dataDir, 'snapshots');
  const snapshots = openSnapshots({ directory, shared: config.snapshots });
  const deps: ApiDeps = {
    ...{
      queue,
      log,
      tracing,
      allowLocal,
      snapshots,
      bus: backends.bus,
      dataDir: config.dataDir,
      clock: systemClock,
    },
    requestsPerMinute: config.api.requestsPerMinute,
    wrongKeysPerMinute: config.api.wrongKeysPerMinute,
    metricsOpen: config.metrics.open,
    corsOrigins: config.api.corsOrigins ?? [],
    sealing: new Sealing(config.encryptionKey ?? []),
    mcp: config.mcp,
    webhooks: { allow: config.webhooks?.allow ?? [], online: !config.offline },
    uploads: openUploads({ directory, limits: uploadLimits(config.uploadMib) }),
    db: backends.db.within(PATIENCE),
    models: modelsOf(config),
    agents: agentsOf(config, moreTools),
    repositories: repositoryPolicy(config, { own: allowLocal === true }),
    schedules: config.schedules,
  };
  const scheduler = new Scheduler(deps);
  const close = async () => {
    await scheduler.close();
    await Promise.all([queue.close(), snapshots.close()]);
  };
  return { app: createApi(deps), scheduler, close };
}
