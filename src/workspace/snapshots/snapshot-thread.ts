/** A thread that takes and restores snapshots: walking files and hashing would keep a worker's event loop from everything else. */
import { parentPort, workerData } from 'node:worker_threads';
import { messageOf } from '../../core/errors.ts';
import { Lineage, type LineageOptions } from './lineage.ts';
import { SnapshotError } from './snapshot-error.ts';

export type LineageMethod = 'take' | 'restore' | 'isClean' | 'diff' | 'merge' | 'has';

export interface ThreadCall {
  readonly call: number;
  /** The directory of the lineage. */
  readonly directory: string;
  readonly method: LineageMethod;
  readonly args: readonly unknown[];
}

export type ThreadAnswer =
  | { readonly call: number; readonly value: unknown }
  | { readonly call: number; readonly error: { readonly code: string; readonly message: string } };

export type ThreadData = Omit<LineageOptions, 'directory'>;

/** Lineages that stay open: each keeps in memory what it knows of its objects. */
const OPEN_LINEAGES = 64;

const lineages = new Map<string, Lineage>();

function lineageAt(directory: string): Lineage {
  const found = lineages.get(directory) ?? new Lineage({ ...(workerData as ThreadData), directory });
  lineages.delete(directory);
  lineages.set(directory, found);
  const [oldest] = lineages.keys();
  if (lineages.size > OPEN_LINEAGES && oldest !== undefined) lineages.delete(oldest);
  return found;
}

function answer({ call, directory, method, args }: ThreadCall): ThreadAnswer {
  try {
    const lineage = lineageAt(directory);
    const perform = lineage[method] as (...args: readonly unknown[]) => unknown;
    return { call, value: perform.apply(lineage, [...args]) };
  } catch (error) {
    const code = error instanceof SnapshotError ? error.code : 'io';
    return { call, error: { code, message: messageOf(error) } };
  }
}

parentPort?.on('message', (call: ThreadCall) => parentPort?.postMessage(answer(call)));
