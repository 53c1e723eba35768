import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { keptCode } from '../../compiled-code.ts';
import type { PruneOrder, PruneReport } from './prune-child.ts';
import { SnapshotError } from './snapshot-error.ts';

/** How long the process stays when it has nothing to do: what is pruned next comes soon, or in hours. */
const IDLE_MS = 1_000;

/** Prunes in a process of its own (`prune-child.ts`), which is there while there is something to do. */
export class PruneProcess {
  #child: ChildProcess | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #idle: NodeJS.Timeout | undefined;
  #isClosed = false;

  /** One after the other. Rejects with `SnapshotError`. */
  run(order: PruneOrder): Promise<void> {
    const running = this.#last.then(() => this.#run(order));
    this.#last = running.catch(() => {});
    return running;
  }

  /** In the middle of whatever it does. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#end();
    await this.#last;
  }

  async #run(order: PruneOrder): Promise<void> {
    if (this.#isClosed) throw stopped();
    clearTimeout(this.#idle);
    const child = this.#running();
    const { promise, resolve, reject } = Promise.withResolvers<PruneReport>();
    const onExit = () => reject(stopped());
    child.once('message', resolve).once('exit', onExit).once('error', reject);
    try {
      child.send(order);
      const { error } = await promise;
      if (error !== undefined) throw new SnapshotError(error.code, error.message);
    } finally {
      child.off('message', resolve).off('exit', onExit).off('error', reject);
      this.#idle = setTimeout(() => void this.#end(), IDLE_MS);
    }
  }

  #running(): ChildProcess {
    if (this.#child !== undefined) return this.#child;
    const file = fileURLToPath(new URL(`./prune-child${extname(import.meta.url)}`, import.meta.url));
    const env = { ...keptCode() };
    // A group of its own, with the git that it runs.
    const child = fork(file, { detached: true, env, execArgv: ['--no-warnings'], stdio: 'ignore' });
    child.once('exit', () => {
      if (this.#child === child) this.#child = undefined;
    });
    // Nobody may be listening: what it fails with, the next order meets.
    child.on('error', () => {});
    this.#child = child;
    return child;
  }

  async #end(): Promise<void> {
    clearTimeout(this.#idle);
    const child = this.#child;
    this.#child = undefined;
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      child.kill('SIGKILL');
    }
    await ended;
  }
}

function stopped(): SnapshotError {
  return new SnapshotError('io', 'Pruning was stopped in the middle; the next time goes on.');
}
