import { setTimeout as sleep } from 'node:timers/promises';
import type { Event, SessionTree, Task, TreeNode } from '../../api/wire.ts';
import { ProblemError } from '../../client/errors.ts';
import { TODO } from '../../core/tool-names.ts';
import { FlowTree } from './flow-tree.ts';

/** Whose an event is: the followed task's, one of a session below it, or nobody's that is followed. */
export type Whose = 'own' | 'below' | 'other';

/** Least time between two readings that no session asks for. */
export const REFRESH_MS = 3_000;
/** How often, and how many times, it is looked whether all has stopped. */
const SETTLE_MS = 200;
export const SETTLE_TRIES = 11;

interface FamilyOptions {
  readonly task: Pick<Task, 'id' | 'sessionId'>;
  readonly read: () => Promise<SessionTree>;
  /** As `FlowTree` takes it. */
  readonly now?: () => number;
}

/**
 * Knows which sessions of a stream are below the followed one, and how they stand. Reads the tree when it hears of a session
 * that it does not know: for one that delegates nothing, never.
 */
export class Family {
  readonly tree: FlowTree;
  readonly #options: FamilyOptions;
  readonly #now: () => number;
  /** Sessions that are not below. */
  readonly #others = new Set<string>();
  #reading: Promise<void> | undefined;
  /** Events since that was asked for. */
  #meanwhile: Event[] = [];
  #hasBegun = false;
  #isStale = false;
  #readAt = Number.NEGATIVE_INFINITY;

  constructor(options: FamilyOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.tree = new FlowTree(this.#now);
  }

  /** Takes the next event of the stream. */
  async take(event: Event): Promise<Whose> {
    const whose = await this.#whose(event);
    if (this.#reading !== undefined) this.#meanwhile.push(event);
    this.tree.apply(event);
    // No event tells what an agent has listed as to be done.
    if (event.type === 'tool.completed' && event.data.name === TODO) this.lost();
    if (whose === 'own' && event.type === 'task.started') this.#hasBegun = true;
    // What an earlier task of the session delegated.
    return whose === 'below' && !this.#hasBegun ? 'other' : whose;
  }

  /** The followed session as it stands, where it works on the followed task and has others below it. */
  get shown(): TreeNode | undefined {
    const { root } = this.tree;
    const isShown = root?.task?.id === this.#options.task.id && root.children.length > 0;
    return isShown ? root : undefined;
  }

  /** What is known may not be all there is: the stream broke. */
  lost(): void {
    this.#isStale = this.tree.size > 0;
  }

  /** Has the tree read anew, not too often, where events do not tell all that is to be seen. */
  keepFresh(): void {
    if (!this.#isStale && !this.tree.lacksAbout) return;
    if (this.#now() - this.#readAt >= REFRESH_MS) this.refresh().catch(() => {});
  }

  /** Waits, not long, until what was cancelled with the followed task has stopped: it is told to, and does so within a second. */
  async settle(signal: AbortSignal): Promise<void> {
    for (let tries = 0; tries < SETTLE_TRIES && this.tree.hasUnfinishedBelow; tries += 1) {
      await sleep(tries === 0 ? 0 : SETTLE_MS, undefined, { signal });
      await this.refresh();
    }
  }

  /** Reads the tree anew, if that is not being done. */
  async refresh(): Promise<void> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #whose({ sessionId, taskId }: Event): Promise<Whose> {
    const { task } = this.#options;
    if (sessionId === task.sessionId) return (taskId ?? task.id) === task.id ? 'own' : 'other';
    if (this.#others.has(sessionId)) return 'other';
    if (await this.#isBelow(sessionId)) return 'below';
    this.#others.add(sessionId);
    return 'other';
  }

  async #isBelow(sessionId: string): Promise<boolean> {
    if (this.tree.has(sessionId)) return true;
    // One that is asked for already may have been answered before the session was there.
    await this.#reading?.catch(() => {});
    if (!this.tree.has(sessionId)) await this.refresh();
    return this.tree.has(sessionId);
  }

  async #read(): Promise<void> {
    this.#meanwhile = [];
    this.#readAt = this.#now();
    try {
      const tree = await this.#options.read();
      this.tree.set(tree.task?.id === this.#options.task.id ? withoutEarlier(tree) : tree, this.#meanwhile);
      this.#isStale = false;
    } catch (error) {
      // A server that does not know of trees has none.
      if (!(error instanceof ProblemError)) throw error;
    }
  }
}

/** Without what earlier tasks delegated. */
export function withoutEarlier<Tree extends TreeNode>(tree: Tree): Tree {
  const began = tree.startedAt ?? '';
  return { ...tree, children: tree.children.filter(({ endedAt }) => endedAt === null || endedAt >= began) };
}
