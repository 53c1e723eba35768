import { isUtf8 } from 'node:buffer';
import type { Dirent } from 'node:fs';
import { lstat, opendir, readlink } from 'node:fs/promises';
import { z } from 'zod';
import { visible } from '../workspace/file-tree.ts';
import { holdDirectory } from '../workspace/held-directories.ts';
import { systemPath } from '../workspace/snapshots/byte-path.ts';
import type { OpenDirectory } from '../workspace/snapshots/open-directory.ts';
import { FileError, type Place } from '../workspace/text-file.ts';
import type { Workspace } from '../workspace/workspace.ts';
import { filePath } from './file-path.ts';
import { defineTool } from './tool.ts';

export const MAX_LISTED = 1_000;
/** Read before sorting; a directory with more is not listed whole anyway. */
const MAX_READ = 20_000;

export const listDirTool = defineTool({
  name: 'list_dir',
  description:
    'Lists one directory, hidden and ignored entries included: directories end in "/", links show their target, files their size in bytes.',
  parameters: z.strictObject({ path: filePath.default('.') }),
  effect: 'read',
  async execute({ path }, { workspace }) {
    const directory = await held(workspace, path);
    try {
      return { text: await listing(directory, visible(path)) };
    } finally {
      directory.close();
    }
  },
});

async function held(workspace: Workspace, path: string): Promise<OpenDirectory> {
  const real = await workspace.resolve(path);
  try {
    return holdDirectory({ root: workspace.root, path: real });
  } catch (error) {
    throw unreadable(error as NodeJS.ErrnoException, visible(path));
  }
}

async function listing(directory: OpenDirectory, shown: string): Promise<string> {
  const entries = await readSome(directory, shown);
  if (entries.length === 0) return `(${shown} is an empty directory)`;
  entries.sort((a, b) => Buffer.compare(a.name, b.name));
  const lines = await Promise.all(entries.slice(0, MAX_LISTED).map((entry) => describe(directory, entry)));
  const rest = entries.length - lines.length;
  const more = rest > 0 ? [`(${entries.length >= MAX_READ ? 'at least ' : ''}${rest} more entries)`] : [];
  return [...lines, ...more].join('\n');
}

/** Names as they are stored: not all are UTF-8. */
async function readSome(directory: OpenDirectory, shown: string): Promise<Dirent<Buffer>[]> {
  try {
    const entries: Dirent<Buffer>[] = [];
    // The types of `opendir` know no names but strings.
    const open = await opendir(systemPath(directory.at('.')) as string, {
      encoding: 'buffer' as BufferEncoding,
    });
    for await (const entry of open) {
      entries.push(entry as unknown as Dirent<Buffer>);
      if (entries.length >= MAX_READ) break;
    }
    return entries;
  } catch (error) {
    throw unreadable(error as NodeJS.ErrnoException, shown);
  }
}

function unreadable(error: NodeJS.ErrnoException, shown: string): Error {
  if (error.code === 'ENOENT')
    return new FileError(`'${shown}' does not exist; list the directory above it.`, true);
  if (error.code === 'ENOTDIR')
    return new FileError(`'${shown}' is not a directory; use read_file for a file.`);
  return new FileError(`'${shown}' cannot be listed: ${error.message}`);
}

async function describe(directory: OpenDirectory, entry: Dirent<Buffer>): Promise<string> {
  const name = nameOf(entry.name);
  const path = systemPath(directory.at(entry.name.toString('latin1')));
  if (entry.isDirectory()) return `${name}/`;
  if (entry.isSymbolicLink()) return `${name} -> ${visible(await targetOf(path))}`;
  if (!entry.isFile()) return `${name} (a pipe, socket or device)`;
  return `${name} (${await sizeOf(path)})`;
}

/** A name that is not UTF-8 cannot be written in a call: it is shown with its bytes, for commands. */
function nameOf(name: Buffer): string {
  if (isUtf8(name)) return visible(name.toString());
  const bytes = name.toString('latin1').replace(/[^ -~]/g, (char) => `\\x${char.charCodeAt(0).toString(16)}`);
  return `${bytes} (a name that is not UTF-8)`;
}

/** An entry may go while it is looked at. */
async function targetOf(path: Place): Promise<string> {
  return readlink(path).catch(() => '(gone)');
}

async function sizeOf(path: Place): Promise<string> {
  return lstat(path).then(
    ({ size }) => `${size}`,
    () => 'gone',
  );
}
