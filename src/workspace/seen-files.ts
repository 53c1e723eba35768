/** What an agent knows of the files it works on: the version of each that it was shown, or made, last. */
import { createHash } from 'node:crypto';

/** Of one session. Nothing is known of a file that another worker showed, and of the oldest where there are too many. */
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
