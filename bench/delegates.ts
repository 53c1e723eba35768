/**
 * What delegating costs beside the model: how soon a turn goes on once its agents have ended, a hundred of them at once, and the
 * report that is made of each.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { executedCall } from '../src/core/executed-call.ts';
import { executionSummary } from '../src/core/execution.ts';
import { fromPublicId, toPublicId } from '../src/core/id.ts';
import { silentLog } from '../src/log.ts';
import { type Database, openDatabase } from '../src/store/database.ts';
import { type EndedChild, readEndedChild } from '../src/store/delegations.ts';
import { quantile } from './statistics.ts';
import { api, ended, type Row, runSessions, samples, spread, type Under, warmUp } from './under.ts';

/** How often one task delegates; then another does, so that what is measured is not a long log. */
const ROUNDS_OF_TASK = 10;
const AT_ONCE = 100;
const CALLS = 100;
const REPORTS = 50;
const ASK_MS = 50;
const MIB = 1024 * 1024;

interface Work {
  /** Of each round, side by side. */
  readonly agents: number;
  readonly rounds: number;
  /** Of each agent, before its last: one call in each. */
  readonly turns: number;
}

interface Measured {
  readonly under: Under;
  readonly client: Client;
  readonly url: string;
}

export async function measureDelegates(under: Under, url: string, rounds: number): Promise<Row[]> {
  const client = new Client(url);
  await client.connect();
  try {
    const { rss: fresh } = await under.capybara.ask<{ rss: number }>();
    await warmUp(under);
    const measured = { under, client, url };
    await goingOn(measured, 1, ROUNDS_OF_TASK);
    return [
      ...(await goingOn(measured, 1, rounds)),
      ...(await goingOn(measured, 3, rounds)),
      ...(await manyAtOnce(measured, fresh)),
      ...(await reporting(measured)),
    ];
  } finally {
    await client.end();
  }
}

async function delegateAll(under: Under, { agents, rounds, turns }: Work): Promise<string> {
  const { id } = await api<{ id: string }>(under, '/v1/tasks', {
    ...{ agent: 'debug', prompt: `delegates=${agents} rounds=${rounds} turns=${turns}` },
    workspace: { kind: 'empty' },
    limits: { turns: 100_000, treeTurns: 100_000, children: 1_000, concurrentChildren: agents },
  });
  await ended(under, [id]);
  return fromPublicId('task', id) ?? '';
}

/** Nothing was changed, so nothing is merged. */
async function goingOn({ under, client }: Measured, agents: number, rounds: number): Promise<Row[]> {
  const [fromAnswer, fromEnd]: [number[], number[]] = [[], []];
  for (let done = 0; done < rounds; done += ROUNDS_OF_TASK) {
    await samples(under);
    const id = await delegateAll(under, {
      agents,
      rounds: Math.min(ROUNDS_OF_TASK, rounds - done),
      turns: 0,
    });
    const ends = await endsOf(client, id);
    for (const { turn, at, since } of (await samples(under)).rounds) {
      fromAnswer.push(at - since);
      fromEnd.push(at - (ends.get(turn - 1) ?? Number.NaN));
    }
  }
  const of = agents === 1 ? 'one agent' : `${agents} agents`;
  return [
    spread(`last answer of ${of} to the next request of who delegated`, under, fromAnswer),
    spread(`last end of ${of}, as it is committed, to that request`, under, fromEnd),
  ];
}

/** When the last one had ended, by the turn that delegated. Postgres is on this machine, and has its clock. */
async function endsOf(client: Client, rootTask: string): Promise<ReadonlyMap<number, number>> {
  const { rows } = await client.query<{ turn: number; at: number }>(
    `SELECT u.number AS turn, extract(epoch FROM max(d.ended_at))::float8 * 1000 AS at
       FROM delegation d JOIN turn u ON u.id = d.turn_id WHERE d.root_task_id = $1 GROUP BY u.id`,
    [rootTask],
  );
  return new Map(rows.map(({ turn, at }) => [turn, at]));
}

/** `fresh`: resident bytes of the process when it began. */
async function manyAtOnce({ under, client }: Measured, fresh: number): Promise<Row[]> {
  const rss = async () => (await under.capybara.ask<{ rss: number }>()).rss / MIB;
  const before = await rss();
  const work = delegateAll(under, { agents: AT_ONCE, rounds: 1, turns: 1 });
  let isOver = false;
  const over = work.finally(() => {
    isOver = true;
  });
  let most = before;
  while (!isOver) {
    most = Math.max(most, await rss());
    await delay(ASK_MS);
  }
  const { turns, ms, childrenMs, failures } = await seenOf(client, await over);
  const { backend } = under;
  const what = `${AT_ONCE} agents of two turns at once`;
  return [
    { backend, what: `${what}, one worker: submit to end`, unit: 'ms', n: AT_ONCE, p50: ms },
    { backend, what: `turns per second, ${what}`, unit: '1/s', n: turns, p50: turns / (childrenMs / 1000) },
    await asManyAlone(under),
    {
      ...{
        backend,
        what: `resident memory at most, ${what} (fresh ${(fresh / MIB).toFixed(0)}, before ${before.toFixed(0)} MiB)`,
      },
      ...{ unit: 'MiB', n: 1, p50: most },
    },
    { backend, what: `failures, ${what}`, unit: '', n: AT_ONCE, p50: failures },
  ];
}

