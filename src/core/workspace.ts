import type { ConfiguredRule } from './permission.ts';

/** Where the files of a session come from (DESIGN §6). All but `local` are managed: Capybara's own copies, put back after a loss. */
export const WORKSPACE_KINDS = ['local', 'git', 'upload', 'empty'] as const;

export type WorkspaceKind = (typeof WORKSPACE_KINDS)[number];

/** Of a `git` workspace. */
export interface GitSource {
  readonly url: string;
  /** A branch, a tag or a commit; null: the remote's own default. */
  readonly ref: string | null;
  /** Known once it was cloned. */
  readonly found?: FoundSource;
}

/** What a repository was when it was cloned. */
export interface FoundSource {
  /** Where the ref led; null in a repository without commits. */
  readonly commit: string | null;
  /** The project's own rules, `ask` and `deny` only: read then, and binding for every task of the session. */
  readonly rules: readonly ConfiguredRule[];
}

/** Of an `upload` workspace. */
export interface UploadSource {
  readonly uploadId: string;
  /** Where it was sent from, as its client says: shown to people, and used for nothing else. */
  readonly directory: string;
}
