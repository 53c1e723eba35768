/** What is shown of a followed task while it goes on. */
import type { Event } from '../api/wire.ts';
import type { Frame } from '../client/events.ts';
import { EntryReader } from './entry-reader.ts';
import { ChildLines } from './flow/child-lines.ts';
import type { Family, Whose } from './flow/family.ts';
import { flowLines, MAX_FLOW_COLUMNS } from './flow/flow-lines.ts';
import { FlowScreen } from './flow/flow-screen.ts';
import type { FollowOptions } from './follow.ts';
import { jsonText } from './json-text.ts';
import { Keys } from './keys.ts';
import { createLook } from './look.ts';
import { type Shape, Transcript } from './render.ts';
import { tell } from './sentences.ts';
import { askerText, pathText } from './session-path.ts';
import { Standing } from './standing.ts';
import type { Screen, Terminal } from './terminal.ts';
import { untilReachable } from './until-reachable.ts';
import { oneLine } from './untrusted-text.ts';
import { toolName } from './whole-call.ts';

export interface Show {
  /** Where everything else is to be printed meanwhile. */
  readonly terminal: Terminal;
  /** `whose`: of a durable event. */
  take(frame: Frame, whose: Whose | undefined): Promise<void>;
  end(): void;
  /** Aborts, with the reason, where it can show nothing more. */
  readonly broken?: AbortSignal;
}

/** Narrower terminals get words and calls as a pipe does. */
export const MIN_COLUMNS = 24;
const ID_COLUMNS = 100;

export async function createShow(options: FollowOptions, family: Family): Promise<Show> {
  const { terminal, show } = options;
  if (show === 'text') return new TextShow(options, family, await watched(options));
  let isLossTold = false;
  return {
    terminal,
    take: async (frame, whose) => {
      // Once: programs that look at stderr are not kept busy by a line that breaks again and again.
      if (frame.kind === 'lost' && !isLossTold) {
        isLossTold = true;
        tell(terminal, `The connection was lost (${frame.reason}): it is taken up again where it broke.`);
      }
      if (show !== 'json' || frame.kind !== 'event' || whose === 'other') return;
      terminal.out(jsonText(frame.event));
    },
    end: () => {},
  };
}

interface Watched {
  readonly shape: Shape;
  readonly standing: Standing;
}

/** Opens the last call. */
const OPEN_KEY = 'o';

/** What a screen is drawn with is loaded where there is one. */
async function watched({ terminal, task, opensCalls }: FollowOptions): Promise<Watched | undefined> {
  const { screen, style } = terminal;
  if (screen === undefined || style.columns < MIN_COLUMNS) return undefined;
  const [{ watchedShape }, { lazyHighlight }] = await Promise.all([
    import('./watched-shape.ts'),
    import('./markdown/highlight.ts'),
  ]);
  const look = createLook(style, terminal.theme?.() ?? 'terminal', lazyHighlight());
  return { shape: watchedShape(look, opensCalls ?? false), standing: new Standing({ task, look }) };
}

class TextShow implements Show {
  readonly terminal: Terminal;
  readonly #family: Family;
  readonly #followed: string;
  readonly #transcript: Transcript;
  readonly #standing: Standing | undefined;
  readonly #screen: FlowScreen | undefined;
  readonly #children: ChildLines;
  readonly #keys: Keys | undefined;
  readonly #broken = new AbortController();

  constructor(options: FollowOptions, family: Family, watched: Watched | undefined) {
    const { terminal, task, connection } = options;
    const { style, screen } = terminal;
    this.#family = family;
    this.#followed = task.sessionId;
    const client = connection.clientUntil(options.signal);
    const entries = new EntryReader((query) =>
      untilReachable(options, () => client.entries(task.sessionId, query)),
    );
    this.#transcript = new Transcript({
      taskId: task.id,
      style,
      entryAt: (position) => entries.at(position),
      ...(watched && { shape: watched.shape }),
    });
    this.#standing = watched?.standing;
    this.#children = new ChildLines(style);
    this.#keys = watched && this.#listen(options);
    this.#screen = screen && this.#drawnOn(screen, terminal);
    this.terminal = this.#screen ?? terminal;
  }

  get broken(): AbortSignal {
    return this.#broken.signal;
  }

  async take(frame: Frame, whose: Whose | undefined): Promise<void> {
    if (frame.kind === 'lost') this.#standing?.lost();
    else this.#standing?.take(frame.kind === 'event' ? frame.event : undefined, whose);
    this.terminal.out(await this.#transcript.render(frame));
    this.#screen?.grown();
    if (frame.kind === 'live') return;
    if (frame.kind === 'event' && whose === 'below')
      this.terminal.out(this.#transcript.aside(this.#below(frame.event)));
    if (this.#standing !== undefined || this.#family.tree.size > 0) this.#screen?.changed();
  }

  end(): void {
    this.#keys?.end();
    if (this.#standing !== undefined) this.terminal.out(this.#transcript.end());
    this.#screen?.end();
  }

  #listen({ terminal, opensCalls }: FollowOptions): Keys | undefined {
    const { keyboard } = terminal;
    if (keyboard === undefined || opensCalls) return undefined;
    return new Keys({
      input: keyboard,
      leave: () => terminal.screen?.clear?.(),
      press: (key) => {
        // It is read until the person leaves.
        if (key === OPEN_KEY) void this.#transcript.openLast().then(this.#say, () => {});
      },
    });
  }

  readonly #say = (lines: string): void => {
    this.terminal.out(lines);
    this.#screen?.changed();
  };

  #drawnOn(screen: Screen, given: Terminal): FlowScreen {
    const { style, ask } = given;
    const standing = this.#standing;
    const terminal = ask && this.#keys ? { ...given, ask: this.#keys.around(ask) } : given;
    return new FlowScreen({
      ...{ terminal, screen },
      lines: (rows) => {
        this.#family.keepFresh();
        const { shown } = this.#family;
        return shown === undefined ? [] : flowLines(shown, { style, rows });
      },
      above: (rows) => this.#transcript.lines(rows),
      onFailed: (error) => this.#broken.abort(error),
      ...(standing && {
        below: () => standing.line(Math.min(MAX_FLOW_COLUMNS, style.columns), this.#hint()),
      }),
    });
  }

  #hint(): string {
    return this.#keys?.isListening && this.#transcript.canOpen ? `${OPEN_KEY}: open` : '';
  }

  /** What of a session below is told in a line of its own. */
  #below(event: Event): string {
    const { style } = this.terminal;
    const path = this.#family.tree.pathOf(event.sessionId);
    const separator = style.isUnicode ? ' › ' : ' > ';
    if (event.type === 'approval.requested') {
      const { tool, approvalId } = event.data;
      const asker = askerText(path, this.#followed, separator) ?? '';
      return `${style.yellow('?')} ${asker}: ${toolName(String(tool))} needs an approval: ${oneLine(String(approvalId), ID_COLUMNS)}\n`;
    }
    return this.#screen ? '' : this.#children.lines(event, pathText(path.slice(1), separator));
  }
}
