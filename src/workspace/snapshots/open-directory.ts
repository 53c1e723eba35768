import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  type Stats,
} from 'node:fs';
import { type BytePath, joinBytes, systemPath } from './byte-path.ts';

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } = constants;
/** Near the longest path that a system call takes; beyond it names are reached through the descriptor. */
const LONG_PATH = 3_500;
const hasProc = process.platform === 'linux' && existsSync('/proc/self/fd');

/**
 * A directory that is held open, so that its entries are reached through it and not by a path in which an agent's process
 * may have put a symbolic link since (openat(2), which Node lacks, by way of /proc/self/fd). Without /proc (macOS): by path.
 */
export class OpenDirectory {
  readonly path: BytePath;
  readonly #fd: number;
  readonly #through: BytePath;

  private constructor(path: BytePath, through: BytePath) {
    this.#fd = openSync(systemPath(through), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    this.path = path;
    this.#through = hasProc ? `/proc/self/fd/${this.#fd}` : path;
  }

  /** `path` is absolute; its last part may not be a symbolic link. */
  static open(path: BytePath): OpenDirectory {
    return new OpenDirectory(path, path);
  }

  child(name: BytePath): OpenDirectory {
    return new OpenDirectory(joinBytes(this.path, name), this.at(name));
  }

  /** What to hand to functions that change the entry `name`. */
  at(name: BytePath): BytePath {
    return `${this.#through}/${name}`;
  }

  names(): BytePath[] {
    return readdirSync(systemPath(`${this.#through}/.`), { encoding: 'latin1' });
  }

  /** By path where that is shorter: nothing but types and times is learnt from it. Undefined where there is nothing. */
  stat(name: BytePath): Stats | undefined {
    const path = this.path.length < LONG_PATH ? joinBytes(this.path, name) : this.at(name);
    return lstatSync(systemPath(path), { throwIfNoEntry: false });
  }

  /** The same through the descriptor, for decisions about what is changed. */
  statHere(name: BytePath): Stats | undefined {
    return lstatSync(systemPath(this.at(name)), { throwIfNoEntry: false });
  }

  readLink(name: BytePath): Buffer {
    return readlinkSync(systemPath(this.at(name)), { encoding: 'buffer' });
  }

  /** Neither follows a link nor waits for the other side of a pipe. */
  openFile(name: BytePath): number {
    return openSync(systemPath(this.at(name)), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  }

  own(): Stats {
    return fstatSync(this.#fd);
  }

  close(): void {
    closeSync(this.#fd);
  }
}
