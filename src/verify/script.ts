/** What the scripted model says: pure, from the task's plan, the turn and how often that turn has been asked for. */
import type { TaskPlan } from './plan.ts';
import { type Random, seeded, seedOf } from './random.ts';

export const SINK_TOOL = 'append_to_sink';

export interface ScriptedCall {
  readonly name: string;
  readonly arguments: Readonly<Record<string, unknown>>;
}

export type ScriptedAnswer =
  | { readonly kind: 'status'; readonly status: 429 | 500; readonly afterMs: number }
  | {
      readonly kind: 'stream';
      readonly afterMs: number;
      readonly text: readonly string[];
      readonly betweenMs: number;
      readonly calls: readonly ScriptedCall[];
      /** The connection ends in the middle of the answer. */
      readonly cut: boolean;
    };

/** Nobody waits for it: it is there to be found, if it outlives its call or its worker. */
const LEFT_BEHIND_SECONDS = 3_600;
/** In a prompt, around the task's plan. */
const PLAN_IN_PROMPT = /<verify>(.*?)<\/verify>/gs;

/** What the model knows of a task. `isChild`: it was delegated, and delegates nothing itself. */
export type ScriptedPlan = Pick<TaskPlan, 'seed' | 'turns'> & { readonly isChild?: true };

export function promptOf({ seed, turns, isChild }: ScriptedPlan): string {
  return `Prove it. <verify>${JSON.stringify({ seed, turns, ...(isChild && { isChild }) })}</verify>`;
}

/** The plan of the last task in a conversation. */
export function planIn(text: string): ScriptedPlan | undefined {
  const last = [...text.matchAll(PLAN_IN_PROMPT)].at(-1)?.[1];
  return last === undefined ? undefined : JSON.parse(last);
}

/**
 * @param asked how often this turn was asked for before. Only the first request may fail: a worker's death must not use up
 * the tries that a failing model gets.
 */
export function answerTo(
  plan: ScriptedPlan,
  { turn, asked }: { readonly turn: number; readonly asked: number },
): ScriptedAnswer {
  const random = seeded(seedOf(plan.seed, `turn ${turn}`));
  const fails = random.chance(0.12);
  const failure = random.pick(['429', '500', 'cut'] as const);
  const afterMs = random.chance(0.1) ? random.between(500, 2_500) : random.between(0, 120);
  if (fails && asked === 0 && failure !== 'cut') {
    return { kind: 'status', status: failure === '429' ? 429 : 500, afterMs };
  }
  const isLast = turn >= plan.turns;
  return {
    kind: 'stream',
    afterMs,
    text: Array.from({ length: random.between(1, 6) }, (_, index) => `word${index} `),
    betweenMs: random.between(0, 60),
    calls: isLast ? [] : plan.isChild ? callsOf(random, turn) : callsOrChildren(random, turn),
    cut: fails && asked === 0,
  };
}

/** The share of turns that delegate. */
const DELEGATING_SHARE = 0.12;

function callsOrChildren(random: Random, turn: number): ScriptedCall[] {
  if (!random.chance(DELEGATING_SHARE)) return callsOf(random, turn);
  return Array.from({ length: random.between(1, 3) }, () => ({
    name: 'delegate_task',
    arguments: {
      prompt: promptOf({ seed: random.between(0, 1_000_000), turns: random.between(1, 3), isChild: true }),
    },
  }));
}

function callsOf(random: Random, turn: number): ScriptedCall[] {
  const append = (): ScriptedCall => ({
    name: SINK_TOOL,
    arguments: { beforeMs: pause(random), afterMs: pause(random) },
  });
  // In other words each turn: the same call over and over is a loop, and ends the task.
  const read = (): ScriptedCall => ({ name: 'list_dir', arguments: { path: `${'./'.repeat(turn - 1)}.` } });
  const command = (): ScriptedCall => ({
    name: 'bash',
    arguments: { command: `sleep ${LEFT_BEHIND_SECONDS} & sleep ${random.between(0, 12) / 10}; echo done` },
  });
  switch (random.between(0, 9)) {
    case 0:
    case 1:
      return [read(), read()];
    case 2:
      return [command()];
    case 3:
      return [read(), append(), read(), append()];
    case 4:
      return [append(), append(), append()];
    case 5:
      return [append(), command()];
    default:
      return [append()];
  }
}

function pause(random: Random): number {
  return random.chance(0.15) ? random.between(200, 1_500) : random.between(0, 40);
}
