import type { Access, Beside, WorkspaceKind } from '../core/workspace.ts';

/**
 * The files a session works on. Kinds differ in where the files come from; tools see only this.
 */
export interface Workspace {
  readonly id: string;
  readonly kind: WorkspaceKind;
  /** Absolute path of the root, symlinks resolved. */
  readonly root: string;
  /** The path that agents and people know the root by: it stays the same when the files move. */
  readonly shown: string;
  /** Absolute path of a directory beside the files, for what commands keep that is no part of the work: no snapshot holds it. */
  readonly scratch: string;
  /** Of a workspace of several named roots: directories of `root`, beside which nothing is. */
  readonly roots?: readonly Root[] | undefined;
  /** Other directories, which may be read: they are part of no snapshot. */
  readonly beside?: readonly Beside[] | undefined;
  /** Where this is one of those roots or directories alone: the workspace that it is of. */
  readonly whole?: Workspace;
  /**
   * The absolute path that `path` (absolute, or relative to the root) means, symlinks resolved as far as they exist.
   * Throws `WorkspacePathError` where it leaves the root, and what may be read beside it.
   */
  resolve(path: string): Promise<string>;
}

/** One of several roots of a workspace. */
export interface Root {
  readonly name: string;
  /** Absolute. */
  readonly path: string;
  readonly access: Access;
}

export class WorkspacePathError extends Error {
  override readonly name = 'WorkspacePathError';
}
