/**
 * Whether an agent goes round in circles: a pure function of the newest turns of its log, so that a worker that takes a
 * turn over decides the same.
 *
 * A turn has *news* where a call of it had an outcome that this call did not have before. Only turns without news can be a
 * loop, whatever they change: an edit that was made before, with the same outcome, leads nowhere new. Counting starts anew
 * with each piece of news, when a person speaks, and when the agent waits (`isWaiting`): time that passed is a reason to
 * ask again. Equal calls of one answer count once, since none of them saw what another found.
 */
import type { Entry, ToolPart } from './entry.ts';
import { type LoopStep, type LoopTurn, newestTurns } from './loop-window.ts';

/** The count at which the model is told, and the one at which the task ends. */
export interface LoopThreshold {
  readonly notice: number;
  readonly end: number;
}

export interface LoopLimits {
  /** Turns, and entries, that are looked at: what it costs does not grow with the log. */
  readonly turns: number;
  readonly entries: number;
  /** How often the same call may have the same outcome without news, alone or in turn with others. */
  readonly repeats: LoopThreshold;
  /** Turns without news that hold nothing but what was repeated before, in whatever order. */
  readonly idle: LoopThreshold;
  /** Turns in a row in which one tool fails in the very same words, whatever is asked of it. */
  readonly failures: LoopThreshold;
}

export const LOOP_LIMITS: LoopLimits = {
  turns: 64,
  entries: 1_024,
  repeats: { notice: 3, end: 5 },
  idle: { notice: 8, end: 16 },
  failures: { notice: 5, end: 10 },
};

const KINDS = ['repeats', 'failures', 'idle'] as const;
type LoopKind = (typeof KINDS)[number];

export interface Loop {
  readonly kind: LoopKind;
  readonly count: number;
  /** One of the calls that it consists of, of the newest turn. */
  readonly call: ToolPart;
  /** `notice`: the model is to be told before its next answer. `end`: it was, and went on. */
  readonly verdict: 'notice' | 'end';
}

/** What the newest turn of a log makes of it: undefined where there is no loop, or none that was not told already. */
export function loopIn(entries: readonly Entry[], limits: LoopLimits = LOOP_LIMITS): Loop | undefined {
  const turns = newestTurns(entries, limits);
  const tallies = talliesOf(turns);
  const [before = NOTHING, now = NOTHING] = [tallies.at(-2), tallies.at(-1)];
  const call = now.step?.call;
  if (call === undefined) return undefined;
  const loops = KINDS.filter((kind) => now[kind] >= limits[kind].notice).map((kind) => ({
    ...{ kind, call, count: now[kind] },
    verdict: now[kind] >= limits[kind].end ? ('end' as const) : ('notice' as const),
  }));
  const end = loops.find(({ verdict }) => verdict === 'end');
  return end ?? loops.find(({ kind }) => before[kind] < limits[kind].notice);
}

/** How things stand after a turn. `step`: the one of it that was repeated most. */
interface Tally extends Readonly<Record<LoopKind, number>> {
  readonly step?: LoopStep | undefined;
}

const NOTHING: Tally = { repeats: 0, idle: 0, failures: 0 };

function talliesOf(turns: readonly LoopTurn[]): Tally[] {
  const seen = new Set<string>();
  /** By outcome: the turns since the newest news that had it, that one included. */
  const since = new Map<string, number>();
  let last = NOTHING;
  let failure: string | undefined;
  return turns.map(({ steps }) => {
    const isNews = steps.some(({ key }) => !seen.has(key));
    if (isNews) since.clear();
    const isIdle = steps.length > 0 && steps.every(({ key }) => since.has(key));
    for (const { key } of steps) {
      seen.add(key);
      since.set(key, (since.get(key) ?? 0) + 1);
    }
    const failed = failureOf(steps);
    const failsAgain = failed !== undefined && failed === failure;
    failure = failed;
    last = {
      step: mostOf(steps, since),
      repeats: Math.max(0, ...since.values()),
      idle: (isNews ? 0 : last.idle) + (isIdle ? 1 : 0),
      failures: failed === undefined ? 0 : 1 + (failsAgain ? last.failures : 0),
    };
    return last;
  });
}

function mostOf(steps: readonly LoopStep[], since: ReadonlyMap<string, number>): LoopStep | undefined {
  const counts = steps.map(({ key }) => since.get(key) ?? 0);
  return steps[counts.indexOf(Math.max(...counts))];
}

/** How all calls of a turn failed, if it was in the same words. */
function failureOf(steps: readonly LoopStep[]): string | undefined {
  const first = steps[0]?.failure;
  return steps.every(({ failure }) => failure === first) ? first : undefined;
}

const SHOWN_ARGUMENTS = 160;

/** What the model is told, before its next answer. */
export function loopNotice(loop: Loop, limits: LoopLimits = LOOP_LIMITS): string {
  const { end } = limits[loop.kind];
  return (
    `${happened(loop, 'You have')} Doing the same again will not lead on. Do something else: look at the cause, try ` +
    'another way, or, if you cannot go on, answer without calling a tool and say what is missing. If you wait for ' +
    `something to happen, wait for it (sleep) before you look again. At ${end} the task is ended.`
  );
}

/** What a person is told, whose task it ended. */
export function loopMessage(loop: Loop): string {
  return (
    `${happened(loop, 'The agent has')} It was told so and went on. Say what it should do instead, in a next task of ` +
    'this session (--continue): that starts counting anew.'
  );
}

function happened({ kind, count, call }: Loop, who: string): string {
  switch (kind) {
    case 'repeats':
      return `${who} made the same call ${count} times, with the same outcome and nothing new in between: ${shown(call)}.`;
    case 'idle':
      return `${who} only repeated calls and got their known outcomes in ${count} turns without anything new, last: ${shown(call)}.`;
    case 'failures':
      return `${who} called ${call.name} in ${count} turns in a row and it failed in the same words each time, last: ${shown(call)}.`;
  }
}

function shown({ name, arguments: text }: ToolPart): string {
  const line = text.replace(/\s+/g, ' ').trim();
  const cut = line.length > SHOWN_ARGUMENTS ? `${line.slice(0, SHOWN_ARGUMENTS).toWellFormed()}…` : line;
  return `${name} ${cut}`.trimEnd();
}
