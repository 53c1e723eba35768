import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync } from 'node:fs';

export interface SmallDisk {
  unmount(): void;
}

/** For so many files and directories. */
export const SMALL_DISK_FILES = 4_000;

/** A file system of so many bytes over a directory, made where it is missing. Undefined: only root can, and not in every container. */
export function mountSmallDisk(path: string, bytes: number): SmallDisk | undefined {
  const sizes = `size=${bytes},nr_inodes=${SMALL_DISK_FILES}`;
  mkdirSync(path, { recursive: true });
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', sizes, 'none', path], { stdio: 'ignore' });
  } catch {
    console.warn('Tests of a disk that is full are skipped: only root can mount a small one.');
    return undefined;
  }
  chmodSync(path, 0o755);
  return { unmount: () => execFileSync('umount', [path]) };
}
