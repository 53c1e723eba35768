/** Why a delegated task failed, in words that let its parent decide what to do next. */
import { type ExecutedCall, type Execution, failedCalls, secondsText } from './execution.ts';

export const FAILURE_CATEGORIES = [
  ...(['timeout', 'tool_error', 'missing_context', 'invalid_task'] as const),
  ...(['partial_success', 'limit', 'cancelled'] as const),
] as const;
export type FailureCategory = (typeof FAILURE_CATEGORIES)[number];

export interface FailedChild {
  /** Of its task: a stable code, and a sentence. */
  readonly code: string;
  readonly message: string;
  readonly execution: Execution;
}

/** Codes of tasks that could not be begun as they were asked for. */
const OF_THE_TASK = [
  ...['refused', 'unknown_agent', 'unknown_model', 'no_model', 'no_provider', 'config_invalid'],
  ...['bad_request', 'invalid_result', 'workspace_not_found', 'price_unknown'],
];
/** Codes that tell of the service that should have answered, not of the task. */
const OF_PROVIDER = [
  ...['provider_auth', 'provider_quota', 'provider_unavailable', 'provider_unreachable'],
  ...['provider_incomplete', 'rate_limited', 'bad_endpoint'],
];
const PASSES = ['provider_unavailable', 'provider_unreachable', 'provider_incomplete', 'rate_limited'];
const OF_TIME = ['limit_seconds', 'provider_timeout'];
/** Told to who types commands, which a model does not. */
const TO_TYPE = / Give the next \w+ (?:a higher limit|higher ones) with --limit \w+=N\.?/;
/** What was looked for is not where the task said, or the task did not say where. */
const NOT_THERE = /\b(no such file|not found|does not exist|enoent|is not in the workspace)\b/i;

/**
 * What ended it comes first; then what it left: changes that can be merged are worth more to its parent than the call that
 * failed last.
 */
export function categoryOf({ code, execution }: FailedChild): FailureCategory {
  const { status, calls, modified } = execution;
  if (status === 'cancelled') return 'cancelled';
  if (OF_TIME.includes(code)) return 'timeout';
  if (code === 'limit' || code.startsWith('limit_')) return 'limit';
  if (modified.length > 0) return 'partial_success';
  if (OF_THE_TASK.includes(code)) return 'invalid_task';
  if (OF_PROVIDER.includes(code)) return 'tool_error';
  const failed = failedCalls(calls);
  if (failed.length > 0 && failed.every(({ error = '' }) => NOT_THERE.test(error))) return 'missing_context';
  return failed.length > 0 || calls.length > 0 ? 'tool_error' : 'invalid_task';
}

interface Advice {
  /** The same task, asked for again as it is, may well end otherwise. */
  readonly isRetryable: boolean;
  readonly actions: readonly string[];
}

const ADVICE: Readonly<Record<FailureCategory, Advice>> = {
  timeout: {
    isRetryable: true,
    actions: [
      'Delegate it again with a longer timeout, or continue this child',
      'Split it into smaller tasks that run in parallel',
    ],
  },
  tool_error: {
    isRetryable: true,
    actions: [
      'Look at the error above, and mend what it names before delegating again',
      'Delegate it again with other tools, or another way of doing it, in the prompt',
    ],
  },
  missing_context: {
    isRetryable: false,
    actions: [
      'Delegate it again and say in the prompt where to look: the child sees nothing of this conversation',
      'Find the missing files yourself first',
    ],
  },
  invalid_task: {
    isRetryable: false,
    actions: ['Say the task anew: what is wanted, where, and how it is known to be done', 'Do it yourself'],
  },
  partial_success: {
    isRetryable: true,
    actions: [
      'Take over the changes that are listed, and delegate only what is left',
      'Continue this child and tell it what went wrong',
    ],
  },
  limit: {
    isRetryable: false,
    actions: ['Delegate less at once, or in smaller tasks', 'Ask the user to raise the limit'],
  },
  cancelled: { isRetryable: false, actions: ['Ask the user how to go on before delegating it again'] },
};

/** Its own, not what it shares with all others. */
const OWN_LIMIT: Advice = {
  isRetryable: true,
  actions: [
    'Continue this child, which then has its turns anew; `limits` can give it more of them',
    'Delegate it again in smaller tasks',
  ],
};

const OF_PROVIDER_ACTIONS = [
  'Delegate it to another agent, whose model may answer',
  'Do it yourself, and tell the user what its model said',
];

function adviceFor({ code }: FailedChild, category: FailureCategory): Advice {
  if (category === 'limit' && code === 'limit_turns') return OWN_LIMIT;
  if (category === 'tool_error' && OF_PROVIDER.includes(code))
    return { isRetryable: PASSES.includes(code), actions: OF_PROVIDER_ACTIONS };
  return ADVICE[category];
}

const NAMED_CALLS = 10;

/** For a model: what it is told of a delegated task that failed, beside the summary of its execution. */
export function failureReport(child: FailedChild): string {
  const { message, execution } = child;
  const category = categoryOf(child);
  const { isRetryable, actions } = adviceFor(child, category);
  const done = completed(execution.calls);
  const blocked = failedCalls(execution.calls).at(-1);
  return [
    `Child agent failed: ${line(message).replace(TO_TYPE, '')}`,
    `Category: ${category}`,
    `Duration: ${secondsText(execution.ms)}`,
    `Retryable: ${isRetryable ? 'Yes' : 'No'}`,
    ...(done.length === 0 ? [] : ['Work completed before failure:', ...done.map((each) => `✓ ${each}`)]),
    ...(execution.modified.length === 0 ? [] : [`Files modified: ${filesNamed(execution.modified)}`]),
    ...(blocked === undefined
      ? []
      : [`Blocked on: ${blocked.name}: ${line(blocked.error ?? blocked.status)}`]),
    'Suggested recovery actions:',
    ...actions.map((action) => `• ${action}`),
  ].join('\n');
}

/** Files that are named; of the rest only the number is told. */
export const REPORTED_FILES = 50;

function filesNamed(paths: readonly string[]): string {
  const more = paths.length - REPORTED_FILES;
  const shown = paths.slice(0, REPORTED_FILES).map(line).join(', ');
  return more > 0 ? `${shown} and ${more} more` : shown;
}

/** Each thing once, with how often, the newest last; of many only the newest. */
function completed(calls: readonly ExecutedCall[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const { name, status, about } of calls) {
    if (status !== 'succeeded') continue;
    const what = about === undefined ? name : `${name}: ${line(about)}`;
    const count = (counts.get(what) ?? 0) + 1;
    counts.delete(what);
    counts.set(what, count);
  }
  const all = [...counts].map(([what, count]) => (count === 1 ? what : `${what} (${count}x)`));
  const left = all.length - NAMED_CALLS;
  return left > 0 ? [`${left} other steps`, ...all.slice(left)] : all;
}

function line(text: string): string {
  return text.replace(/\s+/g, ' ').trim();
}
