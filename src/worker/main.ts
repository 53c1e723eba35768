/** The worker's main file: builds one from the configuration. */
import { join } from 'node:path';
import { type Backends, openBackends } from '../backends.ts';
import { type Config, commandEnvironment, repositoryPolicy } from '../config.ts';
import { messageOf } from '../core/errors.ts';
import { DEFAULT_RETRY } from '../core/retry.ts';
import { DEFAULT_COOL_DOWN } from '../core/router.ts';
import { type Log, silentLog } from '../log.ts';
import { allowancesOf } from '../model/allowance.ts';
import { createModels } from '../model/providers.ts';
import { createBubblewrapSandbox } from '../sandbox/bubblewrap.ts';
import { decideSandbox, type SandboxChoice, sandboxSentence } from '../sandbox/choose.ts';
import { createDockerSandbox } from '../sandbox/docker.ts';
import { installGitSetup } from '../sandbox/git-setup.ts';
import { findGroupPlace, groupsSentence } from '../sandbox/group-place.ts';
import { controllersFor, type GroupLimits, Groups } from '../sandbox/groups.ts';
import { openWay, UNPRIVILEGED } from '../sandbox/runner.ts';
import { createRuntimeSandbox } from '../sandbox/runtime.ts';
import type { LeasedSandbox } from '../sandbox/sandbox.ts';
import { createUnconfinedSandbox } from '../sandbox/unconfined.ts';
import type { Profile } from '../sandbox/view.ts';
import { migrate } from '../store/migrate.ts';
import { checkSealed } from '../store/sealed-rows.ts';
import { Sealing } from '../store/sealing.ts';
import { builtinTools } from '../tools/builtin.ts';
import { configuredTools } from '../tools/configured.ts';
import { createRegistry } from '../tools/registry.ts';
import type { Tool } from '../tools/tool.ts';
import { openTracing, type Tracing } from '../tracing/tracing.ts';
import { VERSION } from '../version.ts';
import { readKeys } from '../workspace/git/credentials.ts';
import { DEFAULT_LEASE } from './lease.ts';
import type { McpOptions } from './mcp-tools.ts';
import type { RepositorySettings } from './provision.ts';
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
  const sandbox = await sandboxFor(config, 'strict');
  const backends = openBackends(config, log);
  try {
    await migrate(backends.directUrl, { log: (line) => log.info({}, line) });
    await checkSealed(backends.db, new Sealing(config.encryptionKey ?? []));
    const tracing = await openTracing(config.tracing, { log, role: 'worker' });
    const worker = await composeWorker(config, { backends, log, tracing, sandbox, ...additions });
    const stop = async () => {
      try {
        await worker.stop();
      } finally {
        await Promise.all([tracing.close(), backends.close()]);
      }
    };
    return { stop };
  } catch (error) {
    await backends.close();
    throw error;
  }
}

/**
 * How commands are confined: `strict` on a server, `local` on one's own machine.
 *
 * @throws UserError `sandbox_missing` (exit code 3) where they must be confined and cannot be.
 */
export function sandboxFor(config: Config, profile: Profile): Promise<SandboxChoice> {
  const { sandbox, docker, dataDir, commands } = config;
  const environment = commandEnvironment();
  return decideSandbox(sandbox, { profile, environment, docker, dataDir, unprivileged: commands.user });
}

export interface WorkerParts extends WorkerAdditions {
  readonly backends: Backends;
  readonly log: Log;
  readonly tracing: Tracing;
  readonly sandbox: SandboxChoice;
}

/** A worker over connections that the caller opened and closes. */
export async function composeWorker(config: Config, parts: WorkerParts): Promise<RunningWorker> {
  const { backends, log, tracing, moreTools = [] } = parts;
  log.info({ sandbox: parts.sandbox.name }, sandboxSentence(parts.sandbox));
  const workspaceOwner = ownerOfWorkspaces(config, parts.sandbox);
  const groups = await openGroups(limitsOfCommands(config.commands), parts);
  const sandbox = openSandbox(config, parts.sandbox, { groups, log });
  const { db, queue: backend, bus, directUrl } = backends;
  try {
    const worker = await startWorker({
      ...{ db, backend, bus, directUrl, sandbox, log, tracing, workspaceOwner },
      models: createModels(config.providers, {
        model: config.model,
        aliases: config.aliases,
        models: config.models,
        ...limitsOf(config),
      }),
      retry: { ...DEFAULT_RETRY, tries: config.modelTries },
      coolDown: { ...DEFAULT_COOL_DOWN, firstMs: config.modelCoolDownSeconds * 1_000 },
      allowances: allowancesOf(config.providers),
      tools: createRegistry([...configuredTools(builtinTools(config), config.tools), ...moreTools]),
      dataDir: config.dataDir,
      sharedSnapshots: config.snapshots,
      repositories: repositorySettings(config, parts.sandbox),
      version: VERSION,
      concurrency: config.concurrency,
      mcp: serversOf(config),
      background: limitsOfBackground(config.background),
      mapTokens: config.projectMap.tokens,
      keep: {
        filesMs: config.keep.filesDays * DAY_MS,
        uploadsMs: config.keep.uploadsDays * DAY_MS,
        auditMs: config.keep.auditDays * DAY_MS,
        deliveriesMs: config.keep.deliveriesDays * DAY_MS,
      },
      deliveries: {
        policy: { allow: config.webhooks?.allow ?? [], online: !config.offline },
        sealing: new Sealing(config.encryptionKey ?? []),
      },
    });
    return { id: worker.id, stop: () => worker.stop().finally(() => sandbox.close()) };
  } catch (error) {
    await sandbox.close();
    throw error;
  }
}

