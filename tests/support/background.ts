/** What tests of commands in the background share: what they start, look at and wait for in a world. */
import { mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { textOf } from '../../src/core/entry.ts';
import { ROOT_NAME } from '../../src/workspace/history.ts';
import { openSnapshots } from '../../src/workspace/snapshots/open-snapshots.ts';
import { pidsIn } from './bubblewrap.ts';
import { call } from './scripted-model/scripted-model.ts';
import type { Task, World } from './worker.ts';

/** A person is asked about notes alone. */
const RULES = [
  { decision: 'allow', tool: '*' },
  { decision: 'ask', tool: 'note' },
] as const;
export const background = (command: string) => call('bash', { command, background: true });
/** Ticks into a file that is part of the work, until it is ended. */
export const TICKS = 'while :; do echo tick >> ticks; sleep 0.05; done';

export function backgroundIn(world: World) {
  const tools = [
    'bash',
    'bash_poll',
    'bash_input',
    'bash_kill',
    'look',
    'note',
    'endless_read',
    'endless_change',
  ];

  const results = async (task: Task) =>
    (await world.entries(task)).flatMap((entry) =>
      entry.kind === 'tool_result' ? [textOf(entry.parts)] : [],
    );
  /** What the model was told, beside the project's context. */
  const notices = async (task: Task) =>
    (await world.entries(task))
      .flatMap((entry) => (entry.kind === 'notice' ? [textOf(entry.parts)] : []))
      .slice(1);
  const processes = ({ sessionId }: Task) => world.db.sql<{
    number: number;
    end: string | null;
    here: boolean;
  }>`
    SELECT number, "end", worker_id IS NOT NULL AS here FROM background_process WHERE session_id = ${sessionId} ORDER BY number`;
  /** The workers of the session's attempts, in order. */
  const workersOf = async ({ sessionId }: Task) => {
    const rows = await world.db.sql<{ id: string }>`
      SELECT a.worker_id AS id FROM attempt a JOIN turn u ON u.id = a.turn_id WHERE u.session_id = ${sessionId}
       ORDER BY a.started_at, a.id`;
    return rows.map(({ id }) => id);
  };
  const attempts = ({ sessionId }: Task) => world.db.sql`
    SELECT u.number, u.kind, u.due_at, u.wake, a.worker_id, a.outcome, a.failure, a.started_at, a.ended_at
      FROM attempt a JOIN turn u ON u.id = a.turn_id WHERE u.session_id = ${sessionId} ORDER BY a.started_at`;
  const asking = { tools, mode: 'safe', permissions: { rules: RULES } } as const;
  /** The questions of the task, once it waits for a person. */
  const asks = (task: Task) =>
    world.until('it asks', async () => {
      const open = await world.approvals(task);
      return open.length > 0 && (await world.task(task.taskId)).status === 'waiting' && open;
    });
  /** The file `ticks` of the newest recorded snapshot. */
  const recorded = async ({ sessionId }: Task) => {
    const [row] = await world.db.sql<{ id: string; lineage: string; head: string }>`
      SELECT w.id, w.lineage, w.head FROM workspace w JOIN session s ON s.workspace_id = w.id WHERE s.id = ${sessionId}`;
    const files = mkdtempSync(join(world.dir, 'recorded-'));
    const snapshots = openSnapshots({ directory: join(world.dir, 'data', 'snapshots') });
    const roots = [{ name: ROOT_NAME, path: files, writable: true }];
    await snapshots.of(row?.lineage ?? '').restore({ roots }, row?.head ?? '');
    await snapshots.close();
    return readFileSync(join(files, 'ticks'), 'utf8');
  };
  const allOf = ({ root }: Task) => join(root, '..');
  const nothingRuns = (task: Task) =>
    world.until('nothing runs', async () => pidsIn(allOf(task)).length === 0);
  const ticks = (task: Task) => world.read(task, 'ticks').length;
  const goesOn = async (task: Task) => {
    const before = ticks(task);
    await world.until('the command goes on', async () => ticks(task) > before + 15);
  };
  return {
    tools,
    asking,
    results,
    notices,
    processes,
    workersOf,
    attempts,
    asks,
    recorded,
    allOf,
    nothingRuns,
    ticks,
    goesOn,
  };
}
