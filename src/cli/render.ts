/**
 * What a person reads while an agent works: a task's stream turned into text. Everything that a model or a command wrote is
 * neutralised. Writes nothing itself.
 */
import type { Entry, Event } from '../api/wire.ts';
import type { Delta, Frame, LiveFrame } from '../client/events.ts';
import { textOf } from '../core/entry.ts';
import { WAITS_FOR_LIMIT } from '../core/router.ts';
import { DELEGATE_TASK, MERGE_CHILD } from '../core/tool-names.ts';
import { conflictSummary, failureSummary, interruptionSummary } from './call-summary.ts';
import { imageLine } from './image-line.ts';
import { type Addition, LiveAnswer } from './live-answer.ts';
import { withCode } from './summary.ts';
import type { Style } from './terminal.ts';
import { ToolLines } from './tool-lines.ts';
import { neutralised, oneLine } from './untrusted-text.ts';

export interface TranscriptOptions {
  /** Frames of other tasks are passed over. */
  readonly taskId: string;
  readonly style: Style;
  /** An entry of the task's session; `undefined` where there is none. */
  readonly entryAt: (position: number) => Promise<Entry | undefined>;
}

const MESSAGE_LENGTH = 300;

/** Where a result says more than its status. */
const SUMMARIES: ReadonlyMap<string, (text: string) => string> = new Map([
  ['failed', failureSummary],
  ['interrupted', interruptionSummary],
]);

export class Transcript {
  readonly #options: TranscriptOptions;
  readonly #tools: ToolLines;
  readonly #text = new LiveAnswer();
  readonly #reasoning = new LiveAnswer();
  /** Arguments of the calls of the answer that was read last. */
  readonly #arguments = new Map<string, string>();
  /** Calls whose answer was not read yet. */
  readonly #unread: { callId: string; name: string }[] = [];
  /** Calls whose end may leave conflicts to settle. */
  readonly #merging = new Set<string>();
  /** Turns whose answer is whole: what still comes of it live is late. */
  readonly #answered = new Set<number>();
  /** What the last piece was, and the attempt whose restart was told. */
  #channel: Delta['data']['channel'] = 'text';
  #restarted: string | undefined;
  #isLost = false;
  #isPaused = false;
  #isLineOpen = false;

  constructor(options: TranscriptOptions) {
    this.#options = options;
    this.#tools = new ToolLines(options.style);
  }

  /** The text that a frame adds. */
  async render(frame: Frame): Promise<string> {
    if (frame.kind === 'lost') {
      this.#isLost = true;
      return this.#note(`connection lost (${oneLine(frame.reason, MESSAGE_LENGTH)}), trying again`);
    }
    const found = this.#isLost ? this.#note('connected again') : '';
    this.#isLost = false;
    if (frame.kind === 'live') return found + this.#live(frame.live);
    const isOurs = frame.event.taskId === this.#options.taskId;
    return found + (isOurs ? await this.#event(frame.event) : '');
  }

  /** Ends an open line. */
  end(): string {
    const end = this.#isLineOpen ? '\n' : '';
    this.#isLineOpen = false;
    return end;
  }

  /** Whole lines that others have to say, behind an open one. */
  aside(lines: string): string {
    return this.#line(lines);
  }

  #live(frame: LiveFrame): string {
    if (frame.taskId !== this.#options.taskId) return '';
    const { style } = this.#options;
    if (frame.type === 'tool.output') {
      return style.isWatched ? this.#line(this.#tools.output(frame.data.callId, frame.data.text)) : '';
    }
    if (frame.turn !== undefined && this.#answered.has(frame.turn)) return '';
    return this.#piece(frame.data);
  }

  #piece({ channel, ...piece }: Delta['data']): string {
    const { style } = this.#options;
    if (channel === 'reasoning' && !style.isWatched) return '';
    const change = this.#channel === channel ? '' : this.end();
    this.#channel = channel;
    const addition = channel === 'text' ? this.#text.add(piece) : this.#reasoning.add(piece);
    const restarts = addition.restarts && this.#restarted !== piece.attemptId;
    if (restarts) this.#restarted = piece.attemptId;
    return change + this.#addition({ ...addition, restarts }, channel === 'text' ? undefined : style.dim);
  }

  #addition({ restarts, text }: Addition, paint: (text: string) => string = (plain) => plain): string {
    const mark = restarts ? this.#note('the answer above was cut off; it begins again', '↻') : '';
    if (text === '') return mark;
    const safe = neutralised(text);
    this.#isLineOpen = !safe.endsWith('\n');
    return mark + paint(safe);
  }