/** With what it takes to submit them. */
async function asManyAlone(under: Under): Promise<Row> {
  const began = performance.now();
  await runSessions(under, AT_ONCE, { turns: 1 });
  const [n, seconds] = [AT_ONCE * 2, (performance.now() - began) / 1000];
  const what = `turns per second, ${AT_ONCE} sessions of two turns that nobody delegated, for comparison`;
  return { backend: under.backend, what, unit: '1/s', n, p50: n / seconds };
}

/** Attempts count as failures too where they did not end as they should: another one made up for it. */
async function seenOf(
  client: Client,
  task: string,
): Promise<{ turns: number; ms: number; childrenMs: number; failures: number }> {
  const { rows } = await client.query(
    `WITH child AS (SELECT d.created_at AS began, d.ended_at AS over, t.id, t.status FROM delegation d JOIN task t ON t.id = d.child_task_id WHERE d.root_task_id = $1)
     SELECT (SELECT extract(epoch FROM ended_at - created_at)::float8 * 1000 FROM task WHERE id = $1) AS ms,
            (SELECT extract(epoch FROM max(over) - min(began))::float8 * 1000 FROM child) AS "childrenMs",
            (SELECT count(*)::int FROM turn WHERE task_id IN (SELECT id FROM child) AND status = 'done') AS turns,
            ((SELECT count(*) FILTER (WHERE status <> 'succeeded') + abs(${AT_ONCE} - count(*)) FROM child)
             + (SELECT count(*) FROM attempt a JOIN turn u ON u.id = a.turn_id
                 WHERE (u.task_id = $1 OR u.task_id IN (SELECT id FROM child)) AND a.outcome NOT IN ('settled', 'parked')))::int AS failures`,
    [task],
  );
  return rows[0];
}

/** As `takeChild` makes it, of an agent of a hundred calls. */
async function reporting({ under, client, url }: Measured): Promise<Row[]> {
  const db = openDatabase({ url, log: silentLog, connections: 1 });
  try {
    const [none, many] = [
      await delegateAll(under, { agents: 1, rounds: 1, turns: 0 }),
      await samples(under).then(() => delegateAll(under, { agents: 1, rounds: 1, turns: CALLS })),
    ];
    const [short, long] = [await keptOf(client, none), await keptOf(client, many)];
    const { overheads } = await samples(under);
    const { times, ms } = await reports(db, long.call);
    const of = `an agent of ${CALLS} calls`;
    const { backend } = under;
    return [
      spread(`turn overhead of ${of}, for comparison`, under, overheads),
      spread(`report of ${of}, read and rendered`, under, times),
      {
        ...{ backend, what: `that as a share of its ${ms.toFixed(0)} ms`, unit: '%', n: REPORTS },
        p50: (quantile(times, 0.5) / ms) * 100,
      },
      {
        ...{ backend, what: `bytes kept of ${of} beside its log and events`, unit: 'B', n: 1 },
        p50: long.beside - short.beside,
      },
      {
        ...{ backend, what: `bytes of events of ${of} that tell its state`, unit: 'B', n: 1 },
        p50: long.states - short.states,
      },
    ];
  } finally {
    await db.close();
  }
}

async function reports(db: Database, call: string): Promise<{ times: readonly number[]; ms: number }> {
  const times: number[] = [];
  let ms = 0;
  for (let done = 0; done < REPORTS; done += 1) {
    const began = performance.now();
    const child = await readEndedChild(db, call);
    summaryOf(child);
    times.push(performance.now() - began);
    if (child.calls.length !== CALLS) throw new Error(`expected ${CALLS} calls, got ${child.calls.length}`);
    ms = child.ms;
  }
  return { times, ms };
}

function summaryOf(child: EndedChild): string {
  return executionSummary({
    ...{ sessionId: toPublicId('session', child.sessionId), status: 'completed', ms: child.ms },
    ...{ calls: child.calls.map(executedCall), modified: [] },
    usage: { input: child.input, output: child.output, usd: child.usd },
  });
}

interface Kept {
  readonly call: string;
  /** Of the row that ties the agent to the call that waits for it. */
  readonly beside: number;
  readonly states: number;
}

async function keptOf(client: Client, rootTask: string): Promise<Kept> {
  const { rows } = await client.query<Kept>(
    `SELECT d.tool_call_id AS call, pg_column_size(d.*) AS beside,
            (SELECT coalesce(sum(pg_column_size(e.*)), 0)::float8 FROM event e
              WHERE e.task_id = d.child_task_id AND e.type = 'agent.state_changed') AS states
       FROM delegation d WHERE d.root_task_id = $1`,
    [rootTask],
  );
  const [kept] = rows;
  if (kept === undefined) throw new Error(`the task ${rootTask} has delegated nothing`);
  return kept;
}
