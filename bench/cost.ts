/** Whether a turn costs the same however long its session is, and what it writes. */
import { Client } from 'pg';
import { ended, type Row, samples, spread, submitTask, type Under, warmUp } from './under.ts';

/** What is compared is measured in turns, a few of each at a time: what the machine does meanwhile happens to all. */
const ROUNDS = 12;
const TURNS_OF_ROUND = 20;
const WRITING = ['claim_turn', 'record_answer', 'record_results', 'settle_turn', 'park_turn', 'retry_turn'];

/** `turns`: how long the longest session is. */
export async function measureCost(under: Under, url: string, turns: number): Promise<Row[]> {
  const client = new Client(url);
  await client.connect();
  try {
    await warmUp(under);
    const before = await written(client);
    const long = await grownSession(under, turns);
    const after = await written(client);
    const half = await grownSession(under, turns / 4);
    return [
      ...(await lateTurns(under, [10], [turns / 4, half], [turns, long])),
      ...perTurn(under, { before, after, turns: turns + 1 }),
    ];
  } finally {
    await client.end();
  }
}

async function grownSession(under: Under, turns: number): Promise<string> {
  const { id, sessionId } = await submitTask(under, `turns=${turns}`);
  await ended(under, [id]);
  return sessionId;
}

/** The sessions by the turn they are at. Around turn 10 is a session that is made anew for each round. */
async function lateTurns(
  under: Under,
  ...sessions: readonly (readonly [turn: number, sessionId?: string])[]
): Promise<Row[]> {
  const times = sessions.map(([turn, sessionId]) => ({ turn, sessionId, all: [] as number[] }));
  for (let round = 0; round < ROUNDS; round++) {
    for (const { sessionId, all } of times) {
      await samples(under);
      const { id } = await submitTask(under, `turns=${TURNS_OF_ROUND}`, sessionId);
      await ended(under, [id]);
      all.push(...(await samples(under)).overheads);
    }
  }
  return times.map(({ turn, all }) => spread(`turn overhead around turn ${turn}, 1 session`, under, all));
}

interface Written {
  readonly commits: number;
  readonly bytes: number;
  readonly content: number;
}

function perTurn({ backend }: Under, seen: { before: Written; after: Written; turns: number }): Row[] {
  const { before, after, turns: n } = seen;
  const row = (what: string, unit: string, key: keyof Written) => {
    return { what, backend, unit, n, p50: (after[key] - before[key]) / n };
  };
  return [
    row('commits of a turn', '', 'commits'),
    row('bytes that Postgres logs of a turn', 'B', 'bytes'),
    row('bytes of new content in a turn', 'B', 'content'),
  ];
}

/** Counts of calls are told by Postgres once a second. */
async function written(client: Client): Promise<Written> {
  await client.query('SELECT pg_stat_force_next_flush(), pg_sleep(1.5)');
  const { rows } = await client.query(
    `SELECT (SELECT coalesce(sum(calls), 0)::float8 FROM pg_stat_user_functions WHERE funcname = ANY($1)) AS commits,
            (pg_current_wal_insert_lsn() - '0/0')::float8 AS bytes,
            (SELECT coalesce(sum(octet_length(coalesce(e.parts, m.parts)::text)), 0)::float8
               FROM entry e LEFT JOIN message m ON m.id = e.message_id) AS content`,
    [WRITING],
  );
  return rows[0];
}
