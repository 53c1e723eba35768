/**
 * What a person reads while an agent works: a task's stream turned into text. Everything that a model or a command wrote is
 * neutralised. Writes nothing itself.
 */
import type { Entry, Event } from '../api/wire.ts';
import type { Delta, Frame, LiveFrame } from '../client/events.ts';
import { textOf } from '../core/entry.ts';
import { ABOUT_MCP_SERVERS } from '../core/mcp-notice.ts';
import { WAITS_FOR_LIMIT } from '../core/router.ts';
import { DELEGATE_TASK, MERGE_CHILD } from '../core/tool-names.ts';
import { conflictSummary, failureSummary, interruptionSummary } from './call-summary.ts';
import { imageLine } from './image-line.ts';
import { type Addition, LiveAnswer } from './live-answer.ts';
import { type Signs, signsOn } from './look.ts';
import { PlainProse, type Prose } from './prose.ts';
import { withCode } from './summary.ts';
import type { Style } from './terminal.ts';
import { type CallReport, ToolLines } from './tool-lines.ts';
import { oneLine } from './untrusted-text.ts';

/** How words and calls are shown. */
export interface Shape {
  readonly text: Prose;
  readonly reasoning: Prose;
  readonly calls: CallReport;
  readonly signs: Pick<Signs, 'note' | 'again'>;
  /** Blank lines stand around words. */
  readonly isSpaced: boolean;
}

/** For what only prints. */
export function plainShape(style: Style): Shape {
  return {
    text: new PlainProse(),
    reasoning: new PlainProse(style.dim),
    calls: new ToolLines(style),
    signs: signsOn(style),
    isSpaced: false,
  };
}

export interface TranscriptOptions {
  /** Frames of other tasks are passed over. */
  readonly taskId: string;
  readonly style: Style;
  readonly shape?: Shape;
  /** An entry of the task's session; `undefined` where there is none. */
  readonly entryAt: (position: number) => Promise<Entry | undefined>;
}

const MESSAGE_LENGTH = 300;

/** Where a result says more than its status. */
const SUMMARIES: ReadonlyMap<string, (text: string) => string> = new Map([
  ['failed', failureSummary],
  ['interrupted', interruptionSummary],
]);

type Channel = Delta['data']['channel'];
/** What stands in one piece; `answered`: words, and the next ones are another answer's. */
type Group = Channel | 'answered' | 'calls' | 'notes';

export class Transcript {
  readonly #options: TranscriptOptions;
  readonly #shape: Shape;
  readonly #live = { text: new LiveAnswer(), reasoning: new LiveAnswer() };
  /** Arguments of the calls of the answer that was read last. */
  readonly #arguments = new Map<string, string>();
  /** Calls whose answer was not read yet. */
  readonly #unread: { callId: string; name: string }[] = [];
  /** Calls whose end may leave conflicts to settle. */
  readonly #merging = new Set<string>();
  /** Turns whose answer is whole: what still comes of it live is late. */
  readonly #answered = new Set<number>();
  /** What the last piece was, and the attempt whose restart was told. */
  #channel: Channel = 'text';
  #restarted: string | undefined;
  #isLost = false;
  #isPaused = false;
  /** What was printed last. */
  #group: Group = 'notes';

  constructor(options: TranscriptOptions) {
    this.#options = options;
    this.#shape = options.shape ?? plainShape(options.style);
  }

  /** The text that a frame adds. */
  async render(frame: Frame): Promise<string> {
    if (frame.kind === 'lost') {
      this.#isLost = true;
      return this.#note(`connection lost (${oneLine(frame.reason, MESSAGE_LENGTH)}), trying again`);
    }
    const found = this.#isLost ? this.#note('connected again') : '';
    this.#isLost = false;
    if (frame.kind === 'live') return found + this.#liveText(frame.live);
    const isOurs = frame.event.taskId === this.#options.taskId;
    return found + (isOurs ? await this.#event(frame.event) : '');
  }

  /** Ends what is being written. */
  end(): string {
    const { text, reasoning } = this.#shape;
    return this.#apart('reasoning', reasoning.end()) + this.#apart('text', text.end());
  }

  /** What stands below all that was printed, in at most so many lines: it may still change. */
  lines(rows: number): readonly string[] {
    const { text, reasoning, calls } = this.#shape;
    const words = [...reasoning.lines(), ...text.lines()];
    const group = words.length > 0 ? this.#channel : 'calls';
    const shown = words.length > 0 ? words : calls.lines(rows);
    const lacksGap = shown.length > 0 && shown[0] !== '' && this.#isGap(group);
    return (lacksGap ? ['', ...shown] : shown).slice(-rows);
  }

  /** Whole lines that others have to say, behind an open one. */
  aside(lines: string): string {
    return this.#line('notes', lines);
  }

  get canOpen(): boolean {
    return this.#shape.calls.canOpen;
  }

  /** Opens the last call that ended, and the next time the one before it. */
  async openLast(): Promise<string> {
    const opened = this.#shape.calls.openLast?.();
    if (opened === undefined) return '';
    const result = await this.#options.entryAt(opened.position);
    return this.#called(opened.show(result));
  }

  #liveText(frame: LiveFrame): string {
    if (frame.taskId !== this.#options.taskId) return '';
    const { style } = this.#options;
    if (frame.type === 'tool.output') {
      const { callId, text } = frame.data;
      return style.isWatched ? this.#called(this.#shape.calls.output(callId, text)) : '';
    }
    if (frame.turn !== undefined && this.#answered.has(frame.turn)) return '';
    return this.#piece(frame.data);
  }

  #piece({ channel, ...piece }: Delta['data']): string {
    const { style } = this.#options;
    if (channel === 'reasoning' && !style.isWatched) return '';
    const change = this.#channel === channel ? '' : this.end();
    this.#channel = channel;
    const addition = this.#live[channel].add(piece);
    const restarts = addition.restarts && this.#restarted !== piece.attemptId;
    if (restarts) this.#restarted = piece.attemptId;
    return change + this.#addition({ ...addition, restarts }, channel);
  }

  #addition({ restarts, text }: Addition, channel: Channel): string {
    const { signs, [channel]: prose } = this.#shape;
    const cutOff = () =>
      this.end() + this.#note('the answer above was cut off; it begins again', signs.again);
    const mark = restarts ? cutOff() : '';
    return mark + this.#apart(channel, prose.add(text));
  }

