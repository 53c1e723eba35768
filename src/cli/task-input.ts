/** What `run` and `submit` are told, turned into a task. */
import { resolve } from 'node:path';
import { type CreateTask, LimitsInput, MAX_PROMPT_BYTES, type Session, type Task } from '../api/wire.ts';
import type { Client } from '../client/client.ts';
import type { Config } from '../config.ts';
import { DEFAULT_AGENT } from '../core/agent-names.ts';
import { UserError } from '../core/errors.ts';
import { readAttached } from './attached-files.ts';
import { realDirectory, repositoryIn } from './named-place.ts';
import { type RootPlace, readBeside, readRoots, type SentRoot } from './root-flags.ts';
import { sendDirectory, sendRoots } from './send-directory.ts';
import { lastSent, rememberSession, type SentPlace } from './sent-record.ts';

export interface TaskFlags {
  readonly agent?: string | undefined;
  readonly model?: string | undefined;
  readonly mode?: string | undefined;
  readonly temperature?: string | undefined;
  readonly 'max-tokens'?: string | undefined;
  readonly 'no-tool'?: readonly string[] | undefined;
  readonly limit?: readonly string[] | undefined;
  readonly 'on-limit'?: string | undefined;
  readonly workspace?: string | undefined;
  readonly continue: boolean;
  readonly session?: string | undefined;
  readonly root?: readonly string[] | undefined;
  readonly attach?: readonly string[] | undefined;
}

/** The prompt, from the argument or, for `-`, from `input`. Throws `UserError` where it is empty or too long. */
export async function readPrompt(argument: string, input: AsyncIterable<Buffer>): Promise<string> {
  const prompt = argument === '-' ? await readAll(input) : argument;
  if (prompt.trim() === '') {
    const message =
      'The prompt is empty: say in words what the agent should do, or "-" to read it from stdin.';
    throw new UserError('prompt_empty', message);
  }
  if (Buffer.byteLength(prompt) > MAX_PROMPT_BYTES) throw tooLong();
  return prompt;
}

