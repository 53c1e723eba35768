/** What a test submits, and what it gets. */
import type { UserPart } from '../../src/core/entry.ts';
import type { ContextPolicy, Permissions, Profile, Router } from '../../src/core/profile.ts';
import type { Beside, NamedRoot, ProjectServers } from '../../src/core/workspace.ts';
import type { Submission } from '../../src/store/tasks.ts';
import type { Script } from './scripted-model/scripted-model.ts';

export interface WantedGit {
  readonly url: string;
  readonly ref?: string;
}

export interface Wanted {
  readonly prompt?: string;
  readonly attached?: readonly UserPart[];
  readonly script?: Script;
  readonly mode?: Profile['mode'];
  /** Rules, so that a call is asked about wherever it runs. */
  readonly permissions?: Permissions;
  readonly model?: string;
  /** What else may answer. */
  readonly router?: Router;
  readonly tools?: readonly string[];
  /** Of MCP servers. */
  readonly mcp?: Profile['mcp'];
  readonly context?: ContextPolicy;
  /** Whom it may delegate to, by name. */
  readonly delegates?: Readonly<Record<string, Delegate>>;
  readonly limits?: Partial<Submission['task']['limits']>;
  /** What its requests are reserved by, and cost where their model says nothing. */
  readonly accounts?: Submission['task']['reserve'];
  readonly sessionId?: string;
  /** A directory of the test's, instead of an empty one. */
  readonly path?: string;
  /** A new directory of the user's, instead of an empty one. */
  readonly local?: boolean;
  /** MCP servers that its project has. */
  readonly projectServers?: ProjectServers;
  /** What may be read beside a directory of the test's. */
  readonly beside?: readonly Beside[];
  /** A repository, instead of an empty one. */
  readonly git?: WantedGit | ((dir: string) => WantedGit);
  /** Several roots, instead of an empty one. */
  readonly roots?: readonly NamedRoot[];
  /** Without a wake-up: the job was lost before it was added. */
  readonly unwoken?: boolean;
}

/** An agent: what its model answers, and what else its profile says. */
export interface Delegate extends Partial<Omit<Profile, 'agent' | 'prompt'>> {
  readonly script?: Script;
}

/** A task that was delegated. */
export interface Child {
  readonly sessionId: string;
  readonly taskId: string;
  readonly status: string;
  readonly waiting_on: string | null;
  readonly error_code: string | null;
  readonly title: string;
  readonly delegation: 'open' | 'ended' | 'abandoned';
  readonly hasSlot: boolean;
  readonly depth: number;
}

export interface Task {
  readonly taskId: string;
  readonly sessionId: string;
  readonly turnId: string;
  /** The workspace's directory. */
  readonly root: string;
  /** Beside it. */
  readonly scratch: string;
}

export interface TaskRow {
  readonly status: string;
  readonly waiting_on: string | null;
  readonly error_code: string | null;
  readonly error_message: string | null;
  readonly result_position: number | null;
}
