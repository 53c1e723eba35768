/**
 * A snapshot that cannot be taken, restored or read: `code` is stable, the message one sentence for a person.
 *
 * `too_many_files`, `too_many_rules`, `missing_snapshot` (fetch it first), `missing_object`, `bad_root`, `bad_name`, `no_file`, `not_restored`, `not_shared` (the other hosts cannot be
 * reached), `git_failed`, `io`.
 */
export class SnapshotError extends Error {
  override readonly name = 'SnapshotError';
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

export function missingSnapshot(snapshot: string): SnapshotError {
  return new SnapshotError(
    'missing_snapshot',
    `The snapshot ${snapshot} is not on this host; fetch it first.`,
  );
}

export function checkId(snapshot: string): void {
  if (/^[0-9a-f]{40}$/.test(snapshot)) return;
  throw new SnapshotError('bad_name', `The snapshot id is '${snapshot}', expected 40 hexadecimal digits.`);
}
