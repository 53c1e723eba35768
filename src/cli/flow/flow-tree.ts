/** The session that is followed and those below it, as events change them. */
import { type Event, type SessionTree, TreeNode } from '../../api/wire.ts';
import { sumUsd } from '../../core/money.ts';
import { OpenCalls } from './open-calls.ts';

type Mutable<Shape> = { -readonly [Key in keyof Shape]: Shape[Key] };
type Told = Omit<TreeNode, 'children' | 'doing'>;
type TaskStatus = NonNullable<TreeNode['task']>['status'];

interface Live {
  readonly node: Mutable<Told>;
  readonly children: readonly Live[];
  /** When, by the tree's clock, `node.seconds` was right. Undefined: its task does not run. */
  runsSince: number | undefined;
}

/** The end of a task tells the state, too: the event that says so comes behind it. */
const ENDS: ReadonlyMap<Event['type'], readonly [TaskStatus, TreeNode['state']]> = new Map([
  ['task.succeeded', ['succeeded', 'completed']],
  ['task.failed', ['failed', 'failed']],
  ['task.cancelled', ['cancelled', 'idle']],
]);
/** Waits that end by what a person does, or by another that waits too. */
const RESTS = new Set<string | undefined>(['approval', 'children', 'input', 'budget', 'slot']);

/** Is told every event of the stream, from its beginning; what a reading of the tree tells already, no event changes again. */
export class FlowTree {
  readonly #now: () => number;
  readonly #live = new Map<string, Live>();
  readonly #calls = new OpenCalls();
  #root: Live | undefined;
  #seq = 0;

  /** `now`: milliseconds of a clock that does not jump. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** How many sessions are known. */
  get size(): number {
    return this.#live.size;
  }

  has(sessionId: string): boolean {
    return this.#live.has(sessionId);
  }

  /** Takes a reading. `meanwhile`: the events that were applied since it was asked for. */
  set(tree: SessionTree, meanwhile: readonly Event[] = []): void {
    this.#live.clear();
    this.#root = this.#grown(tree);
    this.#seq = tree.seq;
    for (const event of meanwhile) if (event.seq > tree.seq) this.#change(event);
  }

  /** Returns whether what is seen may have changed. */
  apply(event: Event): boolean {
    const isCall = this.#calls.apply(event);
    return (event.seq > this.#seq && this.#change(event)) || isCall;
  }

  /** As it stands now; undefined before the first reading. */
  get root(): TreeNode | undefined {
    return this.#root && this.#shown(this.#root);
  }

  /** From the followed session down to this one; empty where it is not below. */
  pathOf(sessionId: string): readonly Told[] {
    const live = this.#live.get(sessionId);
    return live === undefined ? [] : [...this.pathOf(live.node.parentId ?? ''), live.node];
  }

  /** Nobody goes on before a person has done something. */
  get isAtRest(): boolean {
    return [...this.#live.values()].every(({ node }) => {
      const status = node.task?.status;
      return (
        !isUnfinished(node) || status === 'paused' || (status === 'waiting' && RESTS.has(node.waitingOn?.on))
      );
    });
  }

