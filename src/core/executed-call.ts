/** What a tool call was about and how it failed, in a line each, from what is stored of it. */
import type { ClosedCallStatus } from './entry.ts';
import type { ExecutedCall } from './execution.ts';

export interface StoredCall {
  readonly name: string;
  readonly status: ClosedCallStatus;
  /** As the model wrote them, JSON or not. */
  readonly arguments: string;
  /** What its model was told where it failed. */
  readonly error: string | null;
}

/** Arguments that say most about a call, best first. */
const TELLING = ['command', 'path', 'pattern', 'query', 'url', 'name', 'title', 'prompt'];
const READING = ['read_file', 'read_media'];
const ABOUT_CHARS = 120;

export function executedCall({ name, status, arguments: json, error }: StoredCall): ExecutedCall {
  const args = parsed(json);
  const about = TELLING.map((key) => args[key]).find((value) => typeof value === 'string' && value !== '');
  const path = READING.includes(name) && typeof args.path === 'string' ? args.path : undefined;
  const told = typeof about === 'string' ? cut(about) : undefined;
  return {
    ...{ name, status, about: told, read: status === 'succeeded' ? path : undefined },
    error: error === null ? undefined : failureOf(error, told),
  };
}

/** `exit 1 (npm test)`, or the beginning of what the model was told. */
function failureOf(text: string, about: string | undefined): string {
  const exit = /\(exit code (\d+)\)\s*$/.exec(text);
  if (exit) return about === undefined ? `exit ${exit[1]}` : `exit ${exit[1]} (${about})`;
  const [first = '', second = ''] = text.split('\n').filter((line) => line.trim() !== '');
  return cut(first.trimEnd().endsWith(':') ? `${first} ${second}` : first);
}

function cut(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length <= ABOUT_CHARS
    ? line
    : `${line.slice(0, ABOUT_CHARS - 1).replace(/[\ud800-\udbff]$/, '')}…`;
}

function parsed(json: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