async function readAll(input: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of input) {
    size += chunk.length;
    if (size > MAX_PROMPT_BYTES) throw tooLong();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function tooLong(): UserError {
  const limit = `${MAX_PROMPT_BYTES / 1024 / 1024} MiB`;
  const message = `The prompt is longer than ${limit}: put what is long into a file of the workspace and name it.`;
  return new UserError('prompt_too_long', message);
}

/**
 * A task that is ready to be sent. `continues`: to the last session of that directory. `sends`: the server works on a copy of the
 * directory, which goes first; with `continues` it is not sent, since its last session has files of its own.
 */
export interface TaskRequest {
  readonly body: CreateTask;
  readonly continues?: string;
  readonly sends?: SentPlace;
  /** To what that id means. */
  readonly session?: string;
  /** Of a workspace of several: those that are directories here go first. */
  readonly roots?: readonly SentRoot[];
}

/** What a person hears of what goes on before there is a task. */
export interface SendTaskOptions {
  /** Makes repeating harmless. */
  readonly key: string;
  readonly tell?: ((line: string) => void) | undefined;
  readonly isWatched?: boolean;
  readonly signal?: AbortSignal;
  /** Told right before the task itself is sent: from then on there may be one. */
  readonly onSend?: () => void;
}

/** Everything that can be wrong without asking a server is said here, before one is started. */
export function readTask(
  prompt: string,
  { flags, config, cwd }: { flags: TaskFlags; config: Config; cwd: string },
): TaskRequest {
  const { model, temperature, maxTokens } = wishesOf(flags, config);
  const limits = limitsOf(flags);
  const body = {
    prompt,
    ...(flags.agent !== undefined && { agent: flags.agent }),
    ...(model !== undefined && { model }),
    ...(flags.mode !== undefined && { mode: flags.mode as NonNullable<CreateTask['mode']> }),
    ...(temperature !== undefined && { temperature }),
    ...(maxTokens !== undefined && { maxTokens }),
    ...(flags['no-tool'] !== undefined && { withoutTools: [...flags['no-tool']] }),
    ...(limits && { limits }),
    ...(flags.attach !== undefined && { attachments: readAttached(flags.attach, cwd) }),
  };
  if (flags.root !== undefined) return withRoots(body, flags.root, { flags, config, cwd });
  if (flags.session !== undefined) return { body, session: sessionOf(flags, flags.session) };
  if (flags.continue && flags.workspace === 'empty') {
    const message =
      '--continue goes on with the last session of a directory, and --workspace empty names none: leave one of them out.';
    throw new UserError('workspace_invalid', message);
  }
  const repository = repositoryIn(flags.workspace);
  if (flags.continue && repository !== undefined) {
    const message =
      '--continue goes on with the last session of a directory, and --workspace names a repository: leave one of them out.';
    throw new UserError('workspace_invalid', message);
  }
  if (repository !== undefined) return { body: { ...body, workspace: repository } };
  if (flags.workspace === 'empty') return { body: { ...body, workspace: { kind: 'empty' } } };
  const directory = directoryOf(flags, cwd);
  const sends = placeOf(config, directory);
  if (flags.continue) return { body, continues: directory, ...(sends && { sends }) };
  return sends ? { body, sends } : { body: { ...body, workspace: { kind: 'local', path: directory } } };
}

/** What the agent's own settings say comes before what is set for all tasks, and after what this one is given. */
function wishesOf(flags: TaskFlags, config: Config): Pick<Config, 'model' | 'temperature' | 'maxTokens'> {
  const agent = config.agents[flags.agent ?? DEFAULT_AGENT] ?? {};
  const given = { model: flags.model, temperature: flags.temperature, maxTokens: flags['max-tokens'] };
  const kept = (['model', 'temperature', 'maxTokens'] as const).filter(
    (name) => agent[name] === undefined || given[name] !== undefined,
  );
  return Object.fromEntries(kept.map((name) => [name, config[name]]));
}

/** Copies of the roots; or, with a directory that is worked on itself, what may be read beside it. */
function withRoots(
  body: CreateTask,
  given: readonly string[],
  { flags, config, cwd }: RootPlace & { readonly flags: TaskFlags },
): TaskRequest {
  if (flags.continue || flags.session !== undefined)
    throw new UserError(
      'root_given',
      '--root begins a session with a workspace of its own: leave out --continue and --session.',
    );
  const roots = readRoots(given, { config, cwd });
  if (flags.workspace === undefined) return { body, roots };
  if (
    config.url === undefined &&
    flags.workspace !== 'empty' &&
    repositoryIn(flags.workspace) === undefined
  ) {
    const path = directoryOf(flags, cwd);
    return { body: { ...body, workspace: { kind: 'local', path, roots: readBeside(path, roots) } } };
  }
  throw new UserError(
    'root_given',
    '--workspace with --root names a directory that the embedded Capybara works on itself: leave it out, and name each root, such as --root app=.',
  );
}

function sessionOf(flags: TaskFlags, session: string): string {
  if (!flags.continue && flags.workspace === undefined) return session;
  throw new UserError(
    'session_given',
    '--session goes on with one session, which has its workspace: leave out --continue and --workspace.',
  );
}

/** Where a directory is sent to; undefined where Capybara works in it. */
export function placeOf({ url, dataDir }: Config, directory: string): SentPlace | undefined {
  return url === undefined ? undefined : { directory, url, dataDir };
}

/** Sends it, and the directory that it works on before. */
export async function sendTask(
  client: Client,
  { body, continues, sends, session, roots }: TaskRequest,
  options: SendTaskOptions,
): Promise<Task> {
  const create = (more: Pick<CreateTask, 'sessionId' | 'workspace'>): Promise<Task> => {
    options.onSend?.();
    return client.createTask({ ...body, ...more }, options.key);
  };
  if (session !== undefined) {
    const { findSession } = await import('./find.ts');
    return create({ sessionId: (await findSession(client, session)).id });
  }
  if (roots !== undefined) {
    const workspace = { kind: 'roots' as const, roots: await sendRoots(client, roots, options) };
    return create({ workspace });
  }
  const sessionId = await continuedSession(client, {
    ...(continues !== undefined && { continues }),
    ...(sends && { sends }),
  });
  if (sends === undefined) return create(sessionId === undefined ? {} : { sessionId });
  if (sessionId !== undefined) {
    options.tell?.(KEEPS_ITS_FILES);
    return create({ sessionId });
  }
  const id = await sendDirectory({ ...options, client, place: sends });
  const task = await create({ workspace: { kind: 'upload', id } });
  rememberSession(sends, task.sessionId);
  return task;
}

/** The session that `--continue` goes on with; undefined where it was not given. */
export async function continuedSession(
  client: Client,
  { continues, sends }: Pick<TaskRequest, 'continues' | 'sends'>,
): Promise<string | undefined> {
  if (continues === undefined) return undefined;
  return sends === undefined ? (await lastSessionOf(client, continues)).id : lastSentSession(sends);
}

const KEEPS_ITS_FILES =
  'The session goes on with its own files, as the agent left them: what was changed here meanwhile is not sent.';

function lastSentSession(place: SentPlace): string {
  const { sessionId } = lastSent(place) ?? {};
  if (sessionId !== undefined) return sessionId;
  throw new UserError(
    'no_session',
    `No session was begun with ${place.directory} on ${new URL(place.url).origin} from this machine yet: leave --continue out to begin one.`,
  );
}

function limitsOf({ limit = [], 'on-limit': onLimit }: TaskFlags): CreateTask['limits'] {
  if (onLimit === undefined) return parseLimits(limit);
  return { ...parseLimits(limit), onLimit: onLimit as 'fail' | 'park' };
}

/** `['turns=5', 'usd=2.5']` → `{turns: 5, usd: '2.5'}`. */
export function parseLimits(
  given: readonly string[],
): Omit<NonNullable<CreateTask['limits']>, 'onLimit'> | undefined {
  if (given.length === 0) return undefined;
  const limits = given.map(parseLimit);
  for (const [name, same] of Map.groupBy(limits, ([each]) => each))
    if (same.length > 1)
      throw new UserError(
        'limit_invalid',
        `--limit gives ${name} ${same.length} times: give each limit once.`,
      );
  return Object.fromEntries(limits);
}

const LEAST: Readonly<Record<string, string>> = {
  usd: 'more than 0, to a millionth',
  children: '0 or more',
  depth: '0 or more',
};

function parseLimit(text: string): [string, number | string] {
  const [, name = '', digits = ''] = /^(\w+)=(\d+|(?<=^usd=)\d*\.\d+)$/.exec(text) ?? [];
  const names = Object.keys(LimitsInput.shape).filter((each) => each !== 'onLimit');
  if (!names.includes(name)) {
    const expected = `NAME=VALUE with a name of ${names.join(', ')} and a whole number, for usd also one such as 2.50`;
    throw new UserError(
      'limit_invalid',
      `--limit ${JSON.stringify(text)} is not a limit: expected ${expected}.`,
    );
  }
  const value = name === 'usd' ? digits.replace(/^\./, '0.') : Number(digits);
  if (LimitsInput.safeParse({ [name]: value }).success) return [name, value];
  const least = LEAST[name] ?? '1 or more';
  const message = `--limit ${text} is out of range: ${name} must be ${least}, and no more than the server allows.`;
  throw new UserError('limit_invalid', message);
}

/** Absolute and real. */
function directoryOf(flags: TaskFlags, cwd: string): string {
  return realDirectory(resolve(cwd, flags.workspace ?? '.'), '--workspace');
}

/** Sessions that `--continue` looks through, newest first. */
export const MAX_SESSIONS_SEARCHED = 1_000;

async function lastSessionOf(client: Client, directory: string): Promise<Session> {
  let cursor: string | undefined;
  for (let searched = 0; searched < MAX_SESSIONS_SEARCHED; ) {
    const { data, nextCursor } = await client.sessions({ limit: 200, cursor });
    const found = data.find(
      ({ workspace, parentId, archivedAt }) =>
        isLocal(workspace, directory) && parentId === null && archivedAt === null,
    );
    if (found) return found;
    if (nextCursor === null) break;
    searched += data.length;
    cursor = nextCursor;
  }
  throw new UserError(
    'no_session',
    `No session has worked in ${directory} yet: leave --continue out to begin one.`,
  );
}

/** Whether Capybara works in that directory itself. */
export function isLocal({ kind, path }: Session['workspace'], directory: string): boolean {
  return kind === 'local' && path === directory;
}
