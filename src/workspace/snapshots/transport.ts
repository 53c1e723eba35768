import { isAbsolute } from 'node:path';
import type { ShadowGit } from './shadow-git.ts';
import { SnapshotError } from './snapshot-error.ts';

/**
 * Where hosts share snapshots: a directory that all of them see, or a git remote. A snapshot stands there under a reference of its
 * own, `refs/capybara/<lineage>/<snapshot>`, which is written once: its name says what it holds.
 */
export class SharedSnapshots {
  readonly #git: ShadowGit;
  readonly #remote: string;
  readonly #lineage: string;
  readonly #pushed = new Set<string>();

  constructor(git: ShadowGit, { remote, lineage }: { readonly remote: string; readonly lineage: string }) {
    this.#git = git;
    this.#remote = remote;
    this.#lineage = lineage;
  }

  /** Durable there when it returns, as far as the other side keeps what git hands it. */
  push(snapshot: string): void {
    if (this.#pushed.has(snapshot)) return;
    if (isAbsolute(this.#remote)) this.#git.beside(this.#remote).open();
    this.#run(['push', '--quiet', '--no-verify', this.#remote, `${snapshot}:${this.#nameOf(snapshot)}`]);
    this.#pushed.add(snapshot);
  }

  fetch(snapshot: string): void {
    this.#run([
      'fetch',
      '--quiet',
      '--no-tags',
      '--no-write-fetch-head',
      '--no-recurse-submodules',
      this.#remote,
      this.#nameOf(snapshot),
    ]);
  }

  /** Removes what nobody needs. `dead`: names that are not there are none to remove. */
  forget(dead: readonly string[]): void {
    const there = this.#run(['ls-remote', '--refs', this.#remote, this.#nameOf('*')])
      .toString()
      .split('\n')
      .map((line) => line.split('\t')[1]);
    const names = dead.map((snapshot) => this.#nameOf(snapshot)).filter((name) => there.includes(name));
    for (let start = 0; start < names.length; start += 500) {
      const some = names.slice(start, start + 500).map((name) => `:${name}`);
      this.#run(['push', '--quiet', '--no-verify', this.#remote, ...some]);
    }
    for (const snapshot of dead) this.#pushed.delete(snapshot);
  }

  #nameOf(snapshot: string): string {
    return `refs/capybara/${this.#lineage}/${snapshot}`;
  }

  /** What git says may repeat an address with a password in it. */
  #run(args: readonly string[]): Buffer {
    try {
      return this.#git.run(args) as Buffer;
    } catch (error) {
      if (!(error instanceof SnapshotError)) throw error;
      const said = error.message
        .replaceAll(this.#remote, 'CAPYBARA_SNAPSHOTS')
        .replace(/\/\/[^/\s]*@/g, '//');
      throw new SnapshotError(
        'not_shared',
        `${said} Check CAPYBARA_SNAPSHOTS, and that this host may use it.`,
      );
    }
  }
}
