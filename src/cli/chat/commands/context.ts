import type { SelectItem } from '@earendil-works/pi-tui';
import type { Session } from '../../../api/wire.ts';
import type { Client } from '../../../client/client.ts';
import type { Config } from '../../../config.ts';
import { UserError } from '../../../core/errors.ts';
import type { Look } from '../../look.ts';
import type { ThemeName } from '../../themes.ts';
import type { Action } from '../reduce.ts';
import type { ChatState } from '../state.ts';
import type { SlashCommand } from './slash-command.ts';

/** What slash commands look at and do. */
export interface ChatContext {
  readonly client: Client;
  readonly config: Config;
  readonly cwd: string;
  readonly commands: readonly SlashCommand<ChatContext>[];
  state(): ChatState;
  look(): Look;
  columns(): number;
  tell(action: Action): void;
  /** Goes to another session; undefined: to one that begins with the next message. */
  show(session: Session | undefined): void;
  /** Undefined: nothing was chosen. */
  choose(title: string, items: readonly SelectItem[]): Promise<string | undefined>;
  /** The session's next task. */
  queue(text: string): Promise<void>;
  readonly input: { read(): string; write(text: string): void };
  /** While another program has the terminal. */
  without<Result>(act: () => Promise<Result>): Promise<Result>;
  setTheme(name: ThemeName): void;
  leave(): void;
}

export type ChatCommand = SlashCommand<ChatContext>;

/** Throws `UserError` where nothing was said yet. */
export function sessionOf({ state }: Pick<ChatContext, 'state'>): Session {
  const { session } = state();
  if (session !== undefined) return session;
  throw new UserError('no_session', 'There is no session yet: it begins with your first message.');
}

/** Text of ours, or cleaned. */
export function say({ tell }: Pick<ChatContext, 'tell'>, text: string): void {
  tell({ do: 'tell', lines: text.trimEnd().split('\n') });
}
