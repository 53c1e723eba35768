import type { Readable } from 'node:stream';
import type { EgressHost } from '../core/egress.ts';

/**
 * Runs commands for agents. Every process belongs to one call, dies with it, and dies with its worker.
 */
export interface Sandbox {
  /** What confines a command, as `doctor` and the run header say it. */
  readonly name: 'none' | 'bubblewrap';
  /** Whether a command can change nothing but what `Command.writable` names, and its own scratch directory. */
  readonly confined: boolean;
  /**
   * Runs one shell command to its end, time-out or abort. Never throws for what the command does; throws only where it
   * cannot be started. When it returns, no process of the command is left.
   */
  run(command: Command, signal: AbortSignal): Promise<CommandResult>;
  /** Ends everything it started, and itself. */
  close(): Promise<void>;
}

/** A sandbox whose commands die when their worker no longer says that it lives and holds its lease. */
export interface LeasedSandbox extends Sandbox {
  feed(): void;
  /** What all processes of its commands carry: for `endMarked`, when their worker is gone. */
  readonly mark: SandboxMark;
}

export interface SandboxMark {
  /** `NAME=value` in their environment. */
  readonly marker: string;
  /** Their hard limit of file locks. */
  readonly lockLimit: number;
}

export interface Command {
  /** Given to `bash -c`. */
  readonly script: string;
  /** Absolute path. */
  readonly cwd: string;
  readonly timeoutMs: number;
  /** What a confined command may change, and what it may only read, beside the system: real absolute paths. */
  readonly writable: readonly string[];
  readonly readable?: readonly string[];
  /** Files that are not there, absolute: what a confined command has put in their place is removed when it has ended. */
  readonly absent?: readonly string[];
  /** Another name that one of these has on the host, as a symbolic link, and keeps for the command. */
  readonly link?: { readonly path: string; readonly to: string };
  /** A directory of its session's own, absolute, made where it is missing: temporary files and caches, which no snapshot holds. */
  readonly scratch: string;
  /** Hosts that a confined command may reach, by HTTP(S) and what goes through its proxies; none where left out. */
  readonly egress?: readonly EgressHost[];
  /** Variables added to the cleared environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Settings of git, above those of any file, beside those that all commands have. */
  readonly gitSettings?: Readonly<Record<string, string>>;
  /** What the command reads; left out, its input is at its end from the beginning. */
  readonly input?: Readable;
  /** Output as it comes, stdout and stderr in order of arrival. */
  readonly onOutput?: (text: string) => void;
  /** False: `onOutput` alone gets the output, without a limit, and the result has none. */
  readonly keepsOutput?: boolean;
}

export interface CommandResult {
  /**
   * `exit` with a code, `signal` with a name, or why Capybara ended it. In bubblewrap a command that a signal ended gives the code
   * that shells give it, 128 and the signal's number; `signal` is then what ended the sandbox around it.
   */
  readonly end:
    | { readonly type: 'exit'; readonly code: number }
    | { readonly type: 'signal'; readonly signal: string }
    | { readonly type: 'timeout' }
    | { readonly type: 'aborted' };
  /** stdout and stderr interleaved, decoded as UTF-8, up to the sandbox's limit. */
  readonly output: string;
  /** Bytes beyond the limit that were read and dropped. */
  readonly droppedBytes: number;
  readonly durationMs: number;
}
