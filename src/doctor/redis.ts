import { type LogFields, silentLog } from '../log.ts';
import { connectRedis, disconnectRedis, redisTarget } from '../redis.ts';
import { type Check, reasonOf, shownAddress, withoutStop } from './check.ts';
import { compareClocks } from './clock.ts';

const ANSWER_TIMEOUT_MS = 5_000;
/** BullMQ's. */
const LEAST = [6, 2] as const;

/** What the queue and live messages run on. */
export async function queue({
  databaseUrl,
  redisUrl,
}: {
  readonly databaseUrl?: string;
  readonly redisUrl?: string;
}): Promise<Check[]> {
  if (redisUrl !== undefined) return redis(redisUrl);
  if (databaseUrl === undefined) return [];
  return [{ name: 'queue', state: 'ok', found: 'on Postgres, since REDIS_URL is not set' }];
}

async function redis(url: string): Promise<Check[]> {
  let said: unknown;
  // ioredis says why on an event, and then only that the connection is closed.
  const log = { ...silentLog, warn: ({ error }: LogFields) => (said = error) };
  const client = connectRedis(
    { url: redisTarget(url).url, log },
    { retryStrategy: () => null, lazyConnect: true, commandTimeout: ANSWER_TIMEOUT_MS },
  );
  client.options.connectTimeout = ANSWER_TIMEOUT_MS;
  try {
    await client.connect();
    const info = readInfo(await client.info());
    const before = Date.now();
    const [seconds, micros] = await client.time();
    const theirs = Number(seconds) * 1_000 + Number(micros) / 1_000;
    const clock = compareClocks({ of: 'Redis', theirs, before, after: Date.now() });
    return [...judgeRedis(shownAddress(url), info), clock];
  } catch (error) {
    const found = `${shownAddress(url)} does not answer (${withoutStop(String(said ?? reasonOf(error)))})`;
    const cure = 'start it, or set REDIS_URL to the one that runs';
    return [{ name: 'Redis', state: 'wrong', found, cure }];
  } finally {
    await disconnectRedis(client);
  }
}

type Info = ReadonlyMap<string, string>;

/** `name:value` lines, as INFO has them. */
export function readInfo(text: string): Info {
  const lines = text.split(/\r?\n/).filter((line) => /^\w+:/.test(line));
  return new Map(
    lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)] as const),
  );
}

export function judgeRedis(where: string, info: Info): Check[] {
  const valkey = info.get('valkey_version');
  const version = valkey ?? info.get('redis_version') ?? '';
  const found = `${where} answers, ${valkey === undefined ? 'Redis' : 'Valkey'} ${version}`;
  return [{ name: 'Redis', ...stateOf(found, version, info) }, ...memory(info)];
}

function stateOf(found: string, version: string, info: Info): Omit<Check, 'name'> {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major < LEAST[0] || (major === LEAST[0] && minor < LEAST[1]))
    return { state: 'wrong', found, cure: `use Redis ${LEAST.join('.')} or newer, or Valkey` };
  if (info.get('role') === 'slave')
    return {
      ...{ state: 'wrong', found: `${found}, and it is a replica that takes no writes` },
      cure: 'set REDIS_URL to the primary',
    };
  return { state: 'ok', found };
}

/** Jobs that Redis throws away for want of memory are found again, seconds later each time. */
function memory(info: Info): Check[] {
  const policy = info.get('maxmemory_policy');
  const name = 'Redis memory';
  if (policy === undefined || policy === 'noeviction')
    return policy === undefined ? [] : [{ name, state: 'ok', found: 'it evicts nothing (noeviction)' }];
  return [
    {
      ...{ name, state: 'wrong', found: `its maxmemory-policy is ${policy}, so it may throw jobs away` },
      cure: 'redis-cli CONFIG SET maxmemory-policy noeviction, and the same in its configuration',
    },
  ];
}
