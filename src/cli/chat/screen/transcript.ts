/** The conversation, from its first line to what is being written. */
import {
  type Component,
  type TuiMouseEvent,
  type TuiMouseEventResult,
  truncateToWidth,
} from '@earendil-works/pi-tui';
import type { Look } from '../../look.ts';
import { MarkdownText } from '../../markdown/markdown.ts';
import { neutralised, oneLine } from '../../untrusted-text.ts';
import { hanging, itemLines, type Seen } from '../item-lines.ts';
import { type ChatState, type Item, tasksBehind } from '../state.ts';

/** Lines of a thought while it comes. */
const THOUGHT_LINES = 3;

interface Drawn {
  readonly columns: number;
  readonly look: Look;
  readonly isOpen: boolean;
  readonly lines: readonly string[];
}

export interface TranscriptOptions {
  readonly state: () => ChatState;
  readonly look: () => Look;
  readonly me: () => string | undefined;
  /** A call was clicked on. */
  readonly open: (callId: string) => void;
}

/** Items never change: each is drawn once for a width, and anew when it is opened. */
export class Transcript implements Component {
  readonly #options: TranscriptOptions;
  readonly #drawn = new WeakMap<Item, Drawn>();
  #live: { readonly look: Look; readonly text: MarkdownText } | undefined;
  /** The call that stands in a line of the last drawing. */
  #calls = new Map<number, string>();

  constructor(options: TranscriptOptions) {
    this.#options = options;
  }

  render(columns: number): string[] {
    const { items, dropped } = this.#options.state();
    const look = this.#options.look();
    const lines: string[] = [];
    this.#calls = new Map();
    if (dropped > 0) lines.push(look.theme.quiet(`${look.signs.note} ${dropped} more above`));
    for (const [index, item] of items.entries()) {
      if (index > 0 && isApart(items[index - 1], item)) lines.push('');
      if (item.kind === 'call') this.#calls.set(lines.length, item.callId);
      lines.push(...this.#linesOf(item, columns));
    }
    lines.push(...this.#liveLines(columns), ...this.#waitingLines(columns));
    return lines;
  }

  handleMouse({ type, button, y }: TuiMouseEvent): TuiMouseEventResult | undefined {
    const callId = this.#calls.get(y);
    if (type !== 'click' || button !== 'left' || callId === undefined) return undefined;
    this.#options.open(callId);
    return { handled: true };
  }

  invalidate(): void {
    this.#live = undefined;
  }

  #linesOf(item: Item, columns: number): readonly string[] {
    const { state, look, me } = this.#options;
    const { session, isOpen: isAllOpen, opened } = state();
    const isOpen = item.kind === 'call' ? isAllOpen !== opened.has(item.callId) : isAllOpen;
    const known = this.#drawn.get(item);
    const now = look();
    if (known?.columns === columns && known.look === now && known.isOpen === isOpen) return known.lines;
    const seen: Seen = { ...now, columns, sessionId: session?.id, me: me(), isOpen };
    const lines = itemLines(item, seen);
    this.#drawn.set(item, { columns, look: now, isOpen, lines });
    return lines;
  }

  #liveLines(columns: number): string[] {
    const { live, items } = this.#options.state();
    if (live === undefined) return [];
    const look = this.#options.look();
    const apart = items.length > 0 ? [''] : [];
    if (live.text.trim() === '') {
      if (live.reasoning.trim() === '') return [];
      const thought = hanging(
        look.signs.thought,
        neutralised(live.reasoning).trim(),
        columns,
        look.theme.quiet,
      );
      return [...apart, ...thought.slice(-THOUGHT_LINES)];
    }
    if (this.#live?.look !== look) {
      this.#live = { look, text: new MarkdownText(look.theme, look.highlight) };
    }
    return [...apart, ...this.#live.text.lines(live.text, columns)];
  }

  /** What was sent and is not taken up yet: from here, and tasks that wait for their turn. */
  #waitingLines(columns: number): string[] {
    const state = this.#options.state();
    const { theme, signs } = this.#options.look();
    const line = (what: string, text: string) =>
      theme.quiet(truncateToWidth(`${signs.prompt} ${oneLine(text, 200)} (${what})`, columns, '…'));
    const behind = tasksBehind(state);
    const isTold = (text: string) => behind.some(({ prompt }) => prompt.trim() === text.trim());
    const lines = [
      ...state.sent
        .filter(({ when, text }) => when === 'now' || !isTold(text))
        .map(({ text, when }) => line(when === 'now' ? 'read with the next turn' : 'sent', text)),
      ...behind.map(({ prompt }) => line('next', prompt)),
    ];
    return lines.length === 0 ? [] : ['', ...lines];
  }
}

const SMALL = new Set<Item['kind']>(['call', 'note', 'notice']);

/** Calls stand close together, and what people and models say apart. */
function isApart(before: Item | undefined, item: Item): boolean {
  if (before === undefined) return false;
  const isSmall = (each: Item) =>
    SMALL.has(each.kind) || (each.kind === 'asked' && each.approval.status !== 'open');
  return !(isSmall(before) && isSmall(item));
}
