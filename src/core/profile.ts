/** An agent, resolved when its task is submitted and stored by hash: nothing that changes later changes a task. */
export interface Profile {
  readonly agent: string;
  /** The system prompt, whole. */
  readonly prompt: string;
  /** Names of the tools that the model is shown. */
  readonly tools: readonly string[];
  /** `provider/model`. */
  readonly model: string;
  readonly mode: Mode;
  readonly temperature?: number;
  readonly maxTokens?: number;
}

/** How permission is asked: before what changes anything, never with nothing changed, or never. */
export type Mode = 'safe' | 'plan' | 'auto';

/** Limits where nothing else is asked for. */
export const DEFAULT_LIMITS = { turns: 70, treeTurns: 1000 } as const;
