import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, statSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { extname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { Worker as Thread } from 'node:worker_threads';
import { SEARCH_PATH } from '../snapshots/open-snapshots.ts';
import type { UploadLimits } from './limits.ts';
import type { Receipt } from './receive.ts';
import type { ThreadReply } from './receive-thread.ts';
import { tooLarge, UploadError } from './upload-error.ts';

/** Each may take a limit's worth of disk, and a core. */
const AT_ONCE = 4;
const GIT_MS = 60_000;
/** What a thread may take in memory: the largest that the limits let through takes half. */
const THREAD_MIB = 1024;
const BEGINNING = 'incoming-';
/** Another process of this host may be taking one in. */
const ABANDONED_MS = 24 * 60 * 60_000;

export interface UploadRequest {
  /** Of the whole snapshot. */
  readonly snapshot: string;
  /** Letters, digits, `_`, `-`; names where it is kept. */
  readonly lineage: string;
  /** Whether what the lineage holds need not be sent again. */
  readonly continues: boolean;
}

export interface Uploads {
  readonly limits: UploadLimits;
  /**
   * Takes a snapshot in: a pack of what of it is not there yet. It is durably in the store of its lineage when this resolves, and
   * nothing of it is anywhere where this rejects. `UploadError`: it is refused.
   */
  receive(body: Readable, request: UploadRequest): Promise<void>;
}

export interface UploadsOptions {
  /** That of the snapshots of this host. */
  readonly directory: string;
  readonly limits: UploadLimits;
  readonly searchPath?: string;
  /** More are told to come back; default 4. */
  readonly atOnce?: number;
}

export function openUploads({
  directory,
  limits,
  searchPath = SEARCH_PATH,
  atOnce = AT_ONCE,
}: UploadsOptions): Uploads {
  let underWay = 0;
  const receive = async (body: Readable, { snapshot, lineage, continues }: UploadRequest) => {
    if (underWay >= atOnce) throw busy(underWay);
    underWay += 1;
    // Whoever reads it hears of it; it may break before anybody does.
    body.on('error', () => {});
    const own = join(directory, `${BEGINNING}${randomBytes(8).toString('hex')}`);
    try {
      clearUp(directory);
      mkdirSync(own, { recursive: true, mode: 0o700 });
      await save(body, join(own, 'pack'), limits);
      const store = join(directory, `${lineage}.git`);
      const git = { searchPath, timeoutMs: GIT_MS };
      await inThread({ directory: own, snapshot, store, continues, limits, git });
    } finally {
      await rm(own, { recursive: true, force: true });
      underWay -= 1;
    }
  };
  return { limits, receive };
}

function busy(others: number): UploadError {
  return new UploadError(
    'busy',
    `${others} other uploads are being taken in, as many as there may be: try again.`,
  );
}

/** What a process left that died while it took one in. */
function clearUp(directory: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  for (const name of readdirSync(directory).filter((each) => each.startsWith(BEGINNING))) {
    const path = join(directory, name);
    const changedMs = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
    if (changedMs < Date.now() - ABANDONED_MS)
      void rm(path, { recursive: true, force: true }).catch(() => {});
  }
}

/** To disk as it comes. The body is left as it is where it is too long: whoever sends it can still be answered. */
async function save(body: Readable, path: string, { packBytes, idleMs }: UploadLimits): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  const idle = setTimeout(() => body.destroy(new UploadError('cut_off', STOOD_STILL)), idleMs);
  let size = 0;
  try {
    for await (const chunk of body.iterator({ destroyOnReturn: false })) {
      idle.refresh();
      size += (chunk as Buffer).length;
      if (size > packBytes) throw tooLarge(`has more than ${packBytes} bytes`, packBytes);
      await file.appendFile(chunk as Buffer);
    }
  } catch (error) {
    if (error instanceof UploadError || body.readableEnded || !body.destroyed) throw error;
    throw new UploadError('cut_off', 'The upload ended in the middle: nothing of it was kept.');
  } finally {
    clearTimeout(idle);
    await file.close();
  }
}

const STOOD_STILL = 'The upload stood still for too long: nothing of it was kept.';

async function inThread(receipt: Receipt): Promise<void> {
  const file = new URL(`./receive-thread${extname(import.meta.url)}`, import.meta.url);
  const resourceLimits = { maxOldGenerationSizeMb: THREAD_MIB };
  const thread = new Thread(file, { workerData: receipt, resourceLimits });
  const { promise, resolve, reject } = Promise.withResolvers<ThreadReply>();
  thread.on('message', resolve).on('error', (error) => reject(isOutOfMemory(error) ? tooMuch() : error));
  thread.on('exit', () => reject(new Error('the thread of an upload ended')));
  const { checkMs } = receipt.limits;
  const late = setTimeout(() => reject(tooLong(checkMs)), checkMs);
  try {
    const reply = await promise;
    if (reply !== 'received') throw new UploadError(reply.code, reply.message);
  } finally {
    clearTimeout(late);
    await thread.terminate();
  }
}

function isOutOfMemory(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ERR_WORKER_OUT_OF_MEMORY';
}

function tooMuch(): UploadError {
  return new UploadError(
    'too_large',
    'The upload takes too much memory to be looked through: send less of the directory (.gitignore).',
  );
}

function tooLong(checkMs: number): UploadError {
  return new UploadError(
    'too_large',
    `The upload took longer than ${checkMs} ms to be looked through: send less of the directory (.gitignore).`,
  );
}
