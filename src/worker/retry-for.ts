/** What is wrong with a place rather than with a task: it passes when a person, or another worker, has seen to it. */
import { isDiskFull } from '../core/full-disk.ts';
import type { Retry } from '../store/turns.ts';
import { SnapshotError } from '../workspace/snapshots/snapshot-error.ts';

const DELAY_MS = 5_000;

/** For an error that ended a run; undefined where trying again later is no answer to it. */
export function retryFor(error: unknown): Retry | undefined {
  const failure = failureOf(error);
  return failure && { delayMs: DELAY_MS, failure, spent: false };
}

function failureOf(error: unknown): Retry['failure'] | undefined {
  if (error instanceof SnapshotError && error.code === 'missing_snapshot') return ELSEWHERE;
  return isDiskFull(error) ? DISK_FULL : undefined;
}

const ELSEWHERE = {
  code: 'files_elsewhere',
  message:
    'The files of the session are on another host than the worker that had its turn: set CAPYBARA_SNAPSHOTS on all workers, or ' +
    'start one over the data directory that has them.',
};

const DISK_FULL = {
  code: 'disk_full',
  message: "The disk of the worker's data directory is full: make room there.",
};
