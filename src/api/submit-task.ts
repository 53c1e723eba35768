/** `POST /v1/tasks`: from what a person asked for to a committed task. */
import { createHash } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import { isAbsolute, relative } from 'node:path';
import { newId } from '../clock.ts';
import type { ProjectTerms } from '../config/layers.ts';
import { projectTerms } from '../config.ts';
import { fromPublicId } from '../core/id.ts';
import { type ConfiguredRule, rulesUnder } from '../core/permission.ts';
import { checkRepository, readRef } from '../core/repository.ts';
import { titleOf } from '../core/title.ts';
import type { LocalSource, ProjectServers } from '../core/workspace.ts';
import type { Caller } from '../store/keys.ts';
import {
  createTask,
  type NewTask,
  type Submission,
  type SubmitOutcome,
  type TaskSession,
} from '../store/tasks.ts';
import { readSessionFiles } from '../store/views-files.ts';
import { findIdempotent } from '../store/views-tasks.ts';
import { checkBeside, checkLocalPath } from '../workspace/kinds.ts';
import { saidParts } from './attachments.ts';
import { delegating } from './delegates.ts';
import { type ApiDeps, announce } from './deps.ts';
import { rootsWorkspace, rulesOfRoots } from './named-roots.ts';
import {
  ApiProblem,
  badRequest,
  conflict,
  IDEMPOTENCY_HEADER,
  idempotencyConflict,
  inField,
  notFound,
  sharedFiles,
} from './problem.ts';
import { profileOf } from './profile-of.ts';
import { checkPrompt } from './prompt.ts';
import { accountsOf } from './task-limits.ts';
import { type NewWorkspace, uploadedTerms, uploadedWorkspace } from './uploaded-files.ts';
import { taskTargetOf } from './webhook-routes.ts';
import { type CreateTask, LimitsInput } from './wire.ts';

export interface TaskRequest {
  readonly caller: Caller;
  readonly body: CreateTask;
  readonly idempotencyKey: string | undefined;
  /** What the task is to be part of (W3C Trace Context). */
  readonly traceparent?: string | undefined;
}

/**
 * Commits the task and returns its UUID. A repeat under the same key returns the first one's, whatever has changed since.
 * Throws `ApiProblem` or `UserError` with nothing written.
 */
export async function submitTask(deps: ApiDeps, request: TaskRequest): Promise<string> {
  const { caller, body, idempotencyKey: key, traceparent } = request;
  const { teamId, userId } = caller;
  const requestHash = hashOf(body);
  const repeated = await repeatedTask(deps, teamId, { key, requestHash });
  if (repeated !== undefined) return repeated;

  const ready = await readyTask(deps, teamId, { body, traceparent });
  const idempotency = key === undefined ? {} : { idempotency: { key, requestHash } };
  const outcome = await createTask(deps.db, { teamId, userId, ...ready, ...idempotency });
  return committed(deps, outcome, body);
}

/** The UUID of the task that the key has made. Throws `ApiProblem` where it was sent with something else, or its task is no more. */
export async function repeatedTask(
  { db }: Pick<ApiDeps, 'db'>,
  teamId: string,
  { key, requestHash }: { readonly key: string | undefined; readonly requestHash: string },
): Promise<string | undefined> {
  const repeated = key === undefined ? undefined : await findIdempotent(db, { teamId, key });
  if (repeated !== undefined && repeated.requestHash !== requestHash) throw idempotencyConflict();
  if (repeated?.taskId === null) throw taskDeleted();
  return repeated?.taskId;
}

/** All that is checked and read before the commit. Throws `ApiProblem` or `UserError` with nothing but attached files written. */
export async function readyTask(
  deps: ApiDeps,
  teamId: string,
  { body, traceparent }: Pick<TaskRequest, 'body' | 'traceparent'>,
): Promise<Pick<Submission, 'session' | 'task'>> {
  checkPrompt(body.prompt, 'prompt');
  const session = await sessionOf(deps, teamId, body);
  const { webhookUrl: url } = body;
  const webhookUrl = url === undefined ? undefined : await taskTargetOf(deps, teamId, url);
  const { rules: restrictions, servers } = await termsOfProject(deps, teamId, session);
  const parts = await saidParts(deps, session.id, { text: body.prompt, attachments: body.attachments });
  const task = newTask(deps, body, { restrictions, traceparent, parts });
  return {
    session: beginningWith(session, servers),
    task: webhookUrl === undefined ? task : { ...task, webhookUrl },
  };
}

/** Kept with a session that begins: an agent may edit the file, and gives itself no server, not for a later task either. */
function beginningWith(session: TaskSession, servers: ProjectServers): TaskSession {
  if (!('workspace' in session) || Object.keys(servers).length === 0) return session;
  return { ...session, workspace: { ...session.workspace, projectServers: servers } };
}

/** The UUID of the task, of which others are told; throws `ApiProblem` where there is none. */
export function committed(
  deps: Pick<ApiDeps, 'bus' | 'queue' | 'log'>,
  outcome: SubmitOutcome,
  body: Pick<CreateTask, 'sessionId'>,
): string {
  switch (outcome.outcome) {
    case 'created':
    case 'repeated':
      announce(deps, outcome);
      return outcome.taskId;
    case 'idempotency_conflict':
      throw idempotencyConflict();
    case 'task_deleted':
      throw taskDeleted();
    case 'session_not_found':
      throw notFound(`session ${body.sessionId}`, 'sessionId');
    case 'session_shared':
      throw sharedFiles(`${body.sessionId}`);
    case 'session_archived':
      throw conflict(
        'session_archived',
        `The session ${body.sessionId} is archived and takes no more tasks: unarchive it first.`,
        'sessionId',
      );
  }
}

