import { UserError } from './errors.ts';
import type { ConfiguredRule } from './permission.ts';

/** Where the files of a session come from (DESIGN §6). All but `local` are managed: Capybara's own copies, put back after a loss. */
export const WORKSPACE_KINDS = ['local', 'git', 'upload', 'empty', 'roots'] as const;

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
  /** Its MCP servers then; left out: none. */
  readonly servers?: ProjectServers;
}

/** MCP servers of a project by name, as its file has them: what they mean is read where they run. */
export type ProjectServers = Readonly<Record<string, unknown>>;

/** Of an `upload` workspace. */
export interface UploadSource {
  readonly uploadId: string;
  /** Where it was sent from, as its client says: shown to people, and used for nothing else. */
  readonly directory: string;
}

/** Of a `local` workspace: other directories of the machine, which agents may read. */
export interface LocalSource {
  readonly beside: readonly Beside[];
}

export interface Beside {
  readonly name: string;
  /** Absolute and real. */
  readonly path: string;
}

/** What is stored of where files come from. */
export type Source = GitSource | RootsSource | LocalSource;

/** Of a `roots` workspace: one directory, with a directory in it for each root, and nothing beside them. */
export interface RootsSource {
  /** In the order of their names. */
  readonly roots: readonly NamedRoot[];
  /** Known once they were put together. */
  readonly found?: FoundRoots;
}

/** Whether an agent may change a root's files. */
export type Access = 'write' | 'read';

export type NamedRoot = { readonly name: string; readonly access: Access } & (
  | ({ readonly kind: 'git' } & Pick<GitSource, 'url' | 'ref'>)
  /** `lineage` names the tree of forks that the snapshot belongs to. */
  | ({ readonly kind: 'upload'; readonly lineage: string; readonly snapshot: string } & UploadSource)
  | { readonly kind: 'empty' }
);

/** What the repositories among the roots were when they were cloned. */
export interface FoundRoots {
  /** By the root's name; null in a repository without commits. */
  readonly commits: Readonly<Record<string, string | null>>;
  /** The rules of those projects, on paths of the workspace: as of `FoundSource`. */
  readonly rules: readonly ConfiguredRule[];
}

export const MAX_ROOTS = 8;
export const MAX_ROOT_NAME_LENGTH = 32;
/** No name of version control's own, none that a shell reads, and none that differs from another by case alone. */
export const ROOT_NAME_PATTERN = new RegExp(`^[a-z0-9][a-z0-9._-]{0,${MAX_ROOT_NAME_LENGTH - 1}}$`);
export const ROOT_NAME_RULE = `1 to ${MAX_ROOT_NAME_LENGTH} of a-z, 0-9, '.', '_' and '-', the first a letter or digit`;

/** What is wrong in one of several roots, with the root's name. */
export function wrongIn(root: string, error: unknown): unknown {
  if (!(error instanceof UserError)) return error;
  return new UserError(error.code, `The root ${root}: ${error.message}`, error.exitCode);
}
