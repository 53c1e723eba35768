/**
 * From what happened to what it proves. Pure: facts in, a table out, with a line for each thing that must not have
 * happened.
 */
import type { Fault } from './plan.ts';
import { SINK_TOOL } from './script.ts';

export interface ModelRequestFact {
  /** As the request's header names it: a UUID. */
  readonly taskId: string;
  readonly turn: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** `answered`: the whole answer was sent. `failed`: as the script wanted. */
  readonly end: 'answered' | 'failed' | 'broken off';
}

export interface SubmittedFact {
  readonly key: string;
  /** UUIDs: every one that a 201 named. */
  readonly taskIds: readonly string[];
  readonly cancelled: boolean;
  readonly limited: boolean;
}

export interface TaskFact {
  readonly id: string;
  /** Null: an agent's call gave it to another. */
  readonly key: string | null;
  readonly status: string;
  readonly errorCode: string | null;
  /** What it waits on, in words; '' where it has ended. */
  readonly waits: string;
}

export interface TurnFact {
  readonly id: string;
  readonly taskId: string;
  readonly number: number;
  /** Entries that hold an answer of this turn. */
  readonly answers: number;
  readonly answeredAt: number | null;
}

export interface CallFact {
  readonly callId: string;
  readonly turnId: string;
  readonly name: string;
  readonly status: string;
  /** Entries that hold its result. */
  readonly results: number;
  /** The model was told that it never began. */
  readonly saidNotRun: boolean;
}

export interface AttemptFact {
  readonly turnId: string;
  readonly pid: number;
  readonly startedAt: number;
  readonly endedAt: number | null;
  readonly outcome: string | null;
}

/** A fault as it was done: faults whose victim was away are left out. */
export interface FaultFact {
  readonly at: number;
  readonly until: number;
  readonly fault: Fault;
  readonly pid?: number;
}

export interface Facts {
  readonly submitted: readonly SubmittedFact[];
  readonly tasks: readonly TaskFact[];
  readonly turns: readonly TurnFact[];
  readonly calls: readonly CallFact[];
  readonly attempts: readonly AttemptFact[];
  readonly requests: readonly ModelRequestFact[];
  /** Call ids, a line each. */
  readonly sink: readonly string[];
  readonly faults: readonly FaultFact[];
  /** Each a sentence, of what a tail, the invariants, the processes' logs and the system said. */
  readonly gaps: readonly string[];
  readonly refusals: readonly string[];
  readonly broken: readonly string[];
  readonly deaths: readonly string[];
  readonly bugs: readonly string[];
  readonly orphans: readonly string[];
  readonly deadlocks: number;
  readonly tails: number;
}

export interface Row {
  readonly name: string;
  readonly value: number;
  /** For people; the value where left out. */
  readonly shown?: string;
  readonly mustBeZero: boolean;
  readonly details: readonly string[];
}

export interface Verdict {
  readonly rows: readonly Row[];
  readonly ok: boolean;
}

/** Of the clock of the model's process and that of Postgres, which are the same machine's, and of rounding. */
const CLOCK_MS = 50;
/** What a process that is continued, or whose line is healed, may have on the way. */
const AFTER_PAUSE_MS = 2_000;

export function judge(facts: Facts): Verdict {
  const ended = facts.tasks.filter((task) => task.waits === '');
  const rows: Row[] = [
    count('tasks accepted', facts.submitted.length),
    count('tasks delegated', facts.tasks.filter(({ key }) => key === null).length),
    count('tasks finished', ended.length),
    zero('tasks lost', lostTasks(facts)),
    zero('tasks doubled', doubledTasks(facts)),
    zero('tasks stuck', stuckTasks(facts)),
    zero('tasks ended wrongly', wrongEnds(facts)),
    zero('requests refused', facts.refusals),
    count('turns', facts.turns.length),
    zero('steps doubled', doubledSteps(facts)),
    ...modelRows(facts),
    count('effects', facts.sink.length),
    zero('effects doubled', doubledEffects(facts)),
    zero('effects lost', lostEffects(facts)),
    zero('effects without leave', unaskedEffects(facts)),
    count('effects unknown', facts.calls.filter(isUnknownEffect).length),
    count('tails', facts.tails),
    zero('gaps in events', facts.gaps),
    zero('invariants broken', facts.broken),
    zero('orphans', facts.orphans),
    zero('deaths without a fault', facts.deaths),
    zero('errors of Capybara', facts.bugs),
    zero(
      'deadlocks',
      Array.from({ length: facts.deadlocks }, () => 'Postgres found a deadlock'),
    ),
    count('faults', facts.faults.length),
    ...takeoverRows(facts),
  ];
  return { rows, ok: rows.every((row) => !row.mustBeZero || row.value === 0) };
}

