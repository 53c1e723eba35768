import { Errors } from '@oclif/core';
import { messageOf, UserError } from '../core/errors.ts';
import { likely } from '../core/nearest.ts';
import { jsonText } from './json-text.ts';
import { oneLine } from './untrusted-text.ts';

/** What went wrong, as a command says it. */
export interface Failure {
  readonly code: string;
  /** One sentence, without a line break. */
  readonly message: string;
  readonly exitCode: number;
  /** The HTTP status, where a server said it. */
  readonly status?: number;
  /** What to do next, for a person, where the sentence does not say it. */
  readonly step?: string;
}

/** What was typed before the arguments, `capybara run`, whether one of them is text, and the names of the flags it has. */
export interface Typed {
  readonly command: string;
  readonly takesText: boolean;
  readonly flags?: readonly string[];
}

export function describeFailure(error: unknown, typed: Typed): Failure {
  if (error instanceof UserError) {
    const status = 'problem' in error ? (error.problem as { status: number }).status : undefined;
    const step = status === 404 ? listStep(error.message) : undefined;
    return {
      ...{ code: error.code, message: error.message, exitCode: error.exitCode },
      ...(status && { status }),
      ...(step !== undefined && { step }),
    };
  }
  if (error instanceof Errors.CLIError) {
    return { code: 'bad_usage', message: usageSentence(error, typed), exitCode: 2 };
  }
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  const system = ofSystem(error, String(code));
  if (system !== undefined) return system;
  if (code === 'EADDRINUSE') {
    return {
      code: 'port_in_use',
      message: `${portSentence(error)} choose another with --port.`,
      exitCode: 3,
    };
  }
  return {
    code: 'internal',
    message: firstLine(messageOf(error)) || 'Something unknown went wrong.',
    exitCode: 1,
  };
}

/** For programs, as a server says it (RFC 9457). */
export function problemText({ code, message, exitCode, status }: Failure): string {
  const problem = {
    ...{ type: 'about:blank', title: 'Error' },
    ...(status && { status }),
    ...{ code, detail: message, exitCode },
  };
  return jsonText(problem);
}

const LISTED: readonly (readonly [what: RegExp, command: string])[] = [
  [/\btask\b/, 'tasks list'],
  [/\bsession\b/, 'sessions list'],
  [/\bapproval\b/, 'approvals list'],
  [/\brule\b/, 'rules list'],
  [/\bkey\b/, 'keys list'],
  [/\buser\b/, 'users list'],
  [/\bwebhook\b/, 'webhooks list'],
  [/\bdelivery\b/, 'webhooks deliveries'],
];

/** Of a thing that there is none of: what shows those that there are. */
function listStep(message: string): string | undefined {
  if (!/^There is no [^:]*$/.test(message)) return undefined;
  const command = LISTED.find(([what]) => what.test(message))?.[1];
  return command && `\`capybara ${command}\` shows those that there are.`;
}

/** What the machine refuses: no place, or no permission. */
function ofSystem(error: unknown, code: string): Failure | undefined {
  const path = error instanceof Error && 'path' in error ? ` ${String(error.path)}` : '';
  if (code === 'ENOSPC')
    return {
      ...{ code: 'disk_full', exitCode: 1 },
      message: `The disk is full${path && ` (${path.trim()})`}: make room there, and type it again.`,
    };
  if (code !== 'EACCES' && code !== 'EPERM' && code !== 'EROFS') return undefined;
  const message = `This user may not use${path || ' what that needs'} (${code}): choose another place, or let it.`;
  return { code: 'no_permission', exitCode: 1, message };
}

function portSentence(error: unknown): string {
  const port = error instanceof Error && 'port' in error ? `The port ${String(error.port)}` : 'The port';
  return `${port} is in use by another program:`;
}

/** oclif's own messages have several lines and a hint. */
function usageSentence(error: Error, { command, takesText, flags: known = [] }: Typed): string {
  const hint = `see \`${command} --help\`.`;
  const flags = 'flags' in error && Array.isArray(error.flags) ? error.flags.map(String) : [];
  const args = 'args' in error && Array.isArray(error.args) ? error.args : [];
  if (flags.length > 0) return `There is no flag ${flags.join(', ')}: ${nearestFlag(flags, known)}${hint}`;
  const unexpected = args.filter((arg) => typeof arg === 'string');
  if (unexpected.length > 0) {
    const quotes = takesText ? 'put text with spaces in quotes, ' : '';
    return `Did not expect ${unexpected.map((arg) => JSON.stringify(arg)).join(', ')}: ${quotes}${hint}`;
  }
  const missing = args.map((arg: { name: string }) => arg.name.toUpperCase());
  if (missing.length > 0) return `Expected ${missing.join(', ')}: ${hint}`;
  const said = error.message.replace('See more help with --help', '').replace(/\s+/g, ' ').trim();
  return `${inOurWords(said.replace(/[.:]$/, ''))}: ${hint}`;
}

function nearestFlag([flag = '']: readonly string[], known: readonly string[]): string {
  const near = likely(flag.replace(/^-+/, '').replace(/=.*$/, ''), known);
  return near === undefined ? '' : `the nearest one is --${near}, `;
}

/** What was expected before what was found; what is not known stays as oclif says it. */
function inOurWords(said: string): string {
  return said
    .replace(/^The following errors? occurred: /, '')
    .replace(/^Missing required flag (\S+)$/, 'Expected --$1')
    .replace(/^(--[^\s=]+)(?:=.*)? cannot also be provided when using (--\S+)$/, '$1 cannot stand beside $2')
    .replace(/^Parsing (--\S+) Expected (.+) but received: (.*)$/, '$1 must be $2; found "$3"')
    .replace(/^Expected (--[^=]+)=(.*) to be one of: (.+)$/, '$1 must be one of $3; found "$2"')
    .replace(/^Expected (.*) to be one of: (.+)$/, 'Expected one of $2; found "$1"');
}

const LAST_WORDS = 200;
const TIMESTAMP = /^\d{4}-\d\d-\d\d [\d:.]+ UTC \[\d+\] /;

/** `What ended: line; line; last line` → `What ended (last line)`: the last line says most. */
export function endedSentence(reason: string): string {
  const [, what = reason, said = ''] = /^([^:]*): (.*)$/s.exec(reason) ?? [];
  const last = said.split('; ').at(-1)?.replace(TIMESTAMP, '') ?? '';
  return last === '' ? oneLine(what, LAST_WORDS) : `${what} (${oneLine(last, LAST_WORDS)})`;
}

function firstLine(text: string): string {
  return text.split('\n')[0] ?? '';
}
