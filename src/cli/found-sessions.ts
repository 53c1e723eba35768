import type { Session } from '../api/wire.ts';
import type { Style } from './terminal.ts';
import { oneLine } from './untrusted-text.ts';

const TITLE = 60;
const TEXT = 160;

/** What `sessions search` says: a line for each session, and below it where it says what was looked for. */
export function foundText(sessions: readonly Session[], style: Style): string {
  if (sessions.length === 0) return 'No sessions.\n';
  return sessions.map((session) => found(session, style)).join('');
}

function found({ id, createdAt, title, archivedAt, match }: Session, style: Style): string {
  const archived = archivedAt === null ? '' : '  (archived)';
  const head = `${id}  ${createdAt}  ${style.bold(oneLine(title, TITLE))}${archived}\n`;
  if (match === undefined || match.where === 'title') return head;
  return `${head}  ${style.dim(`${match.where}:`)} ${oneLine(match.text, TEXT)}\n`;
}