function count(name: string, value: number): Row {
  return { name, value, mustBeZero: false, details: [] };
}

function zero(name: string, details: readonly string[]): Row {
  return { name, value: details.length, mustBeZero: true, details };
}

/** Accepted, and not there. */
function lostTasks({ submitted, tasks }: Facts): string[] {
  const kept = new Set(tasks.map((task) => task.id));
  return submitted.flatMap(({ key, taskIds }) =>
    taskIds.filter((id) => !kept.has(id)).map((id) => `task ${id} of key ${key} was accepted and is gone`),
  );
}

/** One Idempotency-Key, two tasks: by the answers, or by the rows. */
function doubledTasks({ submitted, tasks }: Facts): string[] {
  const byAnswer = submitted.filter(({ taskIds }) => new Set(taskIds).size > 1).map(({ key }) => key);
  const byRow = repeated(tasks.flatMap(({ key }) => key ?? []));
  return [...new Set([...byAnswer, ...byRow])].map((key) => `key ${key} made more than one task`);
}

function stuckTasks({ tasks }: Facts): string[] {
  return tasks.filter((task) => task.waits !== '').map((task) => `task ${task.id} waits: ${task.waits}`);
}

function wrongEnds({ tasks, submitted }: Facts): string[] {
  const plans = new Map(submitted.map((each) => [each.key, each]));
  return tasks.flatMap((task) => {
    const plan = plans.get(task.key ?? '');
    if (task.waits !== '' || plan === undefined) return [];
    const right =
      (task.status === 'succeeded' && !plan.limited) ||
      (task.status === 'cancelled' && plan.cancelled) ||
      (task.errorCode === 'limit_turns' && plan.limited);
    return right ? [] : [`task ${task.id} ended ${task.status} ${task.errorCode ?? ''}`.trimEnd()];
  });
}

/** Two answers recorded for one turn, or two results for one call. */
function doubledSteps({ turns, calls }: Facts): string[] {
  return [
    ...turns.filter((turn) => turn.answers > 1).map((turn) => `turn ${turn.id} has ${turn.answers} answers`),
    ...calls
      .filter((call) => call.results > 1)
      .map((call) => `call ${call.callId} has ${call.results} results`),
  ];
}

/**
 * A request is doubled where the model had already sent a whole answer for its turn. That is allowed once for each attempt
 * at the turn that was lost or drained, since its answer may have been in flight; and never once an answer is committed,
 * except for a worker that was paused between its last look and the request, which shows right after the pause.
 */
function modelRows({ requests, turns, attempts, faults }: Facts): Row[] {
  const byTurn = Map.groupBy(requests, (request) => `${request.taskId} ${request.turn}`);
  const interrupted = Map.groupBy(
    attempts.filter(({ outcome }) => outcome === 'lost' || outcome === 'drained'),
    (attempt) => attempt.turnId,
  );
  let doubled = 0;
  const tooOften: string[] = [];
  const afterCommit: string[] = [];
  for (const turn of turns) {
    const asked = byTurn.get(`${turn.taskId} ${turn.number}`) ?? [];
    const again = Math.max(0, asked.filter(({ end }) => end === 'answered').length - 1);
    const allowed = interrupted.get(turn.id)?.length ?? 0;
    doubled += again;
    if (again > allowed)
      tooOften.push(`turn ${turn.id} was answered ${again + 1} times, after ${allowed} crashes`);
    const late = asked.filter(({ at }) => turn.answeredAt !== null && at > turn.answeredAt + CLOCK_MS);
    for (const { at } of late.filter((each) => !followsPause(faults, each.at))) {
      afterCommit.push(
        `turn ${turn.id} was asked for ${Math.round(at - (turn.answeredAt ?? 0))} ms after its answer`,
      );
    }
  }
  return [
    count('model requests', requests.length),
    count('model requests doubled, one per crash', doubled),
    zero('model requests doubled, more than that', tooOften),
    zero('model requests after the answer', afterCommit),
  ];
}

