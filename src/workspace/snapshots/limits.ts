/** What of a workspace a snapshot can hold, and how long git may take. */
export interface SnapshotLimits {
  /** Of one file. A larger one is left out, and told. */
  readonly fileBytes: number;
  /** Files and directories that are not ignored, over all roots. With more nothing is taken. */
  readonly entries: number;
  /** Comparisons of names with ignore patterns, in one walk. With more nothing is taken. */
  readonly ruleSteps: number;
  /** Levels of directories. What is deeper is left out, and told. */
  readonly depth: number;
  /** Of one diff. A longer one is cut, and told. */
  readonly diffBytes: number;
  /** What is younger is never pruned. Longer than any call takes until its snapshot is recorded. */
  readonly pruneGraceMs: number;
  /** Of one git command over the snapshots. */
  readonly gitMs: number;
}

export const SNAPSHOT_LIMITS: SnapshotLimits = {
  fileBytes: 1024 ** 3,
  entries: 1_000_000,
  ruleSteps: 5_000_000_000,
  depth: 200,
  diffBytes: 64 * 1024 * 1024,
  pruneGraceMs: 60 * 60_000,
  gitMs: 10 * 60_000,
};
