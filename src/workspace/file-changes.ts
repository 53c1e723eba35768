/**
 * Changes to several files that happen together or not at all. They are collected first, each seeing those before it; `commit` writes every new text
 * beside its file, looks once more whether the files are still what they were, and only then puts all in place. What fails midway is put back. A process that
 * dies midway leaves the rest to whoever rolls the workspace back.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { link, lstat, open, rename, rm } from 'node:fs/promises';
import { sep } from 'node:path';
import { messageOf } from '../core/errors.ts';
import { HeldDirectories } from './held-directories.ts';
import { type SeenFiles, versionOf } from './seen-files.ts';
import { systemPath } from './snapshots/byte-path.ts';
import type { OpenDirectory } from './snapshots/open-directory.ts';
import {
  encodeText,
  explainFileError,
  FileError,
  fillNew,
  type NamedFile,
  type OldFile,
  oldFileAt,
  oldFileOf,
  type Place,
  readTextFile,
} from './text-file.ts';

/** A file that is not what the agent knows it as. */
export class FileChanged extends Error {
  override readonly name = 'FileChanged';
}

interface Change {
  readonly file: NamedFile;
  /** As it was read; null: there was none; undefined: nobody looked. */
  before: string | null | undefined;
  /** As it will be; null: gone; undefined: as it was. */
  after: string | null | undefined;
  /** Whose mode and owner it takes over. */
  like?: NamedFile;
}

interface Staged {
  readonly file: NamedFile;
  /** Held open: no link that comes into its path leads anywhere else. */
  readonly directory: OpenDirectory;
  readonly place: Place;
  /** Where the new text waits; undefined: the file goes. */
  readonly fresh: Place | undefined;
  /** Where the old file is kept, once it is. */
  kept?: Place;
  readonly existed: boolean;
}

/** What puts a file in place; tests break it. */
export interface FileMoves {
  readonly rename: (from: Place, to: Place) => Promise<void>;
}

export class FileChanges {
  readonly #seen: SeenFiles;
  readonly #moves: FileMoves;
  readonly #changes = new Map<string, Change>();

  constructor(seen: SeenFiles, moves: FileMoves = { rename }) {
    this.#seen = seen;
    this.#moves = moves;
  }

  /** The text as the changes so far leave it; null where there is no file. Throws `FileError`, `FileChanged`. */
  async find(file: NamedFile): Promise<string | null> {
    const change = this.#changes.get(file.path) ?? { file, before: await this.#read(file), after: undefined };
    this.#changes.set(file.path, change);
    return (change.after === undefined ? change.before : change.after) ?? null;
  }

  /** As `find`, but there must be a file. */
  async text(file: NamedFile): Promise<string> {
    const text = await this.find(file);
    if (text !== null) return text;
    throw missing(file);
  }

  /** `like`: a file whose mode and owner this one gets; its own where it exists. */
  write(file: NamedFile, text: string, like?: NamedFile): void {
    refuseMetadata(file);
    encodeText(text, file.shown);
    const change = this.#changes.get(file.path) ?? { file, before: undefined, after: undefined };
    this.#changes.set(file.path, { ...change, after: text, ...(like === undefined ? {} : { like }) });
  }

  /** As `write`, over whatever is there; but not over what the agent knows as something else. */
  async replace(file: NamedFile, text: string): Promise<'created' | 'overwritten'> {
    refuseMetadata(file);
    const existed = await this.#knownOrThere(file);
    this.write(file, text);
    return existed ? 'overwritten' : 'created';
  }

  /** There must be a file; it need not be text. */
  async remove(file: NamedFile): Promise<void> {
    refuseMetadata(file);
    if (!(await this.#knownOrThere(file))) throw missing(file);
    const change = this.#changes.get(file.path) ?? { file, before: undefined, after: undefined };
    this.#changes.set(file.path, { ...change, after: null });
  }

  /** Throws `FileError` or `FileChanged`; then every file is what it was. */
  async commit(): Promise<void> {
    const changes = [...this.#changes.values()].filter(
      ({ before, after }) => after !== undefined && after !== before,
    );
    const directories = new HeldDirectories();
    try {
      await this.#perform(changes, directories);
    } finally {
      directories.close();
    }
    for (const { file, after } of changes) {
      this.#seen.note(file.path, typeof after === 'string' ? versionOf(after) : undefined);
    }
  }

  async #perform(changes: readonly Change[], directories: HeldDirectories): Promise<void> {
    const staged: Staged[] = [];
    try {
      for (const change of changes) staged.push(await stage(change, directories));
      for (const change of this.#changes.values()) await this.#checkUnchanged(change);
      for (const each of staged) await this.#putInPlace(each);
    } catch (error) {
      const lost = await putBack(staged);
      directories.removeMade();
      throw lost.length === 0 ? error : notPutBack(error, lost);
    }
    for (const { kept } of staged) if (kept !== undefined) await rm(kept, { force: true });
  }

  /** Whether there is a file. One that the agent was shown must still be the same. */
  async #knownOrThere(file: NamedFile): Promise<boolean> {
    if (this.#changes.has(file.path)) return (await this.find(file)) !== null;
    if (this.#seen.versionOf(file.path) !== undefined) {
      try {
        return (await this.find(file)) !== null;
      } catch (error) {
        throw error instanceof FileError ? changed(file) : error;
      }
    }
    try {
      return (await oldFileOf(file)) !== undefined;
    } catch (error) {
      throw explainFileError(error, file.shown, 'written');
    }
  }

  async #read(file: NamedFile): Promise<string | null> {
    const text = await readTextFile(file).catch((error: unknown) => {
      if (error instanceof FileError && error.missing) return null;
      throw error;
    });
    const known = this.#seen.versionOf(file.path);
    if (text !== null && known !== undefined && known !== versionOf(text)) throw changed(file);
    return text;
  }

  async #checkUnchanged({ file, before }: Change): Promise<void> {
    if (before === undefined) return;
    const now = await this.#read(file);
    if (now !== before) throw changed(file);
  }

