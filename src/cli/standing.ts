/** How a followed task stands, in one line below everything else: what it does, and what that has used. */
import type { Event, SessionTree, Task, TreeNode } from '../api/wire.ts';
import { shortDuration } from '../core/duration.ts';
import { dollars, sumUsd } from '../core/money.ts';
import type { Whose } from './flow/family.ts';
import { FlowTree } from './flow/flow-tree.ts';
import { stateText } from './flow/state-text.ts';
import type { Look } from './look.ts';
import { shortNumber } from './summary.ts';
import { cut, widthOf } from './text-width.ts';
import { oneLine } from './untrusted-text.ts';

const NAME_COLUMNS = 40;
const GAP = 2;
const MIN_STATE_COLUMNS = 8;

interface StandingOptions {
  readonly task: Pick<Task, 'id' | 'sessionId' | 'model'>;
  readonly look: Look;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

export class Standing {
  readonly #options: StandingOptions;
  readonly #now: () => number;
  /** The followed session alone, as its events tell. */
  readonly #tree = new FlowTree();
  #model: string;
  #turn = 0;
  #startedAt: number | undefined;
  readonly #tokens = { input: 0, output: 0 };
  #usd: string | null = null;
  #isLost = false;

  constructor(options: StandingOptions) {
    const { task, now = () => Date.now() } = options;
    this.#options = options;
    this.#now = now;
    this.#model = task.model;
    this.#tree.set(unread(task));
  }

  /** The stream broke: nobody knows how it stands. */
  lost(): void {
    this.#isLost = true;
  }

  /** Something came of the stream; and what, where it was an event. */
  take(event?: Event, whose?: Whose): void {
    this.#isLost = false;
    if (event === undefined || whose === undefined || whose === 'other') return;
    if (event.type === 'usage.recorded') this.#used(event.data);
    if (whose !== 'own') return;
    this.#tree.apply(event);
    this.#turn = event.turn ?? this.#turn;
    if (event.type === 'task.started') this.#startedAt = Date.parse(event.at);
    if (event.type === 'turn.retried') this.#model = textOr(event.data.fallback, this.#model);
  }

  /** `hint`: what can be done now; '' where nothing. */
  line(columns: number, hint = ''): string {
    const { theme, signs } = this.#options.look;
    const [state, paint] = this.#state();
    const used = [...(hint === '' ? [] : [hint]), ...this.#usedParts()];
    const rightOf = () => used.join(signs.separator);
    // What comes first can be missed first.
    while (used.length > 1 && widthOf(state) + GAP + widthOf(rightOf()) > columns) used.shift();
    const room = columns - widthOf(rightOf()) - GAP;
    if (room < MIN_STATE_COLUMNS) return paint(cut(state, columns, signs.mark));
    const left = cut(state, room, signs.mark);
    const gap = ' '.repeat(columns - widthOf(left) - widthOf(rightOf()));
    return `${paint(left)}${gap}${theme.quiet(rightOf())}`;
  }

  #state(): [text: string, paint: (text: string) => string] {
    const { theme } = this.#options.look;
    if (this.#isLost) return ['no connection', theme.warning];
    const root = this.#tree.root as TreeNode;
    const [word, detail] = stateText(root);
    const text = detail === '' ? word : `${word}: ${oneLine(detail, NAME_COLUMNS)}`;
    return [text, root.state === 'waiting' ? theme.warning : theme.accent];
  }

  #usedParts(): string[] {
    const { input, output } = this.#tokens;
    return [
      oneLine(this.#model, NAME_COLUMNS),
      ...(this.#turn > 0 ? [`turn ${this.#turn}`] : []),
      ...(input + output > 0 ? [`${shortNumber(input)} in, ${shortNumber(output)} out`] : []),
      ...(this.#usd === null ? [] : [dollars(this.#usd)]),
      shortDuration(this.#startedAt === undefined ? 0 : this.#now() - this.#startedAt),
    ];
  }

  #used({ input, output, usd }: Event['data']): void {
    this.#tokens.input += Number(input);
    this.#tokens.output += Number(output);
    this.#usd = sumUsd([this.#usd, typeof usd === 'string' ? usd : null]);
  }
}

function textOr(value: unknown, other: string): string {
  return typeof value === 'string' ? value : other;
}

/** Of which nothing has been heard yet. */
function unread({ id, sessionId }: StandingOptions['task']): SessionTree {
  return {
    ...{ sessionId, parentId: null, title: '', agent: null, state: 'idle' },
    ...{ task: { id, status: 'queued' }, turns: 0, startedAt: null, endedAt: null, seconds: 0 },
    ...{ tokens: { input: 0, output: 0 }, usd: null, todos: [], children: [], seq: 0, more: false },
  };
}
