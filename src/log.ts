import { pino } from 'pino';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFields = Readonly<Record<string, unknown>>;

/**
 * What operators read. Fields are ids and small values; the message is one short sentence. Values under a secret's
 * name, and keys and the passwords of URLs inside a text, are replaced before anything is written.
 *
 * Ids are UUIDs under these names: `teamId`, `userId`, `keyId`, `sessionId`, `taskId`, `turnId`, `attemptId`, `workerId`, `requestId`;
 * `turn` is the number of one within its task.
 */
export interface Log {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
  /** A log whose every line also carries `fields`. */
  child(fields: LogFields): Log;
}

export interface LogOptions {
  readonly level: LogLevel | 'silent';
  /** One readable line per message instead of JSON. */
  readonly pretty?: boolean;
  /** Where lines go; stderr unless said otherwise. */
  readonly destination?: { write(line: string): void };
}

const REDACTED = '[redacted]';
/** Compared without case, dashes and underscores: `x-api-key`, `API_KEY` and `apiKey` are one name. */
const SECRET_NAMES = new Set([
  ...[
    'apikey',
    'xapikey',
    'authorization',
    'proxyauthorization',
    'cookie',
    'setcookie',
    'password',
    'passphrase',
  ],
  ...['secret', 'token', 'accesstoken', 'privatekey', 'databaseurl', 'redisurl', 'encryptionkey'],
]);
/** Inside a text: keys of Capybara and of those who make theirs alike, and what stands behind `Bearer`. */
const KEY_TEXT = /\b(capy_|sk-|Bearer +)[\w.~+/=-]{12,}/gi;
const URL_PASSWORD = /(:\/\/[^\s:/@]*):[^\s@/]+@/g;
/** Deeper values are not written: a log line is not a dump. */
const MAX_DEPTH = 6;

/** JSON lines to stderr (or `pretty` text), at `level` and above. */
export function createLog(options: LogOptions): Log {
  const sink = options.destination ?? pino.destination({ fd: 2, sync: true });
  const destination =
    options.pretty === true ? { write: (line: string) => sink.write(prettyLine(line)) } : sink;
  const base = {
    level: options.level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    messageKey: 'message',
  };
  const levelByName = { level: (label: string) => ({ level: label }) };
  return wrap(pino({ ...base, formatters: levelByName }, destination));
}

/** Says nothing: for tests. */
export const silentLog: Log = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLog,
};

/**
 * Lets a line through at most once in `everyMs` per message; the next one that passes says how many were left out. For
 * what repeats while something is down.
 */
export function atMostEvery(everyMs: number, log: Log, now: () => number = Date.now): Log['warn'] {
  const lines = new Map<string, { at: number; leftOut: number }>();
  return (fields, message) => {
    const line = lines.get(message);
    if (line !== undefined && now() - line.at < everyMs) {
      line.leftOut += 1;
      return;
    }
    lines.set(message, { at: now(), leftOut: 0 });
    log.warn(line?.leftOut ? { ...fields, leftOut: line.leftOut } : fields, message);
  };
}

function wrap(logger: pino.Logger): Log {
  const write =
    (level: LogLevel) =>
    (fields: LogFields, message: string): void => {
      if (logger.isLevelEnabled(level)) logger[level](clean(fields, 0), withoutSecrets(message));
    };
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: (fields) => wrap(logger.child(clean(fields, 0) as Record<string, unknown>)),
  };
}

function clean(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return withoutSecrets(value);
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null || value instanceof Date) return value;
  if (depth >= MAX_DEPTH) return '[deeper]';
  if (value instanceof Error) return clean(errorFields(value), depth + 1);
  if (Array.isArray(value)) return value.map((item) => clean(item, depth + 1));
  const entries = Object.entries(value).map(([name, item]) => [
    name,
    isSecret(name) ? REDACTED : clean(item, depth + 1),
  ]);
  return Object.fromEntries(entries);
}

function errorFields(error: Error): Record<string, unknown> {
  const { name, message, stack, cause } = error;
  const code = 'code' in error ? error.code : undefined;
  return { name, message, ...(code !== undefined && { code }), ...(cause !== undefined && { cause }), stack };
}

function isSecret(name: string): boolean {
  return SECRET_NAMES.has(name.toLowerCase().replaceAll(/[-_]/g, ''));
}

function withoutSecrets(text: string): string {
  const known = text.replaceAll(KEY_TEXT, `$1${REDACTED}`);
  return known.includes('://') ? known.replaceAll(URL_PASSWORD, `$1:${REDACTED}@`) : known;
}

/** `12:34:56.789 WARN  message name=value` */
function prettyLine(line: string): string {
  const { level, time, message, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const pairs = Object.entries(fields).map(([name, value]) => `${name}=${prettyValue(value)}`);
  const head = `${String(time).slice(11, 23)} ${String(level).toUpperCase().padEnd(5)} ${message}`;
  return `${[head, ...pairs].join(' ')}\n`;
}

function prettyValue(value: unknown): string {
  return typeof value === 'string' && /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
}
