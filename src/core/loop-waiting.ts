/**
 * What is waiting, and so no step of a loop. Three rules, for what a call says it does and what its outcome says:
 *
 * 1. Its script has a command that lets time pass (`sleep`, `wait`, `kubectl rollout status`, ...), or the tool is one that
 *    does (`wait`, `sleep_until`).
 * 2. It polls (in the tool's name, or as a key or whole value of its arguments), and the outcome does not say that what is
 *    polled has ended; or its last line says that it is still running, whatever its output says.
 * 3. It succeeded, and its outcome says that something is not done yet, and little else. Of a file, which may speak of
 *    anything (a list of things to do, a test of a queue), only very few lines are a status.
 */
import { objectIn } from './canonical-json.ts';
import type { ToolPart } from './entry.ts';

export interface CallOutcome {
  readonly succeeded: boolean;
  readonly text: string;
}

export const STATUS_CHARS = 600;
export const FILE_STATUS_LINES = 3;

export function isWaiting({ name, arguments: text }: ToolPart, outcome: CallOutcome): boolean {
  if (WAITS_BY_NAME.test(name) || (RUNS.test(name) && PASSES_TIME.test(scriptOf(text)))) return true;
  if (!outcome.succeeded) return false;
  if (POLLS_BY_NAME.test(name) || POLLS_BY_ARGUMENT.test(text))
    return STILL_RUNS.test(outcome.text) || !HAS_ENDED.test(outcome.text);
  return isStatus(name, outcome.text) && UNFINISHED.test(outcome.text);
}

function isStatus(name: string, text: string): boolean {
  if (text.length > STATUS_CHARS) return false;
  return !SHOWS_FILES.test(name) || text.trimEnd().split('\n').length <= FILE_STATUS_LINES;
}

const SHOWS_FILES = /^(read_file|list_dir|glob|grep)$|todo/i;
const RUNS = /^bash(_online)?$/;
const WAITS_BY_NAME = /(^|_)(wait|sleep)(_|$)/i;
const POLLS_BY_NAME = /(^|_)poll(_|$)/i;
const POLLS_BY_ARGUMENT = /"poll"/;
/** In parentheses, as `bash_poll` ends. */
const STILL_RUNS = /\(\S+ is still running\)$/;
const HAS_ENDED =
  /\b(exit(ed)?( with)?( status| code)? \d+|exited|has ended|was killed|terminated|no such process)\b/i;

/** A command stands at the beginning, or behind what ends or begins another. */
const PASSES_TIME = new RegExp(
  String.raw`(^|[;&|({\n]|\b(do|then|else|time|sudo|exec))\s*(sleep|wait|inotifywait|tail (-\S+ )*--pid)\b` +
    String.raw`|\b(kubectl (wait|rollout status)|gh run watch|docker (compose )?wait|time\.sleep\()`,
);

function scriptOf(argumentsText: string): string {
  const command = objectIn(argumentsText)?.command;
  return typeof command === 'string' ? command : '';
}

const UNFINISHED = new RegExp(
  [
    String.raw`\bstill (running|\w+ing|not|in progress|pending|queued)\b`,
    String.raw`\bin[ _-]progress\b`,
    String.raw`(?<!(^|\s)\d+ )\b(pending|queued|creating|ContainerCreating|provisioning)\b`,
    String.raw`\b(not|n't)( yet| been)? (ready|done|finished|complete|completed|available|started|healthy|up)\b|\bnot yet\b`,
    String.raw`\b(waiting for|please wait|try again (later|in))\b`,
    String.raw`\b(status|state|phase|conclusion)\W{1,5}(running|starting|building|deploying|processing|active)\b`,
    String.raw`^[\W\d]*(running|starting|building|deploying|processing|waiting)\W*$`,
    String.raw`\bis (still )?(running|starting|building|deploying|processing)\b`,
  ].join('|'),
  'im',
);