function taskDeleted(): ApiProblem {
  return conflict(
    'task_deleted',
    'The task that this Idempotency-Key made was deleted with its session: send a new key for a new task.',
    IDEMPOTENCY_HEADER,
  );
}

/** The same for two bodies that say the same, in whatever order. */
export function hashOf(body: unknown): string {
  const sorted = JSON.stringify(body, (_name, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
  return createHash('sha256').update(sorted).digest('hex');
}

/**
 * Read once, here: an agent may edit the file, and changes nothing for its own task. Those of a repository are read when it is
 * cloned (`worker/provision.ts`), those of a copy of a person's own directory when it is made (`fork-routes.ts`).
 */
async function termsOfProject(deps: ApiDeps, teamId: string, session: TaskSession): Promise<ProjectTerms> {
  const { id } = session;
  const isNew = 'workspace' in session;
  const files = isNew
    ? { ...session.workspace, rules: null }
    : await readSessionFiles(deps.db, { teamId, id });
  const { kind, path, lineage, base, source, rules } = files ?? {};
  if (rules != null) return { rules, servers: {} };
  // From its second task on they are among what was found when its roots were put together.
  if (source && 'roots' in source)
    return { rules: isNew ? await rulesOfRoots(deps, source) : [], servers: {} };
  if (kind === 'upload' && lineage && base) return uploadedTerms(deps, { lineage, base });
  const own = path == null ? NO_TERMS : projectTerms(path);
  if (!source || !('beside' in source)) return own;
  return { ...own, rules: [...own.rules, ...rulesBeside(source)] };
}

const NO_TERMS: ProjectTerms = { rules: [], servers: {} };

function newTask(
  deps: ApiDeps,
  body: CreateTask,
  given: Pick<NewTask, 'parts' | 'traceparent'> & { readonly restrictions: readonly ConfiguredRule[] },
): NewTask {
  const { clock, models, agents } = deps;
  const { restrictions, parts, traceparent } = given;
  const profile = profileOf(deps, body, restrictions);
  const limits = { ...LimitsInput.parse(agents.find(body.agent).limits), ...body.limits };
  const accounts = accountsOf(models, limits, profile);
  return {
    id: newId(clock),
    turnId: newId(clock),
    messageId: newId(clock),
    parts,
    ...delegating(deps, body, { profile, restrictions, limits: accounts.limits }),
    ...accounts,
    metadata: body.metadata ?? {},
    traceparent,
  };
}

async function sessionOf(deps: ApiDeps, teamId: string, body: CreateTask): Promise<TaskSession> {
  const { sessionId, workspace = { kind: 'empty' } } = body;
  const { clock } = deps;
  if (sessionId === undefined) {
    const found = await workspaceOf(deps, teamId, workspace).catch(inField('workspace'));
    return { id: newId(clock), title: titleOf(body.prompt), workspace: { id: newId(clock), ...found } };
  }
  if (body.workspace !== undefined) {
    throw badRequest(
      'workspace_given',
      'A session keeps its workspace: leave out workspace, or leave out sessionId for a new session.',
      'workspace',
    );
  }
  const id = fromPublicId('session', sessionId);
  if (id === undefined) throw notFound(`session ${JSON.stringify(sessionId.slice(0, 60))}`, 'sessionId');
  return { id };
}

async function workspaceOf(
  deps: ApiDeps,
  teamId: string,
  asked: NonNullable<CreateTask['workspace']>,
): Promise<NewWorkspace> {
  switch (asked.kind) {
    case 'local':
      return localWorkspace(deps, asked);
    case 'git': {
      // Whether there is such a repository is for a worker to see: who waits for an answer here does not wait for another host.
      const { url } = checkRepository(asked.url, deps.repositories);
      return { kind: 'git', path: null, source: { url, ref: readRef(asked.ref) } };
    }
    case 'upload':
      return uploadedWorkspace(deps, { teamId, id: asked.id });
    case 'empty':
      return { kind: 'empty', path: null };
    case 'roots':
      return rootsWorkspace(deps, teamId, asked.roots);
  }
}

async function localWorkspace(
  deps: ApiDeps,
  { path, roots = {} }: Extract<NonNullable<CreateTask['workspace']>, { kind: 'local' }>,
): Promise<NewWorkspace> {
  const root = await localPath(deps, path);
  const named = Object.entries(roots).sort(([a], [b]) => (a < b ? -1 : 1));
  if (named.length === 0) return { kind: 'local', path: root };
  const allowed = named.map(async ([name, other]) => ({ name, path: await localPath(deps, other.path) }));
  const beside = await checkBeside(root, await Promise.all(allowed), deps);
  return { kind: 'local', path: root, source: { beside } };
}

/** Its files are named by their absolute paths. */
function rulesBeside({ beside }: LocalSource): readonly ConfiguredRule[] {
  return beside.flatMap(({ path }) => rulesUnder(path, projectTerms(path).rules));
}

async function localPath({ allowLocal, dataDir }: ApiDeps, path: string): Promise<string> {
  if (allowLocal === false) throw localRefused();
  const root = await checkLocalPath(path, { dataDir });
  if (allowLocal === true) return root;
  const allowed = await Promise.all(allowLocal.map((each) => realpath(each).catch(() => each)));
  if (!allowed.some((each) => isBelow(each, root))) throw localRefused();
  return root;
}

function isBelow(root: string, path: string): boolean {
  const way = relative(root, path);
  return way !== '..' && !way.startsWith('../') && !isAbsolute(way);
}

function localRefused(): ApiProblem {
  return new ApiProblem({
    status: 403,
    code: 'local_workspace',
    detail:
      'This Capybara does not let agents work in that directory of its machine: use an empty workspace.',
    field: 'workspace',
  });
}