  async #event(event: Event): Promise<string> {
    const { data } = event;
    const { calls, signs } = this.#shape;
    switch (event.type) {
      case 'message.completed':
        return this.#answer(event.turn, Number(data.position));
      case 'tool.requested':
        return this.#called(this.#requested(String(data.callId), String(data.name)));
      case 'tool.started':
        return this.#called(calls.started(String(data.callId)));
      case 'tool.completed':
        return this.#completed(data);
      case 'approval.requested':
        return this.#note(`${String(data.tool)} needs an approval: ${String(data.approvalId)}`, '?');
      case 'turn.retried':
        return this.#note(`${saidFailure(data)}; ${again(event)}`, signs.again);
      case 'turn.recovered':
        return this.#note('its worker was lost: another one goes on', signs.again);
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
    this.#live.reasoning.complete('');
    const thought = this.#apart('reasoning', this.#shape.reasoning.end());
    const rest = this.#addition(this.#live.text.complete(textOf(entry.parts)), 'text');
    const text = thought + rest + this.end() + (await this.#away(position));
    this.#group = this.#isWords(this.#group) ? 'answered' : this.#group;
    const calls = this.#unread.splice(0).map(({ callId, name }) => this.#requested(callId, name));
    return text + this.#called(calls.join(''));
  }

  /** What the model was told before of servers that are away: a person can do something about that. */
  async #away(position: number): Promise<string> {
    const before = position > 1 ? await this.#options.entryAt(position - 1) : undefined;
    if (before?.kind !== 'notice') return '';
    const text = textOf(before.parts);
    const own = text.startsWith(ABOUT_MCP_SERVERS) ? this.#note(oneLine(text, MESSAGE_LENGTH)) : '';
    return (await this.#away(position - 1)) + own;
  }

  #requested(callId: string, name: string): string {
    if (name === DELEGATE_TASK || name === MERGE_CHILD) this.#merging.add(callId);
    const json = this.#arguments.get(callId);
    if (json !== undefined) return this.#shape.calls.requested(callId, name, json);
    this.#unread.push({ callId, name });
    return '';
  }

  async #completed({ callId, status, position, files, durationMs }: Event['data']): Promise<string> {
    const { calls } = this.#shape;
    const isMerge = status === 'succeeded' && this.#merging.has(String(callId));
    const summary = isMerge ? conflictSummary : SUMMARIES.get(String(status));
    const isRead = summary !== undefined || Number(files) > 0 || calls.readsResults;
    const result = isRead ? await this.#options.entryAt(Number(position)) : undefined;
    const why = summary && result ? summary(textOf(result.parts)) : '';
    const images = result?.parts.filter((part) => part.type === 'file').map(imageLine) ?? [];
    const ms = typeof durationMs === 'number' ? durationMs : undefined;
    const end = { status: String(status), why, images, result, durationMs: ms, position: Number(position) };
    return this.#called(calls.completed(String(callId), end));
  }

  #note(text: string, sign = this.#shape.signs.note): string {
    const paint = this.#options.style.yellow;
    return this.aside(`${paint(sign)} ${oneLine(text, MESSAGE_LENGTH)}\n`);
  }

  #called(lines: string): string {
    return this.#line('calls', lines);
  }

  /** Whole lines, after the end of an open one. */
  #line(group: 'calls' | 'notes', lines: string): string {
    if (lines === '') return '';
    const { text, reasoning } = this.#shape;
    return reasoning.interrupt() + text.interrupt() + this.#apart(group, lines);
  }

  #apart(group: Group, text: string): string {
    if (text === '') return '';
    const gap = this.#isGap(group) && !text.startsWith('\n') ? '\n' : '';
    this.#group = group;
    return gap + text;
  }

  #isGap(group: Group): boolean {
    const isWords = this.#isWords(group) || this.#isWords(this.#group);
    return this.#shape.isSpaced && isWords && group !== this.#group;
  }

  #isWords(group: Group): boolean {
    return group !== 'calls' && group !== 'notes';
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
