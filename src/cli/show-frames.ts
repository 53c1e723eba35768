/** What is shown of a followed task while it goes on. */
import type { Event } from '../api/wire.ts';
import type { Frame } from '../client/events.ts';
import { EntryReader } from './entry-reader.ts';
import { ChildLines } from './flow/child-lines.ts';
import type { Family, Whose } from './flow/family.ts';
import { flowLines } from './flow/flow-lines.ts';
import { FlowScreen } from './flow/flow-screen.ts';
import type { FollowOptions } from './follow.ts';
import { Transcript } from './render.ts';
import { askerText, pathText } from './session-path.ts';
import type { Terminal } from './terminal.ts';
import { untilReachable } from './until-reachable.ts';
import { toolName } from './whole-call.ts';

export interface Show {
  /** Where everything else is to be printed meanwhile. */
  readonly terminal: Terminal;
  /** `whose`: of a durable event. */
  take(frame: Frame, whose: Whose | undefined): Promise<void>;
  end(): void;
}

export function createShow(options: FollowOptions, family: Family): Show {
  const { terminal, show } = options;
  if (show === 'text') return new TextShow(options, family);
  return {
    terminal,
    take: async (frame, whose) => {
      if (show !== 'json' || frame.kind !== 'event' || whose === 'other') return;
      terminal.out(`${JSON.stringify(frame.event)}\n`);
    },
    end: () => {},
  };
}

class TextShow implements Show {
  readonly terminal: Terminal;
  readonly #family: Family;
  readonly #followed: string;
  readonly #transcript: Transcript;
  readonly #screen: FlowScreen | undefined;
  readonly #children: ChildLines;

  constructor(options: FollowOptions, family: Family) {
    const { terminal, task, connection } = options;
    const { style, screen } = terminal;
    this.#family = family;
    this.#followed = task.sessionId;
    const entries = new EntryReader((query) =>
      untilReachable(options, () => connection.client.entries(task.sessionId, query)),
    );
    this.#transcript = new Transcript({
      taskId: task.id,
      style,
      entryAt: (position) => entries.at(position),
    });
    this.#children = new ChildLines(style);
    const lines = (rows: number) => {
      family.keepFresh();
      return family.shown === undefined ? [] : flowLines(family.shown, { style, rows });
    };
    this.#screen = screen && new FlowScreen({ terminal, screen, lines });
    this.terminal = this.#screen ?? terminal;
  }

  async take(frame: Frame, whose: Whose | undefined): Promise<void> {
    this.terminal.out(await this.#transcript.render(frame));
    if (frame.kind !== 'event') return;
    if (whose === 'below') this.terminal.out(this.#transcript.aside(this.#below(frame.event)));
    if (this.#family.tree.size > 0) this.#screen?.changed();
  }

  end(): void {
    this.#screen?.end();
  }

  /** What of a session below is told in a line of its own. */
  #below(event: Event): string {
    const { style } = this.terminal;
    const path = this.#family.tree.pathOf(event.sessionId);
    const separator = style.isUnicode ? ' › ' : ' > ';
    if (event.type === 'approval.requested') {
      const { tool, approvalId } = event.data;
      const asker = askerText(path, this.#followed, separator) ?? '';
      return `${style.yellow('?')} ${asker}: ${toolName(String(tool))} needs an approval: ${String(approvalId)}\n`;
    }
    return this.#screen ? '' : this.#children.lines(event, pathText(path.slice(1), separator));
  }
}
