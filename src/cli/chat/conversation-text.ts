import type { Entry, Session } from '../../api/wire.ts';
import { standing, textOf } from '../../core/entry.ts';
import { callSummary } from '../call-summary.ts';
import { neutralised, oneLine } from '../untrusted-text.ts';

/** What counts of a conversation, as Markdown: what was said and answered, and the calls in a line each. */
export function conversationText(
  { title, id }: Pick<Session, 'title' | 'id'>,
  entries: readonly Entry[],
): string {
  const blocks = standing(entries).flatMap(blockOf);
  return `${[`# ${oneLine(title, 200)}`, `\`${id}\``, ...blocks].join('\n\n')}\n`;
}

function blockOf({ kind, parts, by }: Entry): string[] {
  const text = neutralised(textOf(parts)).trim();
  if (kind === 'user') return [`## ${by === undefined ? 'Message' : oneLine(by, 80)}`, text];
  if (kind !== 'assistant') return [];
  const calls = parts.flatMap((part) =>
    part.type === 'tool' ? [`- \`${callSummary(part.name, part.arguments).replaceAll('`', "'")}\``] : [],
  );
  return [...(text === '' ? [] : [text]), ...(calls.length === 0 ? [] : [calls.join('\n')])];
}
