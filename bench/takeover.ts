/** How long a turn stands still whose worker is killed, while its peers have work of their own. */
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { type BenchProcess, startProcess } from './process.ts';
import { api, ended, type Row, spread, submit, type Under } from './under.ts';

const WORKERS = 3;
/** Sessions whose model answers after this pause: about half of what the machine could do. */
const SESSIONS = 20;
const PROMPT = 'turns=100000 pace=200';

type Worker = BenchProcess<{ readonly id: string }>;

/** `under` has no worker of its own. */
export async function measureTakeover(under: Under, url: string, kills: number): Promise<Row[]> {
  const client = new Client(url);
  await client.connect();
  const start = () => startProcess<{ id: string }>('./worker.ts', under.env);
  const workers = await Promise.all(Array.from({ length: WORKERS }, start));
  const tasks = await Promise.all(Array.from({ length: SESSIONS }, () => submit(under, PROMPT)));
  try {
    const times: number[] = [];
    for (let kill = 0; kill < kills; kill += 1) {
      const victim = workers.shift() as Worker;
      await holdsTurns(client, victim.ready.id);
      const killedAt = Date.now();
      await victim.kill();
      times.push(...(await takeovers(client, victim.ready.id, killedAt)));
      workers.push(await start());
    }
    return [spread(`from a worker's death to the next claim of its turn, ${kills} kills`, under, times)];
  } finally {
    await Promise.all(tasks.map((id) => api(under, `/v1/tasks/${id}/cancel`, {})));
    await ended(under, tasks);
    await Promise.all(workers.map((worker) => worker.stop()));
    await client.end();
  }
}

async function holdsTurns(client: Client, workerId: string): Promise<void> {
  for (;;) {
    const { rowCount } = await client.query(
      'SELECT FROM attempt WHERE worker_id = $1 AND ended_at IS NULL LIMIT 1',
      [workerId],
    );
    if (rowCount !== 0) return;
    await delay(20);
  }
}

/** Of every turn that it held: when another attempt began. Postgres is on this machine, and has its clock. */
async function takeovers(client: Client, workerId: string, killedAt: number): Promise<number[]> {
  for (;;) {
    const { rows } = await client.query<{ open: boolean; at: number | null }>(
      `SELECT a.ended_at IS NULL AS open,
              (SELECT extract(epoch FROM min(next.started_at))::float8 * 1000
                 FROM attempt next WHERE next.turn_id = a.turn_id AND next.started_at > a.started_at) AS at
         FROM attempt a WHERE a.worker_id = $1 AND (a.ended_at IS NULL OR a.outcome = 'lost')`,
      [workerId],
    );
    if (rows.every((row) => !row.open && row.at !== null)) return rows.map((row) => (row.at ?? 0) - killedAt);
    await delay(20);
  }
}
