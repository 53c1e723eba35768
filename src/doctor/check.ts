import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../core/errors.ts';

export interface Check {
  readonly name: string;
  /** `wrong` must be mended; a `warning` is worth knowing. */
  readonly state: 'ok' | 'warning' | 'wrong';
  /** A sentence without its stop. */
  readonly found: string;
  readonly cure?: string;
}

/** What is asked about one thing, beside all others. It may be thrown out of, and may never answer. */
export interface Probe {
  readonly name: string;
  readonly ask: () => Promise<readonly Check[]> | readonly Check[];
}

/** How long one thing may take to answer; a sandbox is tried by really running something in it. */
export const PROBE_MS = 15_000;

/** The checks of all, in the order of the probes. */
export async function answers(probes: readonly Probe[], limitMs = PROBE_MS): Promise<Check[]> {
  return (await Promise.all(probes.map((probe) => answer(probe, limitMs)))).flat();
}

async function answer({ name, ask }: Probe, limitMs: number): Promise<readonly Check[]> {
  const done = new AbortController();
  const late = delay(limitMs, undefined, { signal: done.signal }).then(
    () => [
      {
        ...{ name, state: 'wrong' as const, found: `there is no answer within ${limitMs / 1_000} s` },
        cure: 'look at what it runs on, and try again',
      },
    ],
    () => [],
  );
  try {
    return await Promise.race([(async () => ask())(), late]);
  } catch (error) {
    return [{ name, state: 'wrong', found: `it cannot be looked at (${withoutStop(reasonOf(error))})` }];
  } finally {
    done.abort();
  }
}

/** Whether a directory can be written to; where there is none, the one in which it would be made. */
export function directory(name: string, { path, cure }: { path: string; cure: string }): Check {
  const place = nearestPlace(path);
  try {
    if (!statSync(place).isDirectory())
      return { name, state: 'wrong', found: `${place} is not a directory`, cure };
    accessSync(place, constants.W_OK | constants.X_OK);
  } catch (error) {
    return { name, state: 'wrong', found: `${place} is not writable (${messageOf(error)})`, cure };
  }
  return { name, state: 'ok', found: place === path ? `${path} is writable` : `${path} can be made` };
}

/** `path`, or what there is of the way to it. */
export function nearestPlace(path: string): string {
  return existsSync(path) || dirname(path) === path ? path : nearestPlace(dirname(path));
}

/** Several addresses of one name fail as one error without words. */
export function reasonOf(error: unknown): string {
  const errors = error instanceof AggregateError ? error.errors : [error];
  return errors.map(messageOf).join('; ');
}

/** As `Check.found` has it. */
export function withoutStop(sentence: string): string {
  return sentence.replace(/\.$/, '');
}

/** Where an address leads, without who and with what password. */
export function shownAddress(url: string): string {
  const { hostname, port, pathname } = new URL(url);
  return `${hostname}${port === '' ? '' : `:${port}`}${pathname}`;
}
