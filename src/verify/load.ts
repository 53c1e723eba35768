/**
 * The load: sessions that begin over time, with tasks one after the other or queued up, some cancelled, some asking a person,
 * some watched. It keeps what was promised to it: what the verdict holds the rows against.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { fromPublicId } from '../core/id.ts';
import type { Database } from '../store/database.ts';
import type { Client } from './client.ts';
import { KEY_IN_METADATA, unfinishedTasks } from './facts.ts';
import type { Plan, SessionPlan, TaskPlan } from './plan.ts';
import { promptOf } from './script.ts';
import { Tail } from './tail.ts';
import type { SubmittedFact } from './verdict.ts';

export interface LoadOptions {
  readonly client: Client;
  readonly db: Database;
  /** The proof is over. */
  readonly signal: AbortSignal;
}

type Submitted = { -readonly [Name in keyof SubmittedFact]: SubmittedFact[Name] };

const LOOK_MS = 400;
const APPROVALS_MS = 700;
/** The share of questions that are answered with yes. */
const ALLOWED_SHARE = 0.8;
const MODEL = 'env/verify';

export class Load {
  readonly submitted: Submitted[] = [];
  readonly gaps: string[] = [];
  readonly refusals: string[] = [];
  tails = 0;
  readonly #options: LoadOptions;
  readonly #endTails = new AbortController();
  readonly #tails: { readonly tail: Tail; readonly sessionId: string; readonly done: Promise<void> }[] = [];
  #unfinished = new Set<string>();
  #isSubmitted = false;

  constructor(options: LoadOptions) {
    this.#options = options;
  }

  get unfinished(): number {
    return this.#unfinished.size;
  }

  /** Everything has been submitted and has ended. */
  get isDone(): boolean {
    return this.#isSubmitted && this.#unfinished.size === 0;
  }

  /** Resolves when every session has its tasks. Rejects when the proof is over before. */
  async run(plan: Plan): Promise<void> {
    void this.#repeat(LOOK_MS, async () => {
      this.#unfinished = await unfinishedTasks(this.#options.db);
    });
    void this.#repeat(APPROVALS_MS, () => this.#answerApprovals());
    await Promise.all(plan.sessions.map((session) => this.#session(session)));
    this.#unfinished = await unfinishedTasks(this.#options.db);
    this.#isSubmitted = true;
  }

  /** Ends the tails where they have seen everything; what they have not seen is a gap. `lastSeq` by session (UUID). */
  async endTails(lastSeq: ReadonlyMap<string, number>, withinMs: number): Promise<void> {
    const due = ({ sessionId }: { sessionId: string }) =>
      lastSeq.get(fromPublicId('session', sessionId) ?? '') ?? 0;
    const giveUpAt = performance.now() + withinMs;
    const behind = () => this.#tails.filter((each) => each.tail.last < due(each));
    while (behind().length > 0 && performance.now() < giveUpAt) await delay(LOOK_MS);
    for (const each of behind()) {
      this.gaps.push(`session ${each.sessionId}: its tail saw ${each.tail.last} of ${due(each)} events`);
    }
    this.#endTails.abort();
    await Promise.all(this.#tails.map(({ done }) => done));
  }

  async #session({ at, number, tailed, tasks }: SessionPlan): Promise<void> {
    const { signal } = this.#options;
    await delay(at, undefined, { signal });
    let sessionId: string | undefined;
    let previous: string | undefined;
    for (const [index, task] of tasks.entries()) {
      if (task.afterPrevious && previous !== undefined) await this.#ended(previous);
      const accepted = await this.#submit(`${number}-${index}`, task, sessionId);
      if (accepted === undefined) return;
      if (sessionId === undefined && tailed) this.#watch(accepted.sessionId);
      sessionId = accepted.sessionId;
      previous = accepted.taskId;
    }
  }

  async #submit(
    key: string,
    task: TaskPlan,
    sessionId: string | undefined,
  ): Promise<{ taskId: string; sessionId: string } | undefined> {
    const body = {
      prompt: promptOf(task),
      model: MODEL,
      mode: task.mode,
      metadata: { [KEY_IN_METADATA]: key },
      ...(sessionId === undefined ? {} : { sessionId }),
      ...(task.turnLimit === undefined ? {} : { limits: { turns: task.turnLimit } }),
    };
    const ask = () => this.#options.client.ask('/v1/tasks', { body, key });
    const answers = await Promise.all(task.sentTwice ? [ask(), ask()] : [ask()]);
    const accepted = answers.flatMap(({ status, body: answer }) => {
      if (status === 201) return [answer as { id: string; sessionId: string }];
      this.refusals.push(`task ${key} was answered ${status}: ${JSON.stringify(answer)}`);
      return [];
    });
    const [first] = accepted;
    if (first === undefined) return undefined;
    const fact: Submitted = {
      ...{ key, cancelled: false, limited: task.turnLimit !== undefined },
      taskIds: accepted.map(({ id }) => fromPublicId('task', id) ?? id),
    };
    this.submitted.push(fact);
    this.#unfinished.add(fact.taskIds[0] ?? '');
    if (task.cancelAfterMs !== undefined) void this.#cancel(first.id, task.cancelAfterMs, fact);
    return { taskId: fact.taskIds[0] ?? '', sessionId: first.sessionId };
  }

  async #cancel(id: string, afterMs: number, fact: Submitted): Promise<void> {
    try {
      await delay(afterMs, undefined, { signal: this.#options.signal });
      // From here on it may end so, whether or not an answer comes.
      fact.cancelled = true;
      const { status, body } = await this.#options.client.ask(`/v1/tasks/${id}/cancel`, { body: {} });
      if (status !== 200)
        this.refusals.push(`cancelling ${id} was answered ${status}: ${JSON.stringify(body)}`);
    } catch {
      // The proof is over.
    }
  }

  /** The inbox, answered by two people at once: the first answer counts, and the second is told so. */
  async #answerApprovals(): Promise<void> {
    const { client } = this.#options;
    const { body } = await client.ask('/v1/approvals?limit=100');
    const { data = [] } = body as { data?: { id: string }[] };
    await Promise.all(
      data.flatMap(({ id }) =>
        [id, `${id}again`].map(async (who) => {
          const decision = shareOf(who) < ALLOWED_SHARE ? 'allow' : 'deny';
          const { status } = await client.ask(`/v1/approvals/${id}`, { body: { decision } });
          if (status !== 200 && status !== 409) this.refusals.push(`approval ${id} was answered ${status}`);
        }),
      ),
    );
  }

  #watch(sessionId: string): void {
    const { client } = this.#options;
    this.tails += 1;
    const onGap = (what: string) => void this.gaps.push(what);
    const signal = AbortSignal.any([this.#options.signal, this.#endTails.signal]);
    const tail = new Tail({ client, sessionId, onGap, signal });
    this.#tails.push({ tail, sessionId, done: tail.follow() });
  }

  async #ended(taskId: string): Promise<void> {
    while (this.#unfinished.has(taskId)) await delay(LOOK_MS, undefined, { signal: this.#options.signal });
  }

  /** Until the proof is over; what fails is tried again. */
  async #repeat(everyMs: number, act: () => Promise<void>): Promise<void> {
    const { signal } = this.#options;
    while (!signal.aborted) {
      await act().catch(() => {});
      await delay(everyMs, undefined, { signal }).catch(() => {});
    }
  }
}

/** In [0, 1), the same for the same text. */
function shareOf(text: string): number {
  let hash = 0;
  for (const character of text) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) % 1_000_003;
  return hash / 1_000_003;
}
