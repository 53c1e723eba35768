/**
 * What one tree takes when many of its sessions write at once, beside as many trees: the turns of a hundred sessions, driven
 * through the store without model or queue.
 */
import { randomUUID } from 'node:crypto';
import { newId } from '../src/clock.ts';
import { silentLog } from '../src/log.ts';
import { type Database, openDatabase } from '../src/store/database.ts';
import { createTask } from '../src/store/tasks.ts';
import { claimTurn, recordAnswer, settleTurn } from '../src/store/turns.ts';
import { registerWorker } from '../src/store/workers.ts';
import type { Row } from './under.ts';

const SESSIONS = 100;
const USAGE = {
  model: 'bench',
  input: 100,
  output: 10,
  cached: 0,
  reasoning: 0,
  latencyMs: 1,
  firstTokenMs: 1,
};

export async function measureTree(url: string, turns: number): Promise<Row[]> {
  const db = openDatabase({ url, log: silentLog, connections: 20 });
  try {
    const team = await addTeam(db);
    const workerId = newId();
    const identity = {
      id: workerId,
      host: 'bench',
      pid: 1,
      pidStartedAt: '1',
      lockKey: '1',
      version: 'bench',
    };
    await registerWorker(db, identity, 3_600_000);
    const [apart, together] = [await submitAll(db, team), await submitAll(db, team)];
    await intoOneTree(db, together);
    const delegating = await submitAll(db, team);
    await intoOneTree(db, delegating, SESSIONS - 1);
    return [
      await perSecond(`turns per second, ${SESSIONS} sessions in as many trees, store alone`, () =>
        drive(db, workerId, { sessions: apart, turns }),
      ),
      await perSecond(`turns per second, ${SESSIONS} sessions in one tree, store alone`, () =>
        drive(db, workerId, { sessions: together, turns }),
      ),
      await perSecond(`turns per second, ${SESSIONS} sessions in one tree that delegates, store alone`, () =>
        drive(db, workerId, { sessions: delegating, turns }),
      ),
    ];
  } finally {
    await db.close();
  }
}

async function perSecond(what: string, act: () => Promise<number>): Promise<Row> {
  const began = performance.now();
  const n = await act();
  return { what, backend: '', unit: '1/s', n, p50: n / ((performance.now() - began) / 1000) };
}

interface Begun {
  readonly sessionId: string;
  readonly turnId: string;
}

async function addTeam(db: Database): Promise<{ teamId: string; userId: string }> {
  const [teamId, userId] = [newId(), newId()];
  await db.sql`INSERT INTO team (id, name) VALUES (${teamId}, ${randomUUID()})`;
  await db.sql`INSERT INTO "user" (id, team_id, name) VALUES (${userId}, ${teamId}, 'bench')`;
  return { teamId, userId };
}

function submitAll(db: Database, team: { teamId: string; userId: string }): Promise<Begun[]> {
  const profile = { agent: 'build', prompt: '', tools: [], model: 'bench', mode: 'auto' as const };
  return Promise.all(
    Array.from({ length: SESSIONS }, async () => {
      const [sessionId, turnId] = [newId(), newId()];
      await createTask(db, {
        ...team,
        session: { id: sessionId, title: 'bench', workspace: { id: newId(), kind: 'empty', path: null } },
        task: {
          ...{
            id: newId(),
            turnId,
            messageId: newId(),
            parts: [],
            profile,
            profileHash: '0'.repeat(64),
            metadata: {},
          },
          limits: { turns: 1_000_000, treeTurns: 1_000_000, tokens: null, seconds: null },
        },
      });
      return { sessionId, turnId };
    }),
  );
}

/** Sessions of their own that share a root. `children`: as where some delegated to the others, and so may end, and wake, each other. */
async function intoOneTree(db: Database, sessions: readonly Begun[], children = 0): Promise<void> {
  const root = sessions[0]?.sessionId ?? '';
  const ids = `{${sessions.map(({ sessionId }) => sessionId).join(',')}}`;
  await db.sql`UPDATE session SET root_id = ${root}, parent_id = ${root}, depth = 1 WHERE id = ANY(${ids}::uuid[]) AND id <> ${root}`;
  await db.sql`UPDATE task SET root_id = ${root} WHERE session_id = ANY(${ids}::uuid[])`;
  await db.sql`UPDATE turn SET root_id = ${root} WHERE session_id = ANY(${ids}::uuid[])`;
  await db.sql`UPDATE tree SET children = ${children} WHERE root_id = ${root}`;
}

async function drive(
  db: Database,
  workerId: string,
  { sessions, turns }: { readonly sessions: readonly Begun[]; readonly turns: number },
): Promise<number> {
  const run = async ({ turnId: first }: Begun) => {
    let turnId = first;
    for (let turn = 0; turn < turns; turn += 1) turnId = await oneTurn(db, workerId, turnId);
  };
  await Promise.all(sessions.map(run));
  return sessions.length * turns;
}

async function oneTurn(db: Database, workerId: string, turnId: string): Promise<string> {
  const held = { turnId, attemptId: newId() };
  const nextTurnId = newId();
  await claimTurn(db, { ...held, workerId, reserve: 100, nextTurnId: newId(), known: 1_000_000 });
  const call = {
    id: newId(),
    ordinal: 0,
    callId: 'c',
    name: 'noop',
    effect: 'read',
    status: 'requested',
  } as const;
  await recordAnswer(db, held, {
    before: [],
    parts: [],
    stopReason: 'tool_calls',
    usage: USAGE,
    calls: [call],
  });
  const results = [{ id: call.id, status: 'succeeded' as const, parts: [], durationMs: 1 }];
  await settleTurn(db, held, { results, end: { kind: 'continue' }, nextTurnId });
  return nextTurnId;
}