/** Undefined where commands do not run in bubblewrap, or can have none; the log says why. */
async function openGroups(limits: GroupLimits, { sandbox, log }: WorkerParts): Promise<Groups | undefined> {
  if (sandbox.name !== 'bubblewrap') return undefined;
  const place = findGroupPlace(controllersFor(limits));
  try {
    const groups = place.works ? await Groups.open(place.base, limits) : undefined;
    log.info({ groups: groups?.directory ?? null }, groupsSentence(place));
    return groups;
  } catch (error) {
    log.warn({ error: messageOf(error) }, 'commands have no control groups: they could not be made');
    return undefined;
  }
}

/** The caller closes it. */
export function openSandbox(
  config: Config,
  choice: SandboxChoice,
  { groups, log = silentLog }: { readonly groups?: Groups | undefined; readonly log?: Log } = {},
): LeasedSandbox {
  const { name, profile, program, programs, engine } = choice;
  const { dataDir, commands } = config;
  const git = installGitSetup(join(dataDir, 'git'));
  const { leaseMs } = DEFAULT_LEASE;
  const shared = { environment: commandEnvironment(), leaseMs, git, freeBytes: commands.freeMib * MIB };
  const confined = { ...shared, profile, limits: limitsOfCommands(commands) };
  const unprivilegedUser = commands.user ?? UNPRIVILEGED;
  if (name === 'docker' && engine !== undefined) {
    const onError = (error: unknown) =>
      log.warn({ error: messageOf(error) }, 'could not look for containers that dead workers left');
    const directory = join(dataDir, 'docker');
    return createDockerSandbox({ ...confined, unprivilegedUser, engine, directory, onError });
  }
  if (name === 'none' || program === undefined) return createUnconfinedSandbox(shared);
  const hidden = [dataDir];
  if (programs !== undefined) return createRuntimeSandbox({ ...confined, hidden, programs });
  const onTrouble = (reason: string) => log.warn({ reason }, 'a command has no control group of its own');
  return createBubblewrapSandbox({ ...confined, unprivilegedUser, program, hidden, groups, onTrouble });
}

/** A server's worker that is root keeps the files of its sessions for the user whom their commands run as. */
export function ownerOfWorkspaces({ dataDir, commands }: Config, { name, profile }: SandboxChoice) {
  if (name === 'none' || profile !== 'strict' || process.getuid?.() !== 0) return undefined;
  openWay(dataDir, ['workspaces', 'scratch']);
  return commands.user ?? UNPRIVILEGED;
}

function limitsOfCommands({ memoryMib, fileMib, ...others }: Config['commands']) {
  const { processes, openFiles, cpuSeconds, cpus } = others;
  return { memoryBytes: memoryMib * MIB, fileBytes: fileMib * MIB, processes, openFiles, cpuSeconds, cpus };
}

/** On one's own machine a person clones what they could clone themselves, with their own ssh. */
function repositorySettings(config: Config, { profile }: SandboxChoice): Partial<RepositorySettings> {
  const { credentials, sshKey, mib, seconds, cacheMib } = config.git;
  const isOwn = profile === 'local';
  return {
    policy: repositoryPolicy(config, { own: isOwn }),
    keys: readKeys(credentials),
    sshKey,
    sshAgent: isOwn ? commandEnvironment().SSH_AUTH_SOCK : undefined,
    bytes: mib * MIB,
    timeoutMs: seconds * 1_000,
    cacheBytes: cacheMib * MIB,
  };
}

/** Undefined: agents have no tools of servers. */
export function serversOf(config: Config): McpOptions | undefined {
  return config.mcp.enabled ? configuredServers(config) : undefined;
}

/** Whether they are used or not. */
export function configuredServers({ mcp, encryptionKey = [] }: Pick<Config, 'mcp' | 'encryptionKey'>) {
  const { servers, teamServers, projectServers, allow, ...times } = mcp;
  const { connectSeconds, callSeconds, idleSeconds, messageKib } = times;
  const limits = { connectSeconds, callSeconds, idleSeconds, messageBytes: messageKib * 1024 };
  const sealing = new Sealing(encryptionKey);
  const ofTeam = teamServers === 'none' ? {} : { ofTeam: { allowed: teamServers, sealing } };
  return { servers, hasProjects: projectServers, limits, allow, sealing, ...ofTeam } satisfies McpOptions;
}

function limitsOfBackground({ processes, lifetimeSeconds, idleSeconds, bufferKib }: Config['background']) {
  const times = { lifetimeMs: lifetimeSeconds * 1_000, idleMs: idleSeconds * 1_000 };
  return { processes, ...times, bufferBytes: bufferKib * 1024 };
}

const MIB = 1024 * 1024;
const DAY_MS = 24 * 60 * 60_000;

function limitsOf({ modelFirstTokenSeconds, modelIdleSeconds, modelAnswerMib, modelImages: images }: Config) {
  const timeouts = {
    ...(modelFirstTokenSeconds === undefined ? {} : { firstTokenMs: modelFirstTokenSeconds * 1_000 }),
    idleMs: modelIdleSeconds * 1_000,
  };
  return { timeouts, images, answerBytes: modelAnswerMib * MIB };
}
