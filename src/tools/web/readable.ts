import { extname } from 'node:path';
import { Worker as Thread } from 'node:worker_threads';
import type { ReadableData } from './readable-thread.ts';

export interface ReadableLimits {
  /** One page's work; one page is worked on at a time. */
  readonly timeoutMs: number;
  readonly memoryMib: number;
}

export const READABLE_LIMITS: ReadableLimits = { timeoutMs: 5_000, memoryMib: 256 };
const STACK_MIB = 16;

/** Pages wait for each other, so that many hostile ones take no more memory than one. */
let last: Promise<unknown> = Promise.resolve();

/** A page as Markdown; undefined where that takes too long or too much, or the signal aborts it. */
export async function readable(
  page: ReadableData,
  signal: AbortSignal,
  limits: ReadableLimits = READABLE_LIMITS,
): Promise<string | undefined> {
  const mine = last.then(() => (signal.aborted ? undefined : inThread(page, signal, limits)));
  last = mine;
  return mine;
}

async function inThread(
  page: ReadableData,
  signal: AbortSignal,
  { timeoutMs, memoryMib }: ReadableLimits,
): Promise<string | undefined> {
  const thread = new Thread(new URL(`./readable-thread${extname(import.meta.url)}`, import.meta.url), {
    workerData: page,
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: memoryMib, stackSizeMb: STACK_MIB },
  });
  const done = Promise.withResolvers<string | undefined>();
  const giveUp = () => done.resolve(undefined);
  const timer = setTimeout(giveUp, timeoutMs);
  signal.addEventListener('abort', giveUp, { once: true });
  thread.once('message', (text: string) => done.resolve(text));
  // Out of memory or of stack: the page is shown as it came.
  thread.once('error', giveUp);
  thread.once('exit', giveUp);
  try {
    return await done.promise;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', giveUp);
    await thread.terminate();
  }
}