  async #event(event: Event): Promise<string> {
    const { data } = event;
    switch (event.type) {
      case 'message.completed':
        return this.#answer(event.turn, Number(data.position));
      case 'tool.requested':
        return this.#line(this.#requested(String(data.callId), String(data.name)));
      case 'tool.started':
        return this.#line(this.#tools.started(String(data.callId)));
      case 'tool.completed':
        return this.#completed(data);
      case 'approval.requested':
        return this.#note(`${String(data.tool)} needs an approval: ${String(data.approvalId)}`, '?');
      case 'turn.retried':
        return this.#note(`${saidFailure(data)}; ${again(event)}`, '↻');
      case 'turn.recovered':
        return this.#note('its worker was lost: another one goes on', '↻');
      case 'context.compacted':
        return this.#note(shortened(data));
      case 'task.waiting':
        return data.on === 'approval' || data.on === 'retry'
          ? ''
          : this.#note(`waiting on ${String(data.on)}`);
      case 'task.paused':
        this.#isPaused = true;
        return this.#note(`paused, until somebody types: capybara tasks resume ${this.#options.taskId}`);
      case 'task.resumed':
        return this.#resumed();
      default:
        return '';
    }
  }

  /** What it waited for may have come, too. */
  #resumed(): string {
    if (!this.#isPaused) return '';
    this.#isPaused = false;
    return this.#note('resumed');
  }

  async #answer(turn: number | undefined, position: number): Promise<string> {
    const entry = await this.#options.entryAt(position);
    if (!entry) return '';
    if (entry.kind === 'notice') return this.#note(oneLine(textOf(entry.parts), MESSAGE_LENGTH));
    if (entry.kind !== 'assistant') return '';
    if (turn !== undefined) this.#answered.add(turn);
    this.#arguments.clear();
    for (const part of entry.parts) {
      if (part.type === 'tool') this.#arguments.set(part.callId, part.arguments);
    }
    this.#reasoning.complete('');
    const text = this.#addition(this.#text.complete(textOf(entry.parts)));
    const calls = this.#unread.splice(0).map(({ callId, name }) => this.#requested(callId, name));
    return text + this.end() + this.#line(calls.join(''));
  }

  #requested(callId: string, name: string): string {
    if (name === DELEGATE_TASK || name === MERGE_CHILD) this.#merging.add(callId);
    const json = this.#arguments.get(callId);
    if (json !== undefined) return this.#tools.requested(callId, name, json);
    this.#unread.push({ callId, name });
    return '';
  }

  async #completed({ callId, status, position, files }: Event['data']): Promise<string> {
    const isMerge = status === 'succeeded' && this.#merging.has(String(callId));
    const summary = isMerge ? conflictSummary : SUMMARIES.get(String(status));
    const isRead = summary !== undefined || Number(files) > 0;
    const result = isRead ? await this.#options.entryAt(Number(position)) : undefined;
    const why = summary && result ? summary(textOf(result.parts)) : '';
    const images = result?.parts.filter((part) => part.type === 'file').map(imageLine) ?? [];
    return this.#line(this.#tools.completed(String(callId), { status: String(status), why, images }));
  }

  #note(text: string, sign = '…'): string {
    const paint = this.#options.style.yellow;
    return this.#line(`${paint(sign)} ${oneLine(text, MESSAGE_LENGTH)}\n`);
  }

  /** Whole lines, after the end of an open one. */
  #line(lines: string): string {
    return lines === '' ? '' : this.end() + lines;
  }
}

function saidFailure(data: Event['data']): string {
  const message =
    typeof data.message === 'string' && data.message !== '' ? data.message : 'no reason was given';
  return typeof data.code === 'string' ? withCode(message, data.code) : message;
}

function shortened({ kind, before, after }: Event['data']): string {
  const how = kind === 'pruning' ? 'old output was taken out' : 'a summary stands for what came before';
  const [from, to] = [before, after].map((tokens) => Number(tokens).toLocaleString('en-US'));
  return `the conversation had become long: ${how} (${from} → ${to} tokens)`;
}

function again({ at, data }: Event): string {
  if (typeof data.fallback === 'string') return `going on with ${data.fallback}`;
  const ms = Date.parse(String(data.dueAt)) - Date.parse(at);
  const what = data.code === WAITS_FOR_LIMIT ? 'going on' : 'trying again';
  return ms > 0 ? `${what} in ${Math.ceil(ms / 1000)} s` : what;
}
