/**
 * Instructions that lie in directories below the root are told when the agent first comes there, once in a log: told from what the
 * log says, so that until a commit has the notice every attempt finds the same.
 */
import type { Entry, NewEntry } from '../core/entry.ts';
import { standing } from '../core/entry.ts';
import { nestedInstructions, nestedPlaces } from '../workspace/context/nested.ts';
import { pathsNamed } from './judge-call.ts';
import type { Run } from './run.ts';
import { isSafe, type Shell } from './shell.ts';

type Notice = Extract<NewEntry, { kind: 'notice' }>;

/** `mentioned`: paths that the person named, from the root. */
export async function instructionNotices(
  shell: Shell,
  run: Run,
  mentioned: readonly string[] = [],
): Promise<readonly Notice[]> {
  const calls = callsSince(run.entries);
  if (calls.length === 0 && mentioned.length === 0) return [];
  // Of a turn that went on without this worker the files are another's.
  if (!(await isSafe(shell, run))) return [];
  const workspace = await run.workspace(shell.openWorkspace);
  const named = await Promise.all(calls.map((call) => pathsNamed(shell, call, workspace)));
  const { isTold } = shell.seen.of(run.turn.sessionId, run);
  const places = nestedPlaces([...named.flat(), ...mentioned], workspace).filter((place) => !isTold(place));
  const found = await nestedInstructions(workspace, places);
  if (found === undefined) return [];
  const { text, told } = found;
  return [{ kind: 'notice', parts: [{ type: 'text', text }], noted: { instructions: told } }];
}

interface Asked {
  readonly name: string;
  readonly arguments: string;
}

/** The calls of the last answer that ran: each answer's are looked at before the next. */
function callsSince(log: readonly Entry[]): readonly Asked[] {
  const entries = standing(log);
  const at = entries.findLastIndex(({ kind }) => kind === 'assistant');
  const answer = entries[at];
  if (answer?.kind !== 'assistant') return [];
  const ran = entries.slice(at + 1).flatMap((entry) => (hasRun(entry) ? [entry.callId] : []));
  return answer.parts.flatMap((part) => (part.type === 'tool' && ran.includes(part.callId) ? [part] : []));
}

function hasRun(entry: Entry): entry is Extract<Entry, { kind: 'tool_result' }> {
  return entry.kind === 'tool_result' && (entry.status === 'succeeded' || entry.status === 'failed');
}
