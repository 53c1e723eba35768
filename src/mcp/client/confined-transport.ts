/** A server that is a command: it runs in the sandbox like any command of an agent, and speaks on its standard input and output. */
import { PassThrough } from 'node:stream';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import { type JSONRPCMessage, JSONRPCMessageSchema } from '@modelcontextprotocol/sdk/types.js';
import { messageOf } from '../../core/errors.ts';
import type { Command, CommandResult, Sandbox } from '../../sandbox/sandbox.ts';
import { Flow } from './flow.ts';
import { LONGEST_SAID } from './hidden-keys.ts';
import { ServerGone } from './server-gone.ts';

/** The longest that a timer can wait: it ends with its session or its worker, whichever comes first. */
const FOR_EVER_MS = 2 ** 31 - 1;
/** For it to end by itself when there is nothing more to read. */
const CLOSE_GRACE_MS = 500;
/** Lines that are no JSON: some servers greet on the wrong stream. */
const MOST_NONSENSE = 100;
const TOO_MUCH = 'sent more than anybody can read, and was ended';
/** Begins the line that says how the server itself ended, though others that it started may still be there. */
const END_MARK = '\x1d';
/** For what it said last to be read, where something that it started still holds its standard error. */
const LAST_WORDS_MS = 500;
/** Begins the last line: what the server said on its standard error. */
const ERRORS_MARK = '\x1e';
/** More than is shown: a key that is cut in two would be known by neither half. */
const ERRORS_BYTES = 2 * LONGEST_SAID;

/** The program, its arguments, and where it runs. */
export interface ServerCommand
  extends Omit<Command, 'script' | 'timeoutMs' | 'input' | 'onOutput' | 'keepsOutput'> {
  readonly words: readonly string[];
}

export class ConfinedTransport implements Transport {
  onclose?: () => void;
  onerror?: (error: Error) => void;
  onmessage?: (message: JSONRPCMessage) => void;
  /** Why it ended; undefined while it runs. */
  gone: ServerGone | undefined;
  readonly #sandbox: Sandbox;
  readonly #command: ServerCommand;
  readonly #input = new PassThrough();
  readonly #ending = new AbortController();
  readonly #flow: Flow;
  readonly #messageBytes: number;
  /** Of a line that is not whole yet, and their length together. */
  #pieces: string[] = [];
  #pending = 0;
  #errors: string | undefined;
  #nonsense = 0;
  #why: string | undefined;
  #code: number | undefined;
  #lastWords: NodeJS.Timeout | undefined;
  /** Nothing of it is read any more. */
  #isStopped = false;
  #ended: Promise<void> = Promise.resolve();

  constructor(sandbox: Sandbox, command: ServerCommand, messageBytes: number) {
    this.#sandbox = sandbox;
    this.#command = command;
    this.#messageBytes = messageBytes;
    this.#flow = new Flow(messageBytes);
  }

