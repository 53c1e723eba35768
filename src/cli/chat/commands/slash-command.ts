import type { AutocompleteItem } from '@earendil-works/pi-tui';

/** A command that is typed into a chat. `Context`: what it may look at and do. */
export interface SlashCommand<Context> {
  /** Without its slash. */
  readonly name: string;
  /** In a few words, for the menu and /help. */
  readonly summary: string;
  /** Its arguments: `[NAME]`; '' where it takes none. */
  readonly usage: string;
  /** What may stand in place of an argument. `typed`: what is there of it. */
  readonly complete?: (context: Context, typed: string) => Promise<readonly AutocompleteItem[]>;
  /** Throws `UserError`, which is shown. */
  readonly run: (context: Context, args: string) => Promise<void>;
}
