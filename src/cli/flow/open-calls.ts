import type { Event, TreeNode } from '../../api/wire.ts';

interface Call {
  readonly callId: string;
  readonly tool: string;
  isStarted: boolean;
}

type Doing = NonNullable<TreeNode['doing']>;

/** The calls that are open in each session. Known from events alone: each is told when it is asked for, and when it ends. */
export class OpenCalls {
  readonly #calls = new Map<string, Call[]>();
  /** What calls are about, as readings of the tree say: events do not. */
  readonly #abouts = new Map<string, string>();

  /** Returns whether it is about a call. */
  apply({ type, sessionId, data }: Event): boolean {
    const calls = this.#calls.get(sessionId) ?? [];
    const callId = String(data.callId);
    switch (type) {
      case 'tool.requested':
        this.#calls.set(sessionId, [...calls, { callId, tool: String(data.name), isStarted: false }]);
        return true;
      case 'tool.started':
        for (const call of calls) if (call.callId === callId) call.isStarted = true;
        return true;
      case 'tool.completed':
        this.#abouts.delete(nameOf(sessionId, callId));
        this.#calls.set(
          sessionId,
          calls.filter((call) => call.callId !== callId),
        );
        return true;
      default:
        return false;
    }
  }

  tell(sessionId: string, { callId, about = '' }: Doing): void {
    this.#abouts.set(nameOf(sessionId, callId), about);
  }

  /** The one that runs, as far as anybody can see. `about` undefined: not known yet; '': nothing can be said. */
  current(sessionId: string): Doing | undefined {
    const calls = this.#calls.get(sessionId) ?? [];
    const call = calls.find(({ isStarted }) => isStarted) ?? calls[0];
    if (call === undefined) return undefined;
    const about = this.#abouts.get(nameOf(sessionId, call.callId));
    return { tool: call.tool, callId: call.callId, ...(about !== undefined && { about }) };
  }
}

/** Some models number their calls from 0 in every session. */
function nameOf(sessionId: string, callId: string): string {
  return `${sessionId} ${callId}`;
}