  async start(): Promise<void> {
    const { words, ...places } = this.#command;
    const result = this.#sandbox.run(
      {
        ...places,
        script: scriptOf(words),
        timeoutMs: FOR_EVER_MS,
        input: this.#input,
        keepsOutput: false,
        onOutput: (text) => this.#read(text),
      },
      this.#ending.signal,
    );
    this.#ended = this.#end(result);
  }

  async #end(result: Promise<CommandResult>): Promise<void> {
    try {
      const { end } = await result;
      // No line break ends what it said.
      const rest = this.#pieces.join('');
      if (this.#errors !== undefined || rest.startsWith(ERRORS_MARK)) this.#line(rest);
      const own = end.type === 'aborted' && this.#code !== undefined ? sayExit(this.#code) : sayEnd(end);
      this.gone = new ServerGone(this.#why ?? own, this.#errors);
    } catch (error) {
      this.gone = new ServerGone(`could not be started: ${messageOf(error)}`, undefined);
    }
    clearTimeout(this.#lastWords);
    this.#input.destroy();
    this.onclose?.();
  }

  #read(text: string): void {
    if (this.#isStopped) return;
    if (!this.#flow.takes(Buffer.byteLength(text))) {
      this.#stop(TOO_MUCH);
      return;
    }
    const [first = '', ...others] = text.split('\n');
    this.#keep(first);
    for (const next of others) {
      const line = this.#pieces.join('');
      this.#pieces = [];
      this.#pending = 0;
      this.#line(line);
      if (this.#isStopped) return;
      this.#keep(next);
    }
  }

  #keep(piece: string): void {
    this.#pieces.push(piece);
    this.#pending += piece.length;
    if (this.#pending > this.#messageBytes)
      this.#stop(`sent a message of more than ${this.#messageBytes} bytes, and was ended`);
  }

  #line(line: string): void {
    if (line.startsWith(ERRORS_MARK) || this.#errors !== undefined) {
      this.#errors = this.#errors === undefined ? line.slice(1) : `${this.#errors}\n${line}`;
      return;
    }
    if (line.startsWith(END_MARK)) {
      this.#endSoon(Number.parseInt(line.slice(1), 10));
      return;
    }
    if (line.trim() === '' || this.#why !== undefined) return;
    if (!this.#flow.takesMessage()) {
      this.#stop(TOO_MUCH);
      return;
    }
    let message: JSONRPCMessage;
    try {
      message = JSONRPCMessageSchema.parse(JSON.parse(line));
    } catch {
      this.#nonsense += 1;
      if (this.#nonsense > MOST_NONSENSE) this.#stop('speaks something else than JSON-RPC, and was ended');
      return;
    }
    this.onmessage?.(message);
  }

  #endSoon(code: number): void {
    this.#code = code;
    this.#lastWords ??= setTimeout(() => this.#ending.abort(), LAST_WORDS_MS);
  }

  #stop(why: string): void {
    this.#why ??= why;
    this.#isStopped = true;
    this.#pieces = [];
    this.#ending.abort();
  }

  async send(message: JSONRPCMessage): Promise<void> {
    if (this.gone !== undefined) throw this.gone;
    if (this.#input.writableLength > this.#messageBytes) {
      this.#stop('does not read what it is sent, and was ended');
      throw new ServerGone(this.#why ?? '', undefined);
    }
    this.#input.write(`${JSON.stringify(message)}\n`);
  }

  /** Resolves when nothing of it is left. */
  async close(): Promise<void> {
    this.#why ??= 'was ended';
    this.#input.end();
    const timer = setTimeout(() => this.#ending.abort(), CLOSE_GRACE_MS);
    await this.#ended;
    clearTimeout(timer);
  }
}

/**
 * What it says on its standard error must not come between the messages: its beginning is told when it has ended. The shell stays to
 * tell it when both are asked to end, and so does what holds it.
 */
function scriptOf(words: readonly string[]): string {
  const command = words.map(quoted).join(' ');
  return `trap : TERM
{ errors=$({ ${command} 2>&1 >&3 3>&-; code=$?; printf '\\n\\035%s\\n' "$code" >&3; exit "$code"; } | { trap '' TERM; head -c ${ERRORS_BYTES}; cat >/dev/null; }; exit "\${PIPESTATUS[0]}"); code=$?; } 3>&1
printf '\\n\\036%s' "$errors"
exit "$code"`;
}

export function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

function sayExit(code: number): string {
  return `ended (exit code ${code})`;
}

function sayEnd(end: CommandResult['end']): string {
  switch (end.type) {
    case 'exit':
      return sayExit(end.code);
    case 'signal':
      return `was killed (${end.signal})`;
    case 'limit':
      return `was ended: ${end.limit === 'disk' ? 'the disk was about to be full' : 'its memory ran out'}`;
    case 'timeout':
    case 'aborted':
      return 'was ended';
  }
}
