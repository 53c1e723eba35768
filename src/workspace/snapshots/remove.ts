import { chmodSync, renameSync, rmdirSync, unlinkSync } from 'node:fs';
import { type BytePath, systemPath } from './byte-path.ts';
import type { OpenDirectory } from './open-directory.ts';

/** Deeper directories are brought up first: each level costs an open file. */
const DEPTH = 200;

/** Removes whatever is there, with all that is in it; follows no link, and takes back permissions that are in the way. */
export function removeEntry(at: OpenDirectory, name: BytePath): void {
  const raised: BytePath[] = [];
  remove(at, name, { depth: 0, raise: (from) => raise(at, from, raised) });
  for (let next = raised.pop(); next !== undefined; next = raised.pop()) {
    remove(at, next, { depth: 0, raise: (from) => raise(at, from, raised) });
  }
}

interface Removal {
  readonly depth: number;
  readonly raise: (path: BytePath) => void;
}

function remove(at: OpenDirectory, name: BytePath, { depth, raise }: Removal): void {
  const stats = at.statHere(name);
  if (stats === undefined) return;
  if (!stats.isDirectory()) {
    unlinkSync(systemPath(at.at(name)));
    return;
  }
  if ((stats.mode & 0o700) !== 0o700) chmodSync(systemPath(at.at(name)), 0o700);
  if (depth === DEPTH) {
    raise(at.at(name));
    return;
  }
  const inner = at.child(name);
  try {
    for (const child of inner.names()) remove(inner, child, { depth: depth + 1, raise });
  } finally {
    inner.close();
  }
  rmdirSync(systemPath(at.at(name)));
}

/** A name beside the entry that is removed; a crash leaves it as something that the snapshot does not hold. */
function raise(at: OpenDirectory, from: BytePath, raised: BytePath[]): void {
  for (let number = 0; ; number += 1) {
    const name = `capybara-removed-${number}`;
    if (raised.includes(name) || at.statHere(name) !== undefined) continue;
    renameSync(systemPath(from), systemPath(at.at(name)));
    raised.push(name);
    return;
  }
}
