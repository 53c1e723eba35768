import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { messageOf } from '../core/errors.ts';

export interface Check {
  readonly name: string;
  /** `wrong` must be mended; a `warning` is worth knowing. */
  readonly state: 'ok' | 'warning' | 'wrong';
  /** A sentence without its stop. */
  readonly found: string;
  readonly cure?: string;
}

/** Whether a directory can be written to; where there is none, the one in which it would be made. */
export function directory(name: string, { path, cure }: { path: string; cure: string }): Check {
  const place = nearest(path);
  try {
    if (!statSync(place).isDirectory())
      return { name, state: 'wrong', found: `${place} is not a directory`, cure };
    accessSync(place, constants.W_OK | constants.X_OK);
  } catch (error) {
    return { name, state: 'wrong', found: `${place} is not writable (${messageOf(error)})`, cure };
  }
  return { name, state: 'ok', found: place === path ? `${path} is writable` : `${path} can be made` };
}

function nearest(path: string): string {
  return existsSync(path) || dirname(path) === path ? path : nearest(dirname(path));
}

/** Several addresses of one name fail as one error without words. */
export function reasonOf(error: unknown): string {
  const errors = error instanceof AggregateError ? error.errors : [error];
  return errors.map(messageOf).join('; ');
}
