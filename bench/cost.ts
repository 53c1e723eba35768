/** Whether a turn costs the same however long its session is, and what it writes. */
import { Client } from 'pg';
import { quantile } from './statistics.ts';
import { type Row, runSessions, type Under, warmUp } from './under.ts';

/** Turns around which the overhead is compared, and how many on each side. */
const LATE_TURNS = [10, 500, 2_000];
const AROUND = 25;
const WRITING = ['claim_turn', 'record_answer', 'record_results', 'settle_turn', 'park_turn', 'retry_turn'];

/** `turns`: of the one long session. */
export async function measureCost(under: Under, url: string, turns: number): Promise<Row[]> {
  const client = new Client(url);
  await client.connect();
  try {
    await warmUp(under);
    const before = await written(client);
    const { overheads, turnsOf } = await runSessions(under, 1, turns + AROUND);
    const after = await written(client);
    return [
      ...lateTurns(under, overheads, turnsOf),
      ...perTurn(under, { before, after, turns: turns + AROUND + 1 }),
    ];
  } finally {
    await client.end();
  }
}

function lateTurns({ backend }: Under, overheads: readonly number[], turnsOf: readonly number[]): Row[] {
  return LATE_TURNS.flatMap((turn) => {
    const times = overheads.filter((_, index) => Math.abs((turnsOf[index] ?? 0) - turn) <= AROUND);
    if (times.length < AROUND) return [];
    const what = `turn overhead around turn ${turn}, 1 session`;
    return {
      what,
      backend,
      unit: 'ms',
      n: times.length,
      p50: quantile(times, 0.5),
      p99: quantile(times, 0.99),
    };
  });
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
