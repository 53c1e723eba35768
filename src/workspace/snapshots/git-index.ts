import type { BytePath } from './byte-path.ts';

const ENTRY_HEADER_BYTES = 62;
const EXTENDED_FLAG = 0x4000;

/**
 * The paths that a git index names (gitformat-index(5), versions 2 to 4). A file that is tracked is part of a project though a
 * pattern ignores it. Read here, and not by git, because nothing but names is wanted of a file that an agent may have written: what
 * cannot be read names nothing.
 */
export function trackedPaths(index: Buffer): BytePath[] {
  if (index.length < 12 || index.toString('latin1', 0, 4) !== 'DIRC') return [];
  const version = index.readUInt32BE(4);
  if (version < 2 || version > 4) return [];
  const paths: BytePath[] = [];
  let at = 12;
  let previous = '';
  for (let left = index.readUInt32BE(8); left > 0; left -= 1) {
    const entry = version === 4 ? compressedEntry(index, at, previous) : plainEntry(index, at);
    if (entry === undefined) return paths;
    previous = entry.path;
    paths.push(entry.path);
    at = entry.next;
  }
  return paths;
}

interface IndexEntry {
  readonly path: BytePath;
  readonly next: number;
}

function nameStart(index: Buffer, at: number): number | undefined {
  if (at + ENTRY_HEADER_BYTES + 2 > index.length) return undefined;
  const extended = (index.readUInt16BE(at + ENTRY_HEADER_BYTES - 2) & EXTENDED_FLAG) !== 0;
  return at + ENTRY_HEADER_BYTES + (extended ? 2 : 0);
}

/** The name ends with NUL and is padded to a multiple of eight bytes. */
function plainEntry(index: Buffer, at: number): IndexEntry | undefined {
  const start = nameStart(index, at);
  const end = start === undefined ? -1 : index.indexOf(0, start);
  if (start === undefined || end < 0) return undefined;
  return { path: index.toString('latin1', start, end), next: at + (Math.floor((end - at) / 8) + 1) * 8 };
}

/** The name is what is left of the previous one without so many bytes of its end, and what follows. */
function compressedEntry(index: Buffer, at: number, previous: BytePath): IndexEntry | undefined {
  const start = nameStart(index, at);
  if (start === undefined) return undefined;
  let next = start;
  let byte = index[next++] ?? 0;
  let removed = byte & 0x7f;
  while ((byte & 0x80) !== 0 && next < index.length) {
    byte = index[next++] ?? 0;
    removed = (removed + 1) * 128 + (byte & 0x7f);
  }
  const end = index.indexOf(0, next);
  if (end < 0 || removed > previous.length) return undefined;
  return {
    path: previous.slice(0, previous.length - removed) + index.toString('latin1', next, end),
    next: end + 1,
  };
}
