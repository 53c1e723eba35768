/** What an agent knows of the files it works on: the version of each that it was shown, or made, last. */
import { createHash } from 'node:crypto';
import { relative } from 'node:path';
import type { SeenFile } from '../core/entry.ts';

/** Of one session. Nothing is known of the oldest where there are too many. */
export interface SeenFiles {
  /** `version`: of `versionOf`; undefined: the file is gone. */
  note(path: string, version: string | undefined): void;
  versionOf(path: string): string | undefined;
}

export const MAX_SEEN_FILES = 2_000;

/** Two texts with one version are the same. */
export function versionOf(text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, 22);
}

export function createSeenFiles(limit: number = MAX_SEEN_FILES): SeenFiles {
  const versions = new Map<string, string>();
  return {
    note(path, version) {
      versions.delete(path);
      if (version !== undefined) versions.set(path, version);
      for (const oldest of versions.keys()) {
        if (versions.size <= limit) return;
        versions.delete(oldest);
      }
    },
    versionOf: (path) => versions.get(path),
  };
}

/** Of one call, by absolute paths: what it notes is its own until its result has it. */
export class CallSeen implements SeenFiles {
  readonly #root: string;
  /** By paths from the root: the same wherever the files are. */
  readonly #before: Pick<SeenFiles, 'versionOf'>;
  readonly #noted = new Map<string, string | undefined>();

  constructor(root: string, before: Pick<SeenFiles, 'versionOf'>) {
    this.#root = root;
    this.#before = before;
  }

  note(path: string, version: string | undefined): void {
    const own = this.#own(path);
    this.#noted.delete(own);
    this.#noted.set(own, version);
  }

  versionOf(path: string): string | undefined {
    const own = this.#own(path);
    return this.#noted.has(own) ? this.#noted.get(own) : this.#before.versionOf(own);
  }

  get noted(): readonly SeenFile[] {
    return [...this.#noted].map(([path, version]) => (version === undefined ? [path] : [path, version]));
  }

  /** As it is on the disk, and can be stored: half a surrogate pair is neither. */
  #own(path: string): string {
    return relative(this.#root, path).toWellFormed();
  }
}
