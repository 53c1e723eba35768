/** A chat: what is typed is sent, and what is heard is shown. */
import { ProcessTerminal, type Terminal } from '@earendil-works/pi-tui';
import type { Session, TreeNode } from '../../api/wire.ts';
import type { Config } from '../../config.ts';
import { DEFAULT_AGENT } from '../../core/agent-names.ts';
import { messageOf, UserError } from '../../core/errors.ts';
import type { Connection } from '../connection.ts';
import { withoutEarlier } from '../flow/family.ts';
import { createLook, type Look } from '../look.ts';
import { loadHighlight } from '../markdown/highlight.ts';
import { EXIT } from '../run-task.ts';
import type { TaskRequest } from '../task-input.ts';
import type { Style } from '../terminal.ts';
import type { ThemeName } from '../themes.ts';
import { Answers } from './answers.ts';
import { PastedImages } from './clipboard.ts';
import { CHAT_COMMANDS } from './commands/all.ts';
import type { ChatContext } from './commands/context.ts';
import { createCompletion, filesOf } from './completion.ts';
import { Feed } from './feed.ts';
import { hintLines } from './hints.ts';
import type { History } from './history.ts';
import { meaningOf } from './input.ts';
import { type Action, reduce } from './reduce.ts';
import { ChatScreen } from './screen/screen.ts';
import { Sender } from './sender.ts';
import { attachedTo } from './sent-files.ts';
import { type ChatState, NOTHING, taskInHand } from './state.ts';
import { statusLine } from './status-line.ts';

export interface ChatOptions {
  readonly connection: Connection;
  readonly config: Config;
  /** What a first task is sent with. */
  readonly request: TaskRequest;
  /** The session to go on with. */
  readonly session: Session | undefined;
  readonly style: Style;
  readonly history: History;
  readonly theme: ThemeName;
  /** Told of another theme, so that it is kept. */
  readonly onTheme: (name: ThemeName) => void;
  readonly cwd: string;
  /** Aborts when this process is told to end. */
  readonly signal: AbortSignal;
  readonly terminal?: Terminal;
}

/** A second Ctrl-C within this time leaves. */
export const LEAVE_MS = 2_000;
const COMMAND_NAMES = CHAT_COMMANDS.map(({ name }) => name);

export interface ChatEnd {
  readonly code: number;
  readonly sessionId: string | undefined;
  /** Whether a task goes on. */
  readonly isWorking: boolean;
}

export class Chat {
  readonly #options: ChatOptions;
  readonly #screen: ChatScreen;
  readonly #sender: Sender;
  readonly #answers: Answers;
  readonly #context: ChatContext;
  readonly #pasted = new PastedImages();
  readonly #end = Promise.withResolvers<number>();
  #state: ChatState;
  #look: Look;
  #feed: { readonly feed: Feed; readonly stop: AbortController } | undefined;
  /** When Ctrl-C was pressed last, and whether it was to stop a task. */
  #pressedAt = Number.NEGATIVE_INFINITY;
  #stops = false;

