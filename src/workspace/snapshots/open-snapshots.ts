import { extname, join } from 'node:path';
import { Worker as Thread } from 'node:worker_threads';
import { SNAPSHOT_LIMITS } from './limits.ts';
import { PruneProcess } from './prune-process.ts';
import { checkId, checkName, SnapshotError } from './snapshot-error.ts';
import type { LineageMethod, ThreadAnswer, ThreadCall, ThreadData } from './snapshot-thread.ts';
import type { SnapshotStore, Snapshots, SnapshotsOptions } from './snapshots.ts';

const THREADS = 2;
/** Where git is looked for where nobody says. */
export const SEARCH_PATH = '/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin';

/** Opens the snapshots of this host. Threads start with the first call that needs them. */
export function openSnapshots(options: SnapshotsOptions): Snapshots {
  const { directory, limits = {}, searchPath = SEARCH_PATH, threads = THREADS, shared } = options;
  const gitMs = limits.gitMs ?? SNAPSHOT_LIMITS.gitMs;
  const data: ThreadData = { limits, shared, git: { searchPath, timeoutMs: gitMs } };
  const pool = Array.from({ length: threads }, () => new SnapshotThread(data, options.onWarning));
  // Apart from the others: what nobody waits for keeps nobody waiting.
  const pruning = new PruneProcess();
  return {
    of: (lineage) => {
      checkName('lineage', lineage);
      // Always the same one: its calls come one after the other, and it knows the files.
      const thread = pool[Number.parseInt(Buffer.from(lineage).toString('hex').slice(-8), 16) % threads];
      const own = join(directory, `${lineage}.git`);
      return storeOf(thread as SnapshotThread, own, (live) =>
        pruning.run({ ...data, lineage, directory: own, live }),
      );
    },
    close: async () => {
      await Promise.all([...pool, pruning].map((each) => each.close()));
    },
  };
}

function storeOf(
  thread: SnapshotThread,
  directory: string,
  prune: (live: readonly string[] | undefined) => Promise<void>,
): SnapshotStore {
  const call =
    <T>(method: LineageMethod) =>
    (...args: readonly unknown[]) =>
      thread.call({ directory, method, args }) as Promise<T>;
  return {
    take: call('take'),
    restore: call('restore'),
    move: call('move'),
    carry: call('carry'),
    isClean: call('isClean'),
    diff: call('diff'),
    versions: call('versions'),
    bundle: call('bundle'),
    merge: call('merge'),
    compose: call('compose'),
    adopt: call('adopt'),
    push: call('push'),
    fetch: call('fetch'),
    prune: async (live) => {
      for (const snapshot of live ?? []) checkId(snapshot);
      await prune(live);
      if (thread.isRunning) await thread.call({ directory, method: 'forget', args: [] });
    },
    holds: call('holds'),
    pack: call('pack'),
    read: call('read'),
    has: call('has'),
  };
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

class SnapshotThread {
  readonly #data: ThreadData;
  readonly #onWarning: (message: string) => void;
  readonly #waiting = new Map<number, Waiting>();
  #thread: Thread | undefined;
  #calls = 0;

  constructor(data: ThreadData, onWarning: (message: string) => void = () => {}) {
    this.#data = data;
    this.#onWarning = onWarning;
  }

  get isRunning(): boolean {
    return this.#thread !== undefined;
  }

  async call(call: Omit<ThreadCall, 'call'>): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const thread = this.#running();
    const number = this.#calls++;
    this.#waiting.set(number, { resolve, reject });
    thread.ref();
    thread.postMessage({ ...call, call: number } satisfies ThreadCall);
    return promise;
  }

  async close(): Promise<void> {
    while (this.#waiting.size > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#thread?.once('message', () => resolve()).once('exit', () => resolve());
      await promise;
    }
    await this.#thread?.terminate();
  }

  #running(): Thread {
    if (this.#thread !== undefined) return this.#thread;
    const file = new URL(`./snapshot-thread${extname(import.meta.url)}`, import.meta.url);
    const thread = new Thread(file, { workerData: this.#data });
    thread.on('message', (answer: ThreadAnswer) => this.#hear(answer));
    thread.on('error', (error) => this.#fail(thread, error));
    thread.on('exit', () => this.#fail(thread, new Error('the snapshot thread ended')));
    this.#thread = thread;
    return thread;
  }

  #hear(answer: ThreadAnswer): void {
    if ('warning' in answer) {
      this.#onWarning(answer.warning);
      return;
    }
    const waiting = this.#waiting.get(answer.call);
    this.#waiting.delete(answer.call);
    // An idle thread keeps no process alive.
    if (this.#waiting.size === 0) this.#thread?.unref();
    if ('error' in answer) waiting?.reject(new SnapshotError(answer.error.code, answer.error.message));
    else waiting?.resolve(answer.value);
  }

  /** The next call starts a new one, which learns the files again. */
  #fail(thread: Thread, error: Error): void {
    if (this.#thread !== thread) return;
    this.#thread = undefined;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