function followsPause(faults: readonly FaultFact[], at: number): boolean {
  return faults.some(
    ({ fault, until }) =>
      (fault.kind === 'stop' || fault.kind === 'stall') &&
      at >= until - CLOCK_MS &&
      at < until + AFTER_PAUSE_MS,
  );
}

function doubledEffects({ sink }: Facts): string[] {
  return repeated(sink).map((id) => `call ${id} had its effect more than once`);
}

function lostEffects({ calls, sink }: Facts): string[] {
  const there = new Set(sink);
  return calls
    .filter((call) => call.name === SINK_TOOL && call.status === 'succeeded' && !there.has(call.callId))
    .map((call) => `call ${call.callId} is recorded as succeeded and had no effect`);
}

/** Of a call that nobody recorded, that a person denied, that was never begun, or that the model was told did not run. */
function unaskedEffects({ calls, sink }: Facts): string[] {
  const byId = new Map(calls.map((call) => [call.callId, call]));
  const without = ['denied', 'requested', 'awaiting_approval'];
  return sink.flatMap((id) => {
    const call = byId.get(id);
    if (call === undefined) return [`call ${id} had its effect and is not recorded`];
    if (without.includes(call.status)) return [`call ${id} had its effect and is ${call.status}`];
    return call.saidNotRun ? [`call ${id} had its effect, and the model was told that it did not run`] : [];
  });
}

function isUnknownEffect(call: CallFact): boolean {
  return call.name === SINK_TOOL && call.status === 'unknown';
}

/** From the signal to the next claim of each turn that the worker held, where it was the turn's first loss in a row. */
function takeoverRows({ attempts, faults }: Facts): Row[] {
  const byTurn = Map.groupBy(attempts, (attempt) => attempt.turnId);
  const times = (kind: 'kill' | 'stop') =>
    faults
      .filter(({ fault }) => fault.kind === kind)
      .flatMap((fault) => [...byTurn.values()].flatMap((tries) => takeoversOf(tries, fault)));
  return [
    timesRow('takeover after SIGKILL', times('kill')),
    timesRow('takeover after SIGSTOP', times('stop')),
  ];
}

function takeoversOf(tries: readonly AttemptFact[], { at, pid }: FaultFact): number[] {
  const inOrder = tries.toSorted((a, b) => a.startedAt - b.startedAt);
  return inOrder.flatMap((attempt, index) => {
    const hit = attempt.pid === pid && attempt.outcome === 'lost' && attempt.startedAt <= at;
    const next = inOrder[index + 1];
    if (!hit || (attempt.endedAt ?? 0) < at || next === undefined) return [];
    return inOrder[index - 1]?.outcome === 'lost' ? [] : [next.startedAt - at];
  });
}

function timesRow(name: string, times: readonly number[]): Row {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  const seconds = (ms: number) => (ms / 1000).toFixed(1);
  const shown = `p50 ${seconds(at(0.5))} s, p99 ${seconds(at(0.99))} s, n ${sorted.length}`;
  return {
    name,
    value: Math.round(at(0.99)),
    shown: sorted.length === 0 ? 'none' : shown,
    mustBeZero: false,
    details: [],
  };
}

function repeated(names: readonly string[]): string[] {
  const seen = new Set<string>();
  return [...new Set(names.filter((name) => seen.size === seen.add(name).size))];
}
