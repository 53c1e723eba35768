/**
 * One connection to Postgres, and what to tell a person who has none.
 */
import { Client } from 'pg';
import { isRefusedOffline, OFFLINE_RULE, UserError } from '../core/errors.ts';

const CONNECT_TIMEOUT_MS = 10_000;

/** Network codes that say that nothing answers there. */
const UNREACHABLE = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENOENT',
  'ETIMEDOUT',
]);
/** What `pg` says, without a code, of a connection that ended under a query. */
const BROKEN = /connection terminated|not queryable/i;

/**
 * A connected client; the caller ends it. `setting` is where the address was read from, as a person names it.
 *
 * @throws UserError: `database_url` (exit code 2); with exit code 3 `database_unreachable`, `database_access` or `database_missing`. No
 * message contains the password.
 */
export async function connect(url: string, setting = 'DATABASE_URL'): Promise<Client> {
  const target = parseTarget(url, setting);
  const client = new Client({ connectionString: url, connectionTimeoutMillis: CONNECT_TIMEOUT_MS });
  // A connection that breaks later fails the query that uses it; without a listener it would end the process.
  client.on('error', () => {});
  try {
    await client.connect();
    return client;
  } catch (error) {
    await client.end().catch(() => {});
    throw connectError(error, target);
  }
}

interface Target {
  readonly address: string;
  readonly user: string;
  readonly database: string;
  readonly setting: string;
}

function parseTarget(url: string, setting: string): Target {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !/^postgres(ql)?:$/.test(parsed.protocol)) {
    throw new UserError(
      'database_url',
      `${setting} is not a Postgres address: expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE.`,
    );
  }
  const user = decodeURIComponent(parsed.username);
  return {
    address: `${parsed.searchParams.get('host') ?? (parsed.hostname || 'localhost')}:${parsed.port || '5432'}`,
    user,
    database: decodeURIComponent(parsed.pathname.slice(1)) || user,
    setting,
  };
}

/** `database_unreachable` where the connection to `url` broke or Postgres ended it; any other error as it is. */
export function explainBreak(error: unknown, url: string): unknown {
  const { code, message = '' } = error as { code?: string; message?: string };
  const broke = UNREACHABLE.has(code ?? '') || /^(08|57P)/.test(code ?? '') || BROKEN.test(message);
  return broke ? unreachable(parseTarget(url, 'DATABASE_URL')) : error;
}

function unreachable({ address, setting }: Target): UserError {
  return new UserError(
    'database_unreachable',
    `No Postgres answers at ${address}: start it, or correct ${setting}.`,
    3,
  );
}

function connectError(error: unknown, target: Target): unknown {
  const { address, user, database, setting } = target;
  const { code, message } = error as { code?: string; message?: string };
  if (code === '3D000') {
    return new UserError(
      'database_missing',
      `The Postgres at ${address} has no database "${database}": create it, or name another in ${setting}.`,
      3,
    );
  }
  if (code?.startsWith('28') || /password must be a (non-empty )?string/i.test(message ?? '')) {
    return new UserError(
      'database_access',
      `The Postgres at ${address} does not let user "${user}" in: check the user and password in ${setting}.`,
      3,
    );
  }
  if (isRefusedOffline(error)) {
    return new UserError(
      'offline',
      `The Postgres at ${address} has a public address, and ${OFFLINE_RULE}: leave out --offline (CAPYBARA_OFFLINE), or name another in ${setting}.`,
      3,
    );
  }
  if (UNREACHABLE.has(code ?? '') || code?.startsWith('57P') || /timeout|terminated/i.test(message ?? '')) {
    return unreachable(target);
  }
  return error;
}
