import { statSync } from 'node:fs';
import { dirname } from 'node:path';

/** For `spawn`: someone who is not root and can run this checkout. As an ordinary user: this one. */
export const ordinaryUser: { uid?: number; gid?: number } =
  process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};

/** Whether there is such a user: not where root keeps the checkout to itself. */
export const hasOrdinaryUser = process.getuid?.() !== 0 || isOpenToAll(import.meta.dirname);

function isOpenToAll(path: string): boolean {
  if ((statSync(path).mode & 0o001) === 0) return false;
  return dirname(path) === path || isOpenToAll(dirname(path));
}
