/** Node's codes for it, and ours for one that another thread or program met. */
const CODES: readonly unknown[] = ['ENOSPC', 'EDQUOT', 'disk_full'];
const WORDS = /No space left on device|Disk quota exceeded|Out of diskspace/;

/** Whether it was thrown since a disk is full, or what its user may have of it. */
export function isDiskFull(error: unknown): boolean {
  return CODES.includes((error as { readonly code?: unknown } | null | undefined)?.code);
}

/** Whether a program that runs in English says so. */
export function saysDiskFull(text: string): boolean {
  return WORDS.test(text);
}
