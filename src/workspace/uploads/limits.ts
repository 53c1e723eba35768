/** What one upload may be. Whatever is beyond is refused, and nothing of it is kept. */
export interface UploadLimits {
  /** As it is sent: compressed. */
  readonly packBytes: number;
  /** All files as they stand on a disk: what compresses well, or is there many times, must fit it too. */
  readonly filesBytes: number;
  /** Of one file. */
  readonly fileBytes: number;
  /** Files, links and directories, wherever the same one stands again. */
  readonly entries: number;
  /** Levels of directories. */
  readonly depth: number;
  /** All paths together. */
  readonly pathBytes: number;
  /** How long it may take to look through what was sent. */
  readonly checkMs: number;
  /** How long a client may send nothing. */
  readonly idleMs: number;
}

const MIB = 1024 * 1024;

/** How many times larger its files may be than what is sent. */
const EXPANSION = 8;

/** `mib`: what may be sent. */
export function uploadLimits(mib: number): UploadLimits {
  return {
    packBytes: mib * MIB,
    filesBytes: EXPANSION * mib * MIB,
    fileBytes: 1024 * MIB,
    entries: 500_000,
    depth: 200,
    pathBytes: 128 * MIB,
    checkMs: 10 * 60_000,
    idleMs: 60_000,
  };
}
