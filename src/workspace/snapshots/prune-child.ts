/**
 * A program that prunes, by messages from whoever started it, one lineage after the other. It runs alone so that it gives way to
 * all else on the machine, and can be killed in the middle of anything.
 */
import { flushCompileCache } from 'node:module';
import { setPriority } from 'node:os';
import { messageOf } from '../../core/errors.ts';
import { type LineageStores, pruneLineage } from './prune-lineage.ts';
import { codeOf } from './snapshot-error.ts';

export interface PruneOrder extends LineageStores {
  readonly live: readonly string[] | undefined;
}

export type PruneReport = { readonly error?: { readonly code: string; readonly message: string } };

const LOWEST_PRIORITY = 19;

setPriority(LOWEST_PRIORITY);
// Whoever started it kills it, and what it compiled would be lost.
flushCompileCache();
process.on('message', (order: PruneOrder) => process.send?.(perform(order)));
process.on('disconnect', () => process.exit());

function perform({ live, ...stores }: PruneOrder): PruneReport {
  try {
    pruneLineage(stores, live);
    return {};
  } catch (error) {
    return { error: { code: codeOf(error), message: messageOf(error) } };
  }
}
