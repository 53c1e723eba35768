import { existsSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import type { ShadowGit } from './shadow-git.ts';
import { SnapshotError } from './snapshot-error.ts';

/** Of one directory: lists of what is shared are read whole. */
const LIST_BYTES = 64 * 1024 * 1024;
/** Names that are removed at once: a command line has its limit. */
const AT_ONCE = 500;
/** A name's period is one of so many, in turn. */
const SLOTS = 4;
const PUSH_TRIES = 10;
/** How many periods ago a name was written that may go: no clock is a whole period wrong. */
const OLD = 2;

export interface SharedOptions {
  /** `CAPYBARA_SNAPSHOTS`. */
  readonly remote: string;
  readonly lineage: string;
  /** See `SnapshotLimits.nameMs`. */
  readonly nameMs: number;
  /** In milliseconds since the epoch. */
  readonly now?: () => number;
}

/**
 * Where hosts share snapshots: a directory that all of them see, with a store for each lineage, or a git remote. A snapshot stands
 * there under references of its own, `refs/capybara/<lineage>/<slot>/<snapshot>`, each written once: its name says what it holds.
 *
 * The slot is that of the day: who pushes a snapshot that is there already, and is about to be named by a row, writes it once more
 * under today's. So whoever removes names of days before takes none that somebody relies on, and no one waits for another.
 */
export class SharedSnapshots {
  readonly #git: ShadowGit;
  readonly #remote: string;
  readonly #lineage: string;
  readonly #nameMs: number;
  readonly #now: () => number;
  /** The store, where it is a directory. */
  readonly place: ShadowGit | undefined;
  /** By snapshot: the newest period in which it was. A name comes again in another one, and may be gone between. */
  readonly #pushed = new Map<string, number>();

  constructor(git: ShadowGit, { remote, lineage, nameMs, now = Date.now }: SharedOptions) {
    this.#git = git;
    this.#remote = isAbsolute(remote) ? join(remote, `${lineage}.git`) : remote;
    this.place = isAbsolute(remote) ? git.beside(this.#remote) : undefined;
    this.#lineage = lineage;
    this.#nameMs = nameMs;
    this.#now = now;
  }

  /** Durable there when it returns, as far as the other side keeps what git hands it. */
  push(snapshot: string): void {
    const [name, period] = [this.#nameOf(snapshot, 0), this.#period];
    if (this.#pushed.get(snapshot) === period) return;
    if (this.place !== undefined && !existsSync(join(this.#remote, 'HEAD'))) this.place.open();
    this.#pushAs(snapshot, name);
    this.#pushed.set(snapshot, period);
  }

  /** Whoever packs the names there removes the directory that this one is being made in, where it is empty. */
  #pushAs(snapshot: string, name: string): void {
    for (let left = PUSH_TRIES; ; left -= 1) {
      try {
        this.#run(['push', '--quiet', '--no-verify', this.#remote, `${snapshot}:${name}`]);
        return;
      } catch (error) {
        if (left === 1 || !/unable to create directory for/.test(String(error))) throw error;
      }
    }
  }

  fetch(snapshot: string): void {
    for (let ago = 0; ; ago += 1) {
      try {
        this.#run([...FETCH, this.#remote, this.#nameOf(snapshot, ago)]);
        return;
      } catch (error) {
        if (ago === SLOTS - 1 || !/couldn't find remote ref/.test(String(error))) throw error;
      }
    }
  }

  /** Removes the names of all snapshots but these, of those that are old enough. */
  forget(live: readonly string[]): void {
    const kept = new Set(live);
    const prefix = this.#nameOf('', OLD);
    const dead = this.#names(prefix).filter((name) => !kept.has(name.slice(prefix.length)));
    for (let start = 0; start < dead.length; start += AT_ONCE)
      this.#remove(dead.slice(start, start + AT_ONCE));
  }

  /** The snapshots that have a name in the directory. */
  named(): string[] {
    const output = this.place?.run(['for-each-ref', '--format=%(objectname)']) ?? '';
    return [...new Set(output.toString().split('\n').slice(0, -1))];
  }

  /** What need not be done before an answer. */
  tidy(): void {
    if (this.place !== undefined && existsSync(this.place.packs)) this.place.joinPacks();
  }

  #names(prefix: string): string[] {
    const output = this.place
      ? this.place.run(['for-each-ref', '--format=%(refname)', prefix])
      : this.#run(['ls-remote', '--refs', this.#remote, `${prefix}*`], LIST_BYTES);
    return (output ?? '').toString().match(/refs\/\S+/g) ?? [];
  }

  #remove(names: readonly string[]): void {
    if (this.place === undefined) {
      const gone = names.map((name) => `:${name}`);
      this.#run(['push', '--quiet', '--no-verify', this.#remote, ...gone]);
    } else {
      const input = Buffer.from(names.map((name) => `delete ${name}\n`).join(''));
      this.place.run(['update-ref', '--stdin'], { input });
    }
  }

  get #period(): number {
    return Math.floor(this.#now() / this.#nameMs);
  }

  #nameOf(snapshot: string, periodsAgo: number): string {
    const slot = (this.#period - periodsAgo) % SLOTS;
    return `refs/capybara/${this.#lineage}/${slot}/${snapshot}`;
  }

  /** What git says may repeat an address with a password in it. */
  #run(args: readonly string[], maxBytes?: number): Buffer {
    try {
      const output = this.#git.run(args, maxBytes === undefined ? {} : { maxBytes });
      if (output !== undefined) return output;
      throw new SnapshotError('git_failed', `git ${args[0]} lists more than ${maxBytes} bytes.`);
    } catch (error) {
      if (!(error instanceof SnapshotError)) throw error;
      const said = error.message
        .replaceAll(this.#remote, 'CAPYBARA_SNAPSHOTS')
        .replace(/\/\/[^/\s]*@/g, '//');
      if (error.code === 'disk_full') throw new SnapshotError(error.code, said);
      throw new SnapshotError(
        'not_shared',
        `${said} Check CAPYBARA_SNAPSHOTS, and that this host may use it.`,
      );
    }
  }
}

const FETCH = ['fetch', '--quiet', '--no-tags', '--no-write-fetch-head', '--no-recurse-submodules'];
