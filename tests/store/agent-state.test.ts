import { afterEach, describe, expect, test } from 'vitest';
import { readSession } from '../../src/store/views-sessions.ts';
import { readTree } from '../../src/store/views-tree.ts';
import { forgetSessions, useStore } from '../support/store.ts';
import { SCENES } from './scenes.ts';

const store = useStore();

/** A session's task in hand, or its last, and what the last event said of it that tells a state. */
interface Told {
  readonly sessionId: string;
  readonly taskId: string;
  readonly state: string;
}

function told(): Promise<Told[]> {
  return store.db.sql<Told & Record<string, unknown>>`
    SELECT s.id AS "sessionId", t.id AS "taskId", coalesce(
             (SELECT data->>'state' FROM event
               WHERE root_id = s.root_id AND task_id = t.id AND type = 'agent.state_changed' ORDER BY seq DESC LIMIT 1), 'idle') AS state
      FROM session s CROSS JOIN LATERAL (
        SELECT * FROM task WHERE session_id = s.id
         ORDER BY ended_at IS NOT NULL, CASE WHEN ended_at IS NULL THEN ordinal ELSE -ordinal END LIMIT 1) t ORDER BY s.id`;
}

describe("a session's state is what was last told of its task, whatever happened", () => {
  afterEach(() => forgetSessions(store.db));

  test.each(Object.keys(SCENES))('%s', async (name) => {
    const acts = (await SCENES[name]?.(store)) ?? {};
    for (const [act, perform] of Object.entries(acts)) {
      await perform(store.db).catch(() => undefined);
      for (const { sessionId, taskId, state } of await told()) {
        const { rows } = await readTree(store.db, { teamId: store.teamId, id: sessionId }, 10);
        expect([act, rows[0]]).toMatchObject([act, { taskId, state }]);
        const session = await readSession(store.db, { teamId: store.teamId, id: sessionId });
        expect([act, session]).toMatchObject([act, { state }]);
      }
    }
  });
});
