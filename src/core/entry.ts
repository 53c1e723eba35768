/**
 * The log of a session: what the model may see. Entries are appended, never changed.
 */
import type { Todo } from './todos.ts';

/** One piece of a model's answer. */
export type Part = TextPart | ReasoningPart | ToolPart;

/** One piece of what a call returned, or of a notice. */
export type ResultPart = TextPart | FilePart;

/** One piece of what a person said: words, and files that they attached. */
export type UserPart = ResultPart | DocumentPart;

export interface TextPart {
  readonly type: 'text';
  readonly text: string;
}

/** What the model thought before it answered. `signature` is the provider's proof, sent back unchanged. */
export interface ReasoningPart {
  readonly type: 'reasoning';
  readonly text: string;
  readonly signature?: string;
}

/** A call that the model asked for. `arguments` is the JSON text as the model wrote it, valid or not. */
export interface ToolPart {
  readonly type: 'tool';
  readonly callId: string;
  readonly name: string;
  readonly arguments: string;
}

/** An image that a call returned, or a person attached. Its bytes are stored once, by content; here stands what leads to them. */
export interface FilePart {
  readonly type: 'file';
  readonly mediaType: 'image/png' | 'image/jpeg' | 'image/gif' | 'image/webp';
  /** SHA-256 of the bytes, hexadecimal. */
  readonly hash: string;
  /** As whoever asked for it knows it: a path, or the end of a URL. */
  readonly name: string;
  readonly bytes: number;
  /** In pixels. */
  readonly width: number;
  readonly height: number;
}

/** A file that a person attached, and that is no image: its text is told in a notice behind it. Stored as images are. */
export interface DocumentPart {
  readonly type: 'file';
  readonly mediaType: 'application/pdf' | 'text/plain';
  /** SHA-256 of the bytes, hexadecimal. */
  readonly hash: string;
  readonly name: string;
  readonly bytes: number;
}

/** Why the model stopped: the providers' words, normalised. */
export type StopReason = 'stop' | 'tool_calls' | 'length' | 'refusal';

/**
 * One item of the log. `position` counts from 1 within the session, without gaps.
 *
 * - `user`: a prompt or a steering message.
 * - `notice`: said by Capybara, not by a person: project context, a warning. With images: those that the person mentioned, as
 *   `noted` says, or else those that the provider refused.
 * - `revert`: a person took the log back: from here on what stands between position `to` and it is left out.
 * - `assistant`: a model answer.
 * - `tool_result`: what a call returned; `callId` names the `tool` part that asked.
 * - `pruning`: from here on the model is only told of what the results at these positions said.
 * - `compaction`: from here on its text stands for what is behind position `after`, up to `to`.
 *
 * `noted`: what Capybara keeps with it, and the model does not see.
 */
export type Entry =
  | { readonly kind: 'user'; readonly position: number; readonly parts: readonly UserPart[] }
  | {
      readonly kind: 'notice';
      readonly position: number;
      readonly parts: readonly ResultPart[];
      readonly noted?: Noted;
    }
  | {
      readonly kind: 'revert';
      readonly position: number;
      readonly parts: readonly TextPart[];
      readonly to: number;
    }
  | {
      readonly kind: 'assistant';
      readonly position: number;
      readonly parts: readonly Part[];
      readonly stopReason: StopReason;
      readonly noted?: Noted;
    }
  | {
      readonly kind: 'tool_result';
      readonly position: number;
      readonly parts: readonly ResultPart[];
      readonly callId: string;
      readonly status: ClosedCallStatus;
      readonly noted?: Noted;
    }
  | {
      readonly kind: 'pruning';
      readonly position: number;
      readonly parts: readonly TextPart[];
      readonly replaces: Pruned;
    }
  | {
      readonly kind: 'compaction';
      readonly position: number;
      readonly parts: readonly TextPart[];
      readonly replaces: Replaced;
    };

/** Positions of results. */
export interface Pruned {
  readonly results: readonly number[];
}

/** What stands behind `after`, up to and with `to`. */
export interface Replaced {
  readonly after: number;
  readonly to: number;
}

/** What Capybara keeps with an entry: what the agent knows of its workspace's files from there on, and what it cost. */
export interface Noted {
  /** Of an answer: the tokens of the request that led to it, as the provider counted them. */
  readonly input?: number;
  /** Files that the call showed it, or made, in that order. */
  readonly seen?: readonly SeenFile[];
  /** Ignored files and directories (`build/`) that were there then, where they are others than before. No snapshot holds them. */
  readonly ignored?: readonly string[];
  /** Instructions of directories below the root that the notice tells: their paths from there. */
  readonly instructions?: readonly string[];
  /** Files and directories that a person mentioned, and the notice shows: as they were named. */
  readonly mentioned?: readonly string[];
  /** The agent's list of what is to be done, from there on. */
  readonly todos?: readonly Todo[];
  /** A person asked that a summary stands for what came before, from the next answer on. */
  readonly compacts?: true;
}

/** A path from the workspace's root, and the version that was shown or made; without one the file is gone. */
export type SeenFile = readonly [path: string, version?: string];

/** An entry before the store has given it its position. */
export type NewEntry = Entry extends infer E ? (E extends Entry ? Omit<E, 'position'> : never) : never;

/** States of a tool call (DESIGN §2). Those of `ClosedCallStatus` are final. */
export type CallStatus = 'requested' | 'awaiting_approval' | 'started' | ClosedCallStatus;
export type ClosedCallStatus = 'succeeded' | 'failed' | 'denied' | 'interrupted' | 'unknown';

/**
 * What running a call again would mean.
 *
 * - `read`: changes nothing; may run again at will.
 * - `workspace`: changes only versioned files.
 * - `external`: may change anything; runs at most once.
 */
export type Effect = 'read' | 'workspace' | 'external' | 'delegate';

/** What counts of a log: all of it, but for what a person took back. */
export function standing<E extends { readonly kind: string; readonly to?: number | undefined }>(
  entries: readonly E[],
): readonly E[] {
  if (!entries.some(({ kind }) => kind === 'revert')) return entries;
  const found: E[] = [];
  for (let position = entries.length; position > 0; ) {
    const entry = entries[position - 1] as E;
    found.push(entry);
    // What the log was at that position is what counts before it: also what an earlier revert left out, or brought back.
    position = entry.kind === 'revert' ? (entry.to ?? 0) : position - 1;
  }
  return found.reverse();
}

/** The text of an entry's text parts, joined. */
export function textOf(parts: readonly { readonly type: string; readonly text?: string }[]): string {
  return parts.map(({ type, text = '' }) => (type === 'text' ? text : '')).join('');
}

/** The images among them. */
export function filesOf(parts: readonly (Part | UserPart)[]): FilePart[] {
  return parts.filter(isImage);
}

export function documentsOf(parts: readonly (Part | UserPart)[]): DocumentPart[] {
  return parts.filter((part) => part.type === 'file' && !isImage(part)) as DocumentPart[];
}

export function isImage(part: Part | UserPart): part is FilePart {
  return part.type === 'file' && 'width' in part;
}