  async #putInPlace(staged: Staged): Promise<void> {
    const { file, place, fresh, existed } = staged;
    try {
      if (existed) staged.kept = await keep(staged);
      if (fresh === undefined) await rm(place);
      else await this.#moves.rename(fresh, place);
    } catch (error) {
      throw explainFileError(error, file.shown, 'written');
    }
  }
}

function missing({ shown }: NamedFile): FileError {
  return new FileError(`'${shown}' does not exist; list_dir and glob show what there is.`, true);
}

function changed({ shown }: NamedFile): FileChanged {
  return new FileChanged(
    `'${shown}' is not what it was when you read it: something else changed it meanwhile (a command, or somebody). Nothing was written. Read it again, then make the change in what it says now.`,
  );
}

function notPutBack(error: unknown, names: readonly string[]): FileError {
  return new FileError(
    `${messageOf(error)} What was done before could not be undone in ${names.join(', ')}: look at ${names.length === 1 ? 'it' : 'them'}.`,
  );
}

async function stage({ file, after, like }: Change, directories: HeldDirectories): Promise<Staged> {
  try {
    const { directory, name } = directories.file(file);
    const place = systemPath(directory.at(name));
    const old = await oldFileAt(place, file.shown);
    const staged = { file, directory, place, existed: old !== undefined };
    if (after === null || after === undefined) return { ...staged, fresh: undefined };
    const fresh = besideIn(directory);
    const model: OldFile | undefined = old ?? (like === undefined ? undefined : await oldFileOf(like));
    const { uid, gid } = model ?? directory.own();
    const bytes = encodeText(after, file.shown);
    await fillNew(fresh, { bytes, owner: { uid, gid }, ...(model && { mode: model.mode }) }).catch(
      async (error: unknown) => {
        await rm(fresh, { force: true });
        throw error;
      },
    );
    return { ...staged, fresh };
  } catch (error) {
    throw explainFileError(error, file.shown, 'written');
  }
}

const METADATA = /^(\.(git|hg|svn|jj|fslckout)|_FOSSIL_)$/i;

/** A hook or a setting there would be run by whoever looks at the repository next, unconfined. */
export function refuseMetadata({ path, shown }: NamedFile): void {
  if (!path.split(sep).some((name) => METADATA.test(name))) return;
  throw new FileError(`'${shown}' belongs to version control itself: change it with its own commands.`);
}

function besideIn(directory: OpenDirectory): Place {
  return systemPath(directory.at(`.capybara-${randomBytes(8).toString('hex')}.tmp`));
}

/** A second name for the file; a copy where there are no links. */
async function keep({ directory, place }: Staged): Promise<Place> {
  const kept = besideIn(directory);
  try {
    await link(place, kept);
  } catch {
    await copy(place, kept);
  }
  return kept;
}

/** `copyFile` would follow a link that has come into the file's place. */
async function copy(from: Place, to: Place): Promise<void> {
  const handle = await open(from, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  try {
    const found = await handle.stat();
    if (!found.isFile()) throw new Error('it is no file any more');
    const { uid, gid, mode } = found;
    await fillNew(to, { bytes: await handle.readFile(), owner: { uid, gid }, mode });
  } finally {
    await handle.close();
  }
}

/** The names of those that could not be put back. */
async function putBack(staged: readonly Staged[]): Promise<string[]> {
  const lost: string[] = [];
  for (const each of staged.toReversed()) {
    await putOneBack(each).catch(() => lost.push(each.file.shown));
  }
  return lost;
}

async function putOneBack({ place, fresh, kept, existed }: Staged): Promise<void> {
  const isInPlace = fresh !== undefined && !(await exists(fresh));
  if (kept !== undefined) {
    await rename(kept, place);
    // Where both names were the same file still, renaming did nothing.
    await rm(kept, { force: true });
  } else if (isInPlace && !existed) await rm(place, { force: true });
  if (fresh !== undefined) await rm(fresh, { force: true });
}

async function exists(place: Place): Promise<boolean> {
  return lstat(place).then(
    () => true,
    () => false,
  );
}