  constructor(options: ChatOptions) {
    const { connection, request, cwd, history } = options;
    this.#options = options;
    const { withoutTools } = request.body;
    this.#state = { ...NOTHING, wishes: withoutTools ? { withoutTools } : {} };
    this.#look = this.#lookOf(options.theme);
    const tell = (action: Action) => this.#tell(action);
    const state = () => this.#state;
    const show = (session: Session | undefined) => this.#show(session);
    const attached = (text: string) => attachedTo(text, cwd, this.#pasted.namedIn(text));
    this.#sender = new Sender({
      ...{ connection, request, attached, state, tell, show },
      signal: options.signal,
    });
    this.#answers = new Answers({ connection, state, tell, style: options.style, signal: options.signal });
    this.#context = this.#contextOf();
    this.#screen = new ChatScreen({
      ...{ terminal: options.terminal ?? new ProcessTerminal(), state, history },
      look: () => this.#look,
      tree: () => this.#tree(),
      me: () => this.#sender.me ?? this.#onlyOne(),
      hints: (columns) => hintLines(this.#state, this.#hintOptions(columns)),
      status: (columns) => this.#status(columns),
      completion: createCompletion({
        ...{ commands: CHAT_COMMANDS, context: this.#context, files: filesOf(cwd) },
      }),
      send: (line, begunAt) => void this.#take(line, begunAt),
      interrupt: (isUsed) => this.#pressed(isUsed),
      leave: () => this.#end.resolve(EXIT.done),
      paste: () => void this.#paste(),
      open: (callId) => tell({ do: 'open', ...(callId !== undefined && { callId }) }),
    });
  }

  /** Until the person leaves. Throws what ends the conversation otherwise. */
  async run(): Promise<ChatEnd> {
    const { signal, session } = this.#options;
    const left = () => this.#end.resolve(EXIT.left);
    signal.addEventListener('abort', left);
    this.#screen.start();
    setImmediate(() => this.#repaint({ ...this.#look, highlight: loadHighlight() }));
    if (session !== undefined) this.#show(session);
    try {
      const code = signal.aborted ? EXIT.left : await this.#end.promise;
      const isWorking = taskInHand(this.#state) !== undefined;
      return { code, sessionId: this.#state.session?.id, isWorking };
    } finally {
      signal.removeEventListener('abort', left);
      this.#feed?.stop.abort();
      this.#screen.stop();
      this.#pasted.close();
    }
  }

  /** Something to tell that comes from elsewhere. */
  note(text: string): void {
    this.#tell({ do: 'note', text, tone: 'quiet' });
  }

  #tell(action: Action): void {
    this.#state = reduce(this.#state, action);
    this.#screen.changed();
  }

  #show(session: Session | undefined): void {
    this.#feed?.stop.abort();
    this.#feed = undefined;
    this.#tell({ do: 'show', session });
    if (session === undefined) return;
    const stop = new AbortController();
    const { connection } = this.#options;
    const tell = (action: Action) => {
      if (!stop.signal.aborted) this.#tell(action);
    };
    const feed = new Feed({ connection, sessionId: session.id, signal: stop.signal, tell });
    this.#feed = { feed, stop };
    feed.run().catch((error: unknown) => this.#end.reject(error));
  }

  /** Does what a line means; what cannot be done is told, and the line given back where it would be lost. */
  async #take(line: string, begunAt: number): Promise<void> {
    try {
      if (await this.#answers.confirms(line)) return;
      const [asked] = this.#state.asked;
      const isAnswer = asked !== undefined && begunAt >= this.#answers.shownAt(asked);
      const meaning = meaningOf(line, { asked, isAnswer, commands: COMMAND_NAMES });
      if (meaning.kind === 'leave') this.#end.resolve(EXIT.done);
      else if (meaning.kind === 'answer') await this.#answers.give(meaning.approval, meaning.answer);
      else if (meaning.kind === 'message') await this.#sender.say(meaning.text);
      else if (meaning.kind === 'command') await this.#command(meaning.name, meaning.args);
    } catch (error) {
      this.#tell({ do: 'note', text: messageOf(error), tone: 'bad' });
      if (this.#screen.text === '') this.#screen.write(line);
    }
  }

  async #paste(): Promise<void> {
    try {
      this.#screen.insert(`${await this.#pasted.paste()} `);
    } catch (error) {
      this.#tell({ do: 'note', text: messageOf(error), tone: 'warning' });
    }
  }

  async #command(name: string, args: string): Promise<void> {
    const command = CHAT_COMMANDS.find((each) => each.name === name);
    if (command !== undefined) return command.run(this.#context, args);
    throw new UserError('unknown_command', `There is no /${name}: /help lists what there is.`);
  }

  #pressed(isUsed: boolean): void {
    if (performance.now() - this.#pressedAt < LEAVE_MS) this.#end.resolve(EXIT.left);
    this.#pressedAt = performance.now();
    const task = isUsed ? undefined : taskInHand(this.#state);
    this.#stops = task !== undefined;
    if (task !== undefined && !task.cancelRequested) void this.#stop(task.id);
    this.#screen.changed();
    setTimeout(() => this.#screen.changed(), LEAVE_MS).unref();
  }

  async #stop(taskId: string): Promise<void> {
    try {
      const { connection, signal } = this.#options;
      const task = await connection.clientUntil(signal).cancelTask(taskId);
      this.#tell({ do: 'task', task, isNew: true });
    } catch (error) {
      this.#tell({ do: 'note', text: messageOf(error), tone: 'bad' });
    }
  }

  #hintOptions(columns: number) {
    const isRecent = performance.now() - this.#pressedAt < LEAVE_MS;
    const pressed = this.#stops ? ('stop' as const) : ('leave' as const);
    return {
      ...this.#look,
      ...{ columns, isSure: this.#answers.isSure, pressed: isRecent ? pressed : undefined },
    };
  }

  #tree(): TreeNode | undefined {
    const root = this.#feed?.feed.flow.root;
    return root && withoutEarlier(root);
  }

  #status(columns: number): string {
    const { config, request } = this.#options;
    const { agent = DEFAULT_AGENT, model = config.model } = request.body;
    return statusLine(this.#state, {
      ...this.#look,
      columns,
      tree: this.#tree(),
      fallback: { agent, model },
    });
  }

  /** An embedded Capybara is its person's own. */
  #onlyOne(): string | undefined {
    if (this.#options.connection.kind === 'configured') return undefined;
    const people = this.#state.items.flatMap((item) => (item.kind === 'said' && item.by ? [item.by] : []));
    return new Set(people).size === 1 ? people[0] : undefined;
  }

  #lookOf(name: ThemeName): Look {
    return createLook(this.#options.style, name, this.#look?.highlight);
  }

  #repaint(look: Look): void {
    this.#look = look;
    this.#screen.repaint();
  }

  #contextOf(): ChatContext {
    const { connection, config, cwd, signal } = this.#options;
    return {
      ...{ client: connection.clientUntil(signal), config, cwd, commands: CHAT_COMMANDS },
      state: () => this.#state,
      look: () => this.#look,
      columns: () => this.#screen.columns,
      tell: (action) => this.#tell(action),
      show: (session) => this.#show(session),
      choose: (title, items) => this.#screen.choose(title, items),
      queue: (text) => this.#sender.queue(text),
      input: { read: () => this.#screen.text, write: (text) => this.#screen.write(text) },
      without: (act) => this.#screen.without(act),
      setTheme: (name) => {
        this.#options.onTheme(name);
        this.#repaint(this.#lookOf(name));
      },
      leave: () => this.#end.resolve(EXIT.done),
    };
  }
}
