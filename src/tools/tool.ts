import type { z } from 'zod';
import type { Effect, FilePart } from '../core/entry.ts';
import type { Todo } from '../core/todos.ts';
import type { BackgroundProcesses } from '../sandbox/background.ts';
import type { ProcessNews } from '../sandbox/background-process.ts';
import type { Sandbox } from '../sandbox/sandbox.ts';
import type { SeenFiles } from '../workspace/seen-files.ts';
import type { Workspace } from '../workspace/workspace.ts';

/** One thing the model can do. `parameters` must be a `z.object`: its JSON Schema is checked at registration, and told to the model. */
export interface Tool<Parameters extends z.ZodObject = z.ZodObject> {
  readonly name: string;
  readonly description: string;
  readonly parameters: Parameters;
  /** JSON Schema of type object: what the model is told instead, where somebody else has said what a call takes. */
  readonly schema?: Readonly<Record<string, unknown>>;
  readonly effect: Effect;
  /** Where its commands run in a sandbox that confines them to the workspace; else as `effect`. */
  readonly effectConfined?: Effect;
  /** The tool without which it is of no use, and not shown. */
  readonly needs?: string;
  /** What a call does depends on more than its arguments: a person's yes is for that call alone. */
  readonly isAllowedOnce?: true;
  /** The files that a call names, as it names them: what rules are about. Left out: its `path`, where it has one. */
  paths?(args: Readonly<Record<string, unknown>>): readonly string[];
  /** Runs the call. A throw becomes the result `Error: Type: message` that the model can read. */
  execute(args: z.infer<Parameters>, context: ToolContext): Promise<ToolOutcome>;
}

/** What a call may use. Nothing else reaches a tool. */
export interface ToolContext {
  readonly workspace: Workspace;
  readonly sandbox: Sandbox;
  /** Commands of this session that go on while its agent works. */
  readonly background: BackgroundProcesses;
  /** Versions of files that this session's agent was shown or made. */
  readonly seen: SeenFiles;
  /** Aborts on cancel, on a limit and when the worker stops. */
  readonly signal: AbortSignal;
  /** Live output for whoever watches; may be dropped. */
  readonly onOutput: (text: string) => void;
  /** A part of what an earlier call of this session's tree returned, by the call's id. Undefined: nothing of it was stored. */
  readonly readOutput: (callId: string, range: OutputRange) => Promise<OutputPage | undefined>;
  /** Takes over what a session that this one delegated to has changed, by its public id. Left out where nothing can be delegated. */
  readonly mergeChild?: (session: string) => Promise<ToolOutcome>;
}

/** In UTF-16 code units. */
export interface OutputRange {
  readonly offset: number;
  readonly limit: number;
}

export interface OutputPage {
  readonly text: string;
  /** Whether there is text behind it. */
  readonly more: boolean;
}

/** What a tool hands back. `isError` marks a result the model should treat as a failure (exit code not 0, ...). */
export interface ToolOutcome {
  readonly text: string;
  /** Shown behind the text, where the model takes images; the text says what they are. Of a failure none is. */
  readonly images?: readonly ToolImage[];
  readonly isError?: boolean;
  /** Its command was ended because the disk was about to be full: what it left is to make room. */
  readonly filledDisk?: true;
  /** It has recorded itself what the files are after it. */
  readonly moved?: { readonly snapshot?: string };
  /** Calls that delegated, of which it has merged what their tasks changed. */
  readonly merged?: readonly string[];
  /** Which commands it began to run in the background, and of which it tells that they have ended. */
  readonly processes?: ProcessNews;
  /** The agent's list of what is to be done, from now on. */
  readonly todos?: readonly Todo[];
}

/** Whole, and within `IMAGE_LIMITS`. */
export interface ToolImage extends Pick<FilePart, 'name' | 'mediaType' | 'width' | 'height'> {
  readonly bytes: Uint8Array;
}

/** Lets TypeScript infer the parameters of a tool that is written as an object literal. */
export function defineTool<Parameters extends z.ZodObject>(tool: Tool<Parameters>): Tool {
  return tool as unknown as Tool;
}