  /** Beside the followed one. */
  get hasUnfinishedBelow(): boolean {
    return [...this.#live.values()].some((live) => live !== this.#root && isUnfinished(live.node));
  }

  waitsOn(what: 'budget'): boolean {
    return [...this.#live.values()].some(({ node }) => node.waitingOn?.on === what);
  }

  /** Something runs of which only a reading can say what it is about. */
  get lacksAbout(): boolean {
    const current = [...this.#live.keys()].map((sessionId) => this.#calls.current(sessionId));
    return current.some((doing) => doing !== undefined && doing.about === undefined);
  }

  #grown({ children, doing, ...told }: TreeNode): Live {
    if (doing) this.#calls.tell(told.sessionId, doing);
    const { sessionId, startedAt, endedAt } = told;
    const runs = startedAt !== null && endedAt === null;
    const live = {
      node: { ...told },
      children: children.map((child) => this.#grown(child)),
      runsSince: runs ? this.#now() : undefined,
    };
    this.#live.set(sessionId, live);
    return live;
  }

  #shown(live: Live): TreeNode {
    const { waitingOn, ...told } = live.node;
    const children = live.children.map((child) => this.#shown(child));
    const doing = told.state === 'executing' ? this.#calls.current(told.sessionId) : undefined;
    const unfinished = children.filter(isUnfinished).length;
    return {
      ...told,
      ...(doing && { doing }),
      ...(waitingOn && {
        waitingOn: waitingOn.on === 'children' ? { on: 'children', children: unfinished } : waitingOn,
      }),
      seconds: this.#secondsOf(live),
      children,
    };
  }

  #secondsOf({ node, runsSince }: Live): number {
    return node.seconds + (runsSince === undefined ? 0 : (this.#now() - runsSince) / 1000);
  }

  #change(event: Event): boolean {
    const live = this.#live.get(event.sessionId);
    if (live === undefined) return false;
    const { node } = live;
    const end = ENDS.get(event.type);
    if (event.type === 'task.created') return this.#queued(live, event);
    if (event.type === 'task.started') return this.#started(live, event);
    // Another task waits for its turn, or was cancelled before it had one.
    if (event.taskId !== node.task?.id) return false;
    if (end !== undefined) return this.#ended(live, event.at, end);
    switch (event.type) {
      case 'task.waiting':
        return this.#waits(node, event.data);
      case 'task.paused':
        return this.#inTask(node, 'paused');
      case 'task.resumed':
        // A pause is over, and what it waited for before is not; else that has come.
        if (node.task?.status === 'paused') return this.#inTask(node, node.waitingOn ? 'waiting' : 'running');
        delete node.waitingOn;
        return this.#inTask(node, 'running');
      case 'agent.state_changed':
        return changed(node, event.data);
      case 'usage.recorded':
        return used(node, event.data);
      default:
        return false;
    }
  }

  #queued(live: Live, { taskId }: Event): boolean {
    if (taskId === undefined || isUnfinished(live.node)) return false;
    live.runsSince = undefined;
    Object.assign(live.node, { state: 'idle', startedAt: null, endedAt: null, seconds: 0 });
    live.node.task = { id: taskId, status: 'queued' };
    return true;
  }

  #started(live: Live, { taskId, at }: Event): boolean {
    if (taskId === undefined) return false;
    live.runsSince = this.#now();
    Object.assign(live.node, { startedAt: at, endedAt: null, seconds: 0 });
    live.node.task = { id: taskId, status: 'running' };
    return true;
  }

  #ended(live: Live, at: string, [status, state]: readonly [TaskStatus, TreeNode['state']]): boolean {
    live.node.seconds = this.#secondsOf(live);
    live.runsSince = undefined;
    live.node.endedAt = at;
    live.node.state = state;
    delete live.node.waitingOn;
    return this.#inTask(live.node, status);
  }

  /** What it waits for may be something that this version does not know. */
  #waits(node: Mutable<Told>, { on }: Event['data']): boolean {
    if (typeof on === 'string') node.waitingOn = { on: on as NonNullable<Told['waitingOn']>['on'] };
    else delete node.waitingOn;
    return this.#inTask(node, 'waiting');
  }

  #inTask(node: Mutable<Told>, status: TaskStatus): boolean {
    if (node.task) node.task = { ...node.task, status };
    return true;
  }
}

export function isUnfinished({ task }: Pick<Told, 'task'>): boolean {
  return task !== undefined && ['queued', 'running', 'waiting', 'paused'].includes(task.status);
}

/** A state that this version does not know changes nothing: no line could say it. */
function changed(node: Mutable<Told>, { state }: Event['data']): boolean {
  const known = TreeNode.shape.state.safeParse(state);
  if (known.success) node.state = known.data;
  return known.success;
}

function used(node: Mutable<Told>, { input, output, usd }: Event['data']): boolean {
  node.tokens = { input: node.tokens.input + Number(input), output: node.tokens.output + Number(output) };
  node.usd = sumUsd([node.usd, typeof usd === 'string' ? usd : null]);
  return true;
}
