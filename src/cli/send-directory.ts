/** Sends a directory to a server, as far as the server does not have it. */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { MAX_DIRECTORY_LENGTH, type RootInput, type Workspace } from '../api/wire.ts';
import { type Client, isTransient, ProblemError } from '../client/client.ts';
import type { SentRoot } from './root-flags.ts';
import { rememberOrigin } from './sent-origins.ts';
import { lastSent, nameOf, readRecord, remember, type SentPlace } from './sent-record.ts';
import { number } from './summary.ts';
import { plural } from './tool-lines.ts';
import { oneLine } from './untrusted-text.ts';

/** Before the second try, and twice as long before each that follows. */
const FIRST_PAUSE_MS = 1_000;
const TRIES = 4;
/** How often a person who watches is told how far it is. */
const PROGRESS_MS = 3_000;
const PRUNE_MS = 7 * 24 * 60 * 60_000;
const LEFT_OUT_SHOWN = 3;
const PATH_COLUMNS = 100;

export interface SendOptions {
  readonly client: Client;
  readonly place: SentPlace;
  /** Told in lines how much was sent, and what was not; nobody wants to know where it is left out. */
  readonly tell?: ((line: string) => void) | undefined;
  /** Whether a person watches: then also how far it is. */
  readonly isWatched?: boolean;
  readonly signal?: AbortSignal | undefined;
}

type Files = Awaited<ReturnType<typeof import('../workspace/uploads/sent-directory.ts')['readDirectory']>>;

/** Returns the id of what a session can begin with. Throws `UserError`, and `signal`'s reason. */
export async function sendDirectory(options: SendOptions): Promise<string> {
  const { client, place, tell = () => {}, signal } = options;
  const { readDirectory } = await import('../workspace/uploads/sent-directory.ts');
  const before = lastSent(place);
  const { dataDir } = place;
  const read = { dataDir, name: nameOf(place), previous: before?.snapshot };
  const files = await readDirectory(place.directory, read);
  try {
    signal?.throwIfAborted();
    for (const line of leftOutLines(files)) tell(line);
    const base = before && (await held(client, before.workspaceId));
    if (base?.snapshot === files.snapshot) {
      tell('Nothing to send: the server has this directory as it is.');
      return base.id;
    }
    const { workspace, bytes } = await send(files, base, options);
    tell(
      `Sent ${base === undefined ? 'this directory' : 'what changed in this directory'}: ${sizeText(bytes)}.`,
    );
    await finish(files, place, workspace);
    return workspace.id;
  } finally {
    await files.close();
  }
}

/** What the server is told of each: directories are sent, one after the other. */
export async function sendRoots(
  client: Client,
  roots: readonly SentRoot[],
  options: Omit<SendOptions, 'client' | 'place'>,
): Promise<Record<string, RootInput>> {
  const sent: Record<string, RootInput> = {};
  for (const { name, access, source } of roots) {
    if ('kind' in source) {
      sent[name] = source;
      continue;
    }
    const tell = options.tell && ((line: string) => options.tell?.(`${name}: ${line}`));
    const id = await sendDirectory({ ...options, tell, client, place: source });
    rememberOrigin(source, id);
    sent[name] = { kind: 'upload', id, access };
  }
  return sent;
}

/** What the server has still of what was sent before; undefined where nothing can build on it. */
async function held(client: Client, id: string): Promise<Workspace | undefined> {
  try {
    const workspace = await client.workspace(id);
    return workspace.held ? workspace : undefined;
  } catch (error) {
    if (error instanceof ProblemError && error.problem.status === 404) return undefined;
    throw error;
  }
}

interface Sending {
  readonly workspace: Workspace;
  readonly bytes: number;
}

async function send(files: Files, base: Workspace | undefined, options: SendOptions): Promise<Sending> {
  const pack = await files.pack(base?.snapshot);
  const shares = base !== undefined && !pack.isWhole;
  const query = {
    snapshot: files.snapshot,
    directory: labelOf(options.place.directory),
    ...(shares && { base: base.id }),
  };
  try {
    const workspace = await sendPack(pack, query, options);
    return { workspace, bytes: pack.bytes };
  } catch (error) {
    // The server lost it just now.
    if (!shares || !(error instanceof ProblemError) || !LOST.includes(error.code)) throw error;
    return send(files, undefined, options);
  }
}

const LOST = ['base_missing', 'upload_incomplete', 'not_found'];

async function sendPack(
  pack: { readonly path: string; readonly bytes: number },
  query: Parameters<Client['sendWorkspace']>[0],
  { client, signal, ...options }: SendOptions,
): Promise<Workspace> {
  const key = randomUUID();
  for (let tries = 1; ; tries += 1) {
    const progress = showProgress(pack.bytes, options);
    try {
      return await client.sendWorkspace(query, { ...pack, key, signal, onBytes: progress.onBytes });
    } catch (error) {
      if (!isTransient(error) || tries === TRIES) throw error;
    } finally {
      progress.end();
    }
    await delay(FIRST_PAUSE_MS * 2 ** (tries - 1), undefined, { signal });
  }
}

function showProgress(total: number, { tell, isWatched = false }: Pick<SendOptions, 'tell' | 'isWatched'>) {
  let sent = 0;
  const say = () => tell?.(`… ${sizeText(sent)} of ${sizeText(total)} sent`);
  const timer = isWatched ? setInterval(say, PROGRESS_MS) : undefined;
  return {
    onBytes: (bytes: number) => {
      sent += bytes;
    },
    end: () => clearInterval(timer),
  };
}

async function finish(files: Files, place: SentPlace, { id, snapshot }: Workspace): Promise<void> {
  const { servers, prunedAt } = readRecord(place);
  const { sessionId } = servers[place.url] ?? {};
  const isDue = Date.now() - prunedAt > PRUNE_MS;
  const sent = { workspaceId: id, snapshot, ...(sessionId !== undefined && { sessionId }) };
  remember(place, sent, isDue ? Date.now() : undefined);
  if (isDue) await files.prune([snapshot, ...Object.values(servers).map((each) => each.snapshot)]);
}

function leftOutLines({ leftOut }: Files): string[] {
  const shown = leftOut.slice(0, LEFT_OUT_SHOWN);
  const lines = shown.map(
    ({ path, reason }) => `Not sent: ${oneLine(path, PATH_COLUMNS)} (${reason.replaceAll('_', ' ')})`,
  );
  const more = leftOut.length - shown.length;
  return more > 0 ? [...lines, `Not sent: ${number(more)} more ${plural(more, 'file')}`] : lines;
}

/** Its end says most; what a server would not take of it is shown as something else. */
function labelOf(directory: string): string {
  return directory
    .replace(/[\p{Cc}\p{Cs}]/gu, '\ufffd')
    .slice(-MAX_DIRECTORY_LENGTH)
    .toWellFormed();
}

const UNITS = ['bytes', 'KiB', 'MiB', 'GiB'];

/** `12 bytes`, `3.4 MiB`. */
export function sizeText(bytes: number): string {
  let [size, unit] = [bytes, 0];
  for (; size >= 1024 && unit < UNITS.length - 1; unit += 1) size /= 1024;
  return `${unit === 0 ? size : size.toFixed(1)} ${UNITS[unit]}`;
}
