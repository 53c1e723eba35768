/** `capybara chat`: where it can be, what it goes on with, and what is said when it is over. */
import { join } from 'node:path';
import type { Client } from '../../client/client.ts';
import type { Config } from '../../config.ts';
import { UserError } from '../../core/errors.ts';
import type { Connection, ConnectOptions } from '../connection.ts';
import { findSession } from '../find.ts';
import { keepTheme, keptTheme, personalDirectory } from '../kept-theme.ts';
import { tell } from '../sentences.ts';
import { continuedSession, readTask, type TaskFlags, type TaskRequest } from '../task-input.ts';
import type { Terminal } from '../terminal.ts';
import type { ChatEnd } from './chat.ts';
import { History } from './history.ts';

export interface StartOptions {
  readonly id: string | undefined;
  readonly flags: TaskFlags;
  readonly config: Config;
  readonly cwd: string;
  readonly terminal: Terminal;
  readonly json: boolean;
  readonly signal: AbortSignal;
}

type Connect = (
  options: Pick<ConnectOptions, 'onChange' | 'check'>,
  use: (connection: Connection) => Promise<number>,
) => Promise<number>;

/** Returns the exit code. */
export async function startChat(options: StartOptions, connect: Connect): Promise<number> {
  const { id, flags, config, cwd, terminal, signal, json } = options;
  if (json || terminal.screen === undefined || terminal.ask === undefined) throw noTerminal();
  if (id !== undefined && (flags.continue || flags.workspace !== undefined)) throw idGiven();
  const asked = readTask('-', { flags, config, cwd });
  // What a session begins with, also after another one was gone on with.
  const request = readTask('-', { flags: { ...flags, continue: false }, config, cwd });
  const { Chat } = await import('./chat.ts');
  let note = (text: string): void => tell(terminal, text);
  const check = async (settings: Config) =>
    (await import('../../api/main.ts')).checkTask(settings, request.body);
  return connect({ onChange: (text) => note(text), check }, async (connection) => {
    const session = await sessionToShow(connection.clientUntil(signal), id, asked);
    const state = personalDirectory();
    const chat = new Chat({
      ...{ connection, config, request, session, cwd, signal, style: terminal.style },
      history: new History(join(state, 'history')),
      theme: keptTheme(state),
      onTheme: (name) => keepTheme(state, name),
    });
    note = (text) => chat.note(text);
    const end = await chat.run();
    tell(terminal, goodbye(end, connection.kind));
    return end.code;
  });
}

async function sessionToShow(client: Client, id: string | undefined, asked: TaskRequest) {
  if (id !== undefined) return findSession(client, id);
  const continued = await continuedSession(client, asked);
  return continued === undefined ? undefined : client.session(continued);
}

function goodbye({ sessionId, isWorking }: ChatEnd, kind: Connection['kind']): string {
  if (sessionId === undefined) return 'Nothing was begun.';
  const goesOn =
    kind === 'own'
      ? 'The task is kept: the next `capybara chat`, `run` or `up` goes on with it.\n'
      : 'The task goes on.\n';
  return `${isWorking ? goesOn : ''}Come back with: capybara chat ${sessionId}`;
}

function noTerminal(): UserError {
  const message =
    'A chat needs a terminal that can be drawn on: use `capybara run "…"` here, and `capybara run --continue "…"` to go on.';
  return new UserError('no_terminal', message, 2);
}

function idGiven(): UserError {
  const message = 'An ID names a session, which has its workspace: leave out --continue and --workspace.';
  return new UserError('session_given', message);
}
