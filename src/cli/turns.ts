/** The turns of a session's log, as people name them. */
import type { Entry } from '../api/wire.ts';
import type { Client } from '../client/client.ts';
import { standing } from '../core/entry.ts';
import { table } from './table.ts';
import { oneLine } from './untrusted-text.ts';

export interface TurnLine {
  /** Counted over all answers of the log, from 1: what `revert --to` and `sessions fork --turn` take. */
  readonly turn: number;
  readonly at: string;
  readonly tools: readonly string[];
  readonly text: string;
  /** It was taken back, and can be gone forward to again. */
  readonly isTakenBack: boolean;
}

const PAGE = 200;
const TEXT = 80;

export async function readTurns(client: Client, sessionId: string): Promise<TurnLine[]> {
  return turnsOf(await readEntries(client, sessionId));
}

/** A whole log. */
export async function readEntries(client: Client, sessionId: string): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page = await client.entries(sessionId, { limit: PAGE, cursor });
    entries.push(...page.data);
    cursor = page.nextCursor;
  }
  return entries;
}

/** `entries`: a whole log. */
export function turnsOf(entries: readonly Entry[]): TurnLine[] {
  const counting = new Set(standing(entries));
  const answers = entries.filter(({ kind }) => kind === 'assistant');
  return answers.map((answer, index) => ({
    turn: index + 1,
    at: answer.at,
    tools: answer.parts.flatMap((part) => (part.type === 'tool' ? [part.name] : [])),
    text: answer.parts.map((part) => (part.type === 'text' ? part.text : '')).join(''),
    isTakenBack: !counting.has(answer),
  }));
}

export function turnsText(turns: readonly TurnLine[]): string {
  if (turns.length === 0) return 'No turns.\n';
  const rows = turns.map(({ turn, at, tools, text, isTakenBack }) => [
    String(turn),
    at,
    isTakenBack ? 'taken back' : '',
    oneLine(tools.join(' '), TEXT),
    oneLine(text, TEXT),
  ]);
  return table(['TURN', 'AT', '', 'TOOLS', 'SAID'], rows);
}
