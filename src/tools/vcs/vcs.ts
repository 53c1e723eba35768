/**
 * One interface to every version control. Each system says which of its programs answer, and reads the answers; `Programs` runs
 * them in the sandbox, like any command.
 */
import type { VersionControlName } from '../../workspace/working-copy.ts';
import type { Programs } from './programs.ts';

export interface Vcs {
  readonly name: VersionControlName;
  /** What the calls below start, and how people call the system. */
  readonly program: string;
  readonly title: string;
  /**
   * Whether what only looks must look at a copy of the whole working copy: the system writes down what it sees, and would fail
   * where it may not.
   */
  readonly looksAtCopy?: true;
  /** See `ProgramsOptions`. */
  readonly env?: Readonly<Record<string, string>>;
  readonly lookEnv?: Readonly<Record<string, string>>;
  readonly lookUnconfined?: string;

  status(copy: Copy): Promise<Status>;
  /** What is not committed, or what is different from a revision, as a unified diff; empty where nothing is. */
  diff(
    copy: Copy,
    wanted: { readonly revision?: string | undefined; readonly path: string },
  ): Promise<string>;
  /** The newest first, from where the working copy is. */
  log(copy: Copy, wanted: { readonly limit: number; readonly path: string }): Promise<readonly Revision[]>;
  branches(copy: Copy): Promise<readonly Branch[]>;
  /** Begins a branch where the working copy is, and goes on in it. */
  createBranch(copy: Copy, name: string): Promise<void>;
  switchTo(copy: Copy, name: string): Promise<void>;
  /** New and deleted files included. The new revision's id. */
  commit(copy: Copy, wanted: CommitRequest): Promise<string>;
  /** Sends history to where others get it. What the system said. */
  submit(copy: Copy, wanted: SubmitRequest): Promise<string>;
}

export interface Copy {
  readonly programs: Programs;
  /** The working copy's root, absolute. */
  readonly root: string;
  /** Of the workspace's root below that, with `/` at its end, or empty. Paths of calls begin at the workspace's root. */
  readonly prefix: string;
  /** Whether the sandbox confines what runs: else nothing may run that a repository merely names. */
  readonly confined: boolean;
}

/** Modified, added, deleted, renamed, in conflict, or not known to the system. */
export type Letter = 'M' | 'A' | 'D' | 'R' | 'U' | '?';

export interface Change {
  readonly letter: Letter;
  /** From the workspace's root; directories end in `/`. */
  readonly path: string;
  /** Of `R`: what it was. */
  readonly from?: string;
}

export interface Status {
  /** Undefined: on none. */
  readonly branch: string | undefined;
  /** Undefined: nothing has been committed. */
  readonly revision: string | undefined;
  /** What else a person would want to know, such as how far it is ahead of its remote. */
  readonly notes?: readonly string[];
  readonly changes: readonly Change[];
}

export interface Revision {
  readonly id: string;
  /** ISO 8601. */
  readonly date: string;
  readonly author: string;
  /** The first line of the message. */
  readonly subject: string;
}

export interface Branch {
  readonly name: string;
  readonly isCurrent: boolean;
}

export interface CommitRequest {
  /** With the co-author's trailer. */
  readonly message: string;
  /** From the workspace's root; none: all of it. */
  readonly paths: readonly string[];
}

export interface SubmitRequest {
  /** A configured remote's name; undefined: the default one. */
  readonly remote: string | undefined;
  readonly branch: string | undefined;
  /** For a system in which to commit is to publish. */
  readonly message: string | undefined;
  readonly paths: readonly string[];
}

/** What a version control could not do, in words for the model. */
export class VcsError extends Error {
  override readonly name = 'VcsError';
}
