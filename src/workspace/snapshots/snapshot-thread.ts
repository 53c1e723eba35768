/** A thread that takes and restores snapshots: walking files and hashing would keep a worker's event loop from everything else. */
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { messageOf } from '../../core/errors.ts';
import { Lineage, type LineageOptions } from './lineage.ts';
import { codeOf } from './snapshot-error.ts';

export type LineageMethod =
  | 'take'
  | 'restore'
  | 'move'
  | 'carry'
  | 'isClean'
  | 'diff'
  | 'versions'
  | 'bundle'
  | 'merge'
  | 'compose'
  | 'adopt'
  | 'push'
  | 'fetch'
  | 'forget'
  | 'holds'
  | 'pack'
  | 'read'
  | 'has';

export interface ThreadCall {
  readonly call: number;
  /** The directory of the lineage. */
  readonly directory: string;
  readonly method: LineageMethod;
  readonly args: readonly unknown[];
}

export type ThreadAnswer =
  | { readonly warning: string }
  | { readonly call: number; readonly value: unknown }
  | { readonly call: number; readonly error: { readonly code: string; readonly message: string } };

export type ThreadData = Pick<LineageOptions, 'limits' | 'git'> & { readonly shared?: string | undefined };

/** Lineages that stay open: each keeps in memory what it knows of its objects. */
const OPEN_LINEAGES = 64;

const lineages = new Map<string, Lineage>();

function lineageAt(directory: string): Lineage {
  const found = lineages.get(directory) ?? openLineage(directory);
  lineages.delete(directory);
  lineages.set(directory, found);
  const [oldest] = lineages.keys();
  if (lineages.size > OPEN_LINEAGES && oldest !== undefined) lineages.delete(oldest);
  return found;
}

function openLineage(directory: string): Lineage {
  const { shared, ...data } = workerData as ThreadData;
  const lineage = basename(directory, '.git');
  return new Lineage({
    ...data,
    directory,
    ...(shared !== undefined && { shared: { remote: shared, lineage } }),
  });
}

function answer({ call, directory, method, args }: ThreadCall): ThreadAnswer {
  try {
    if (method === 'forget') return { call, value: forget(directory) };
    const lineage = lineageAt(directory);
    const perform = lineage[method] as (...args: readonly unknown[]) => unknown;
    return { call, value: perform.apply(lineage, [...args]) };
  } catch (error) {
    return { call, error: { code: codeOf(error), message: messageOf(error) } };
  }
}

/** The store was pruned, or removed. */
function forget(directory: string): void {
  if (existsSync(directory)) lineages.get(directory)?.forget();
  else lineages.delete(directory);
}

/** Nobody waits for it, and what it could not do the next call tries again. */
function tidy(directory: string): void {
  try {
    lineages.get(directory)?.tidy();
  } catch (error) {
    parentPort?.postMessage({ warning: messageOf(error) } satisfies ThreadAnswer);
  }
}

parentPort?.on('message', (call: ThreadCall) => {
  parentPort?.postMessage(answer(call));
  if (call.method === 'take' || call.method === 'push') tidy(call.directory);
});
