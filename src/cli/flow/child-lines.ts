import type { Event } from '../../api/wire.ts';
import { withCode } from '../summary.ts';
import type { Style } from '../terminal.ts';
import { oneLine } from '../untrusted-text.ts';

const NAME_COLUMNS = 72;

interface Call {
  readonly name: string;
  isAnnounced: boolean;
}

interface Signs {
  readonly begins: string;
  readonly succeeded: string;
  readonly failed: string;
}

const UNICODE: Signs = { begins: '▶', succeeded: '✓', failed: '✗' };
const ASCII: Signs = { begins: '>', succeeded: '+', failed: 'x' };

/** What the sessions below a followed one do, a line for each thing, where nothing can be drawn in place. */
export class ChildLines {
  readonly #style: Style;
  readonly #signs: Signs;
  /** Open calls of each session in their model's order. */
  readonly #open = new Map<string, Map<string, Call>>();

  constructor(style: Style) {
    this.#style = style;
    this.#signs = style.isUnicode ? UNICODE : ASCII;
  }

  /** `name`: of the session that the event is about. Whole lines, or ''. */
  lines({ type, sessionId, data }: Event, name: string): string {
    return this.#said(type, sessionId, data)
      .map((line) => `${this.#style.dim(`[${name}]`)} ${line}\n`)
      .join('');
  }

  #said(type: Event['type'], sessionId: string, data: Event['data']): string[] {
    const { green, red, yellow } = this.#style;
    const { succeeded, failed } = this.#signs;
    switch (type) {
      case 'tool.requested':
        return this.#requested(sessionId, String(data.callId), String(data.name));
      case 'tool.started':
        return this.#begun(this.#open.get(sessionId)?.get(String(data.callId)));
      case 'tool.completed':
        return this.#completed(sessionId, String(data.callId), String(data.status));
      case 'task.succeeded':
        return [`${green(succeeded)} completed`];
      case 'task.failed':
        return [`${red(failed)} failed: ${withCode(String(data.message), String(data.code))}`];
      case 'task.cancelled':
        return [`${yellow(failed)} cancelled`];
      default:
        return [];
    }
  }

  #requested(sessionId: string, callId: string, name: string): string[] {
    const calls = this.#open.get(sessionId) ?? new Map<string, Call>();
    this.#open.set(sessionId, calls);
    const call = { name: oneLine(name, NAME_COLUMNS), isAnnounced: false };
    calls.set(callId, call);
    return calls.size === 1 ? this.#begun(call) : [];
  }

  /** Calls run mostly one after the other, and not each says that it started. */
  #begun(call: Call | undefined): string[] {
    if (call === undefined || call.isAnnounced) return [];
    call.isAnnounced = true;
    return [`${this.#style.bold(this.#signs.begins)} ${call.name}`];
  }

  #completed(sessionId: string, callId: string, status: string): string[] {
    const calls = this.#open.get(sessionId);
    const call = calls?.get(callId);
    if (calls === undefined || call === undefined) return [];
    calls.delete(callId);
    return [this.#ending(call.name, status), ...this.#begun([...calls.values()][0])];
  }

  #ending(name: string, status: string): string {
    const { green, red, yellow } = this.#style;
    const { succeeded, failed } = this.#signs;
    switch (status) {
      case 'succeeded':
        return `${green(succeeded)} ${name}`;
      case 'failed':
        return `${red(failed)} ${name}`;
      case 'unknown':
        return `${yellow('?')} ${name} (its outcome is unknown)`;
      default:
        return `${red(failed)} ${name} (${oneLine(status, NAME_COLUMNS)})`;
    }
  }
}
