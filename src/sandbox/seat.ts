/**
 * A process that is in its control group before it knows which command it becomes. To move into a group takes the kernel about ten
 * milliseconds (it waits for all processors), so it is done ahead, for the next command, while nobody waits.
 *
 * It is a shell that reads what to do from its input, line by line: the first moves it, the second is an `exec`. Where its input ends
 * without that, because its worker has died, it ends.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import type { Group } from './groups.ts';
import type { Handed } from './handed.ts';
import type { Runner } from './runner.ts';

/** The descriptors before it: input, output, complaints, and the way into the group. */
export const FIRST_HANDED = 4;
/** Descriptors that a waiting one has for what is handed to its command. */
const WAITING_PIPES = 5;

/** Who sits there. */
export interface Sitter {
  readonly runner: Runner | undefined;
  /** Its environment, for the guard; the command gets one of its own. */
  readonly env: Readonly<Record<string, string>>;
}

export class Seat {
  readonly group: Group;
  readonly child: ChildProcess;
  readonly #sitter: Sitter;

  /** `handed`: left out where the command is not known yet. */
  constructor(group: Group, sitter: Sitter, handed?: Handed) {
    this.group = group;
    this.#sitter = sitter;
    const { runner, env } = sitter;
    this.child = spawn('/bin/sh', [], {
      ...{ cwd: '/', env, detached: true, ...runner },
      stdio: [
        'pipe',
        'pipe',
        'pipe',
        group.entrance,
        ...(handed?.stdio ?? Array(WAITING_PIPES).fill('pipe')),
      ],
    });
    group.shut();
    // It may have been killed while it waited.
    for (const each of [this.child, this.child.stdin]) each?.on('error', () => {});
    this.child.stdin?.write('echo 0 >&3 || exit; exec 3>&-\n');
    if (handed === undefined) this.#letGo();
  }

  /** Whether it still waits, for a command of this user's. */
  isFor({ runner }: Sitter): boolean {
    const { pid, exitCode, signalCode } = this.child;
    const isThere = pid !== undefined && exitCode === null && signalCode === null;
    return isThere && runner?.uid === this.#sitter.runner?.uid && runner?.gid === this.#sitter.runner?.gid;
  }

  /** Whether it can become a command with that. */
  fits(sitter: Sitter, { stdio }: Handed): boolean {
    const isPlain = stdio.length <= WAITING_PIPES && !stdio.some((each) => typeof each === 'number');
    return isPlain && this.isFor(sitter);
  }

  /** `input`: the descriptor that is the command's, as it is numbered here; undefined: it has none. */
  become(command: readonly string[], handed: Handed, input?: string): void {
    this.child.ref();
    for (const stream of this.child.stdio) (stream as Socket | null)?.ref();
    const from = input === undefined ? '</dev/null' : `<&${input}`;
    this.child.stdin?.end(`exec ${command.map(quoted).join(' ')} ${from}\n`);
    handed.send(this.child);
    for (const pipe of this.child.stdio.slice(FIRST_HANDED + handed.stdio.length)) pipe?.destroy();
  }

  /** Nobody needs it. */
  leave(): void {
    this.child.kill('SIGKILL');
    this.group.close();
  }

  /** One that waits must not keep its worker from ending. */
  #letGo(): void {
    this.child.unref();
    for (const stream of this.child.stdio) (stream as Socket | null)?.unref();
  }
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
