import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { newId } from '../../src/clock.ts';
import type { Always } from '../../src/core/permission.ts';
import { isAlwaysAllowed, type RuledCall, readRules, revokeRule } from '../../src/store/rules.ts';
import { type Resolution, resolveApproval } from '../../src/store/tasks.ts';
import { recordAnswer } from '../../src/store/turns.ts';
import { expireApproval } from '../../src/store/workers.ts';
import {
  addTeam,
  answerOf,
  callOf,
  changesBetween,
  checkWitnesses,
  parked,
  running,
  snapshotRows,
  useStore,
} from '../support/store.ts';

const store = useStore();
afterEach(async () => expect(await checkWitnesses(store.db)).toEqual([]));

const NPM_TEST: Always = { kind: 'command', value: 'npm test' };

/** Answers `always` to a question; its rule's id. */
async function allowAlways(approvalId: string, more: Partial<Resolution> = {}): Promise<string> {
  const { teamId, userId } = store;
  const ruleId = newId();
  const resolution = { teamId, userId, approvalId, decision: 'allowed', ruleId, ...more } as const;
  expect(await resolveApproval(store.db, resolution)).toMatchObject({ outcome: 'resolved' });
  return ruleId;
}

/** A call in the workspace of `submissionOf`. */
function callIn(rootId: string, more: Partial<RuledCall> = {}): RuledCall {
  return {
    teamId: store.teamId,
    rootId,
    path: '/srv/project',
    tool: 'bash',
    always: NPM_TEST,
    ...more,
  };
}

/** Takes a session's directory away, so that what is allowed in it holds for its tree alone. */
async function makeEmpty(sessionId: string): Promise<void> {
  await store.db.sql`UPDATE workspace SET kind = 'empty', path = NULL
     WHERE id = (SELECT workspace_id FROM session WHERE id = ${sessionId})`;
}

describe('an answer `always`', () => {
  test('allows the call, and stores the rule that the question showed, with who said so', async () => {
    const { approvalId, call, turnId, sessionId } = await parked(store);
    const before = await snapshotRows(store.db);
    const ruleId = await allowAlways(approvalId);
    const { permission_rule, approval, tool_call, turn } = changesBetween(
      before,
      await snapshotRows(store.db),
    );
    expect(permission_rule).toEqual([
      {
        '+': {
          ...{ id: ruleId, team_id: store.teamId, root_id: null, path: '/srv/project' },
          ...{ tool: 'bash', kind: 'command', value: 'npm test' },
          ...{ approval_id: approvalId, created_by: store.userId, created_at: 'time' },
          ...{ revoked_by: null, revoked_at: null },
        },
      },
    ]);
    expect(approval).toMatchObject([{ '~': approvalId, status: ['open', 'allowed'] }]);
    expect(tool_call).toEqual([{ '~': call.id, status: ['awaiting_approval', 'requested'] }]);
    expect(turn).toMatchObject([{ '~': turnId, status: ['parked', 'queued'] }]);
    expect(await isAlwaysAllowed(store.db, callIn(sessionId))).toBe(true);
    await revokeRule(store.db, { ...store, id: ruleId });
  });

  test('is repeated with nothing written, and is another answer than `allow`', async () => {
    const { approvalId } = await parked(store);
    const ruleId = await allowAlways(approvalId);
    const { teamId, userId } = store;
    const again = { teamId, userId, approvalId, decision: 'allowed' } as const;
    const before = await snapshotRows(store.db);
    expect(await resolveApproval(store.db, { ...again, ruleId })).toMatchObject({ outcome: 'resolved' });
    expect(await resolveApproval(store.db, { ...again, ruleId: newId() })).toMatchObject({
      outcome: 'resolved',
    });
    expect(await resolveApproval(store.db, again)).toMatchObject({ outcome: 'already', status: 'allowed' });
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
    await revokeRule(store.db, { ...store, id: ruleId });
  });

  test('is refused where the call can only be allowed once, and the question stays open', async () => {
    const held = await running(store);
    const { always: _, ...call } = callOf('awaiting_approval');
    await recordAnswer(store.db, held, answerOf([call]));
    const { teamId, userId } = store;
    const answer = { teamId, userId, approvalId: call.approvalId ?? '', decision: 'allowed' } as const;
    const before = await snapshotRows(store.db);
    expect(await resolveApproval(store.db, { ...answer, ruleId: newId() })).toEqual({ outcome: 'only_once' });
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
    expect(await resolveApproval(store.db, answer)).toMatchObject({ outcome: 'resolved' });
  });

  test('holds in its directory for every session of the team, and nowhere else', async () => {
    const { approvalId } = await parked(store);
    const id = await allowAlways(approvalId);
    const other = newId();
    const { teamId } = await addTeam(store.db);
    expect(await isAlwaysAllowed(store.db, callIn(other))).toBe(true);
    expect(await isAlwaysAllowed(store.db, callIn(other, { path: '/srv/project/sub' }))).toBe(false);
    expect(await isAlwaysAllowed(store.db, callIn(other, { path: null }))).toBe(false);
    expect(await isAlwaysAllowed(store.db, callIn(other, { teamId }))).toBe(false);
    expect(await isAlwaysAllowed(store.db, callIn(other, { tool: 'shell' }))).toBe(false);
    await revokeRule(store.db, { ...store, id });
    expect(await isAlwaysAllowed(store.db, callIn(other))).toBe(false);
  });

  test('holds for its session tree alone where the workspace is no directory of a person', async () => {
    const { approvalId, sessionId } = await parked(store);
    await makeEmpty(sessionId);
    const id = await allowAlways(approvalId);
    expect(await isAlwaysAllowed(store.db, callIn(sessionId, { path: null }))).toBe(true);
    expect(await isAlwaysAllowed(store.db, callIn(newId(), { path: null }))).toBe(false);
    await revokeRule(store.db, { ...store, id });
  });

  test('never allows a call that differs from the one that was shown, in however little', async () => {
    const character = fc.constantFrom(...'aA é\u0301 \t\n;&|"\'\\%_*$`\u00a0\u200b\u202e\u0430ß'.split(''));
    const command = fc.string({ unit: fc.oneof(character, fc.string({ maxLength: 1 })), maxLength: 12 });
    const kind = fc.constantFrom('command' as const, 'path' as const, 'arguments' as const);
    const { approvalId, sessionId } = await parked(store);
    const id = await allowAlways(approvalId);
    const set = async (always: Always) =>
      store.db
        .sql`UPDATE permission_rule SET kind = ${always.kind}, value = ${always.value} WHERE id = ${id}`;
    const storable = command.filter((text) => !text.includes('\0') && text.isWellFormed());
    await fc.assert(
      fc.asyncProperty(
        storable,
        kind,
        fc.array(fc.tuple(storable, kind), { maxLength: 4 }),
        async (value, one, others) => {
          await set({ kind: one, value });
          const variants = [
            value,
            ` ${value}`,
            `${value} `,
            `${value}\n`,
            value.toUpperCase(),
            value.normalize('NFC'),
          ];
          const all = [...variants.map((text) => [text, one] as const), ...others];
          for (const [text, other] of all) {
            const always = { kind: other, value: text };
            const isSame = other === one && text === value;
            expect(await isAlwaysAllowed(store.db, callIn(sessionId, { always }))).toBe(isSame);
          }
        },
      ),
      { numRuns: 100 },
    );
    await revokeRule(store.db, { ...store, id });
  });
});

describe('rules', () => {
  test('are listed by their team, the newest first, until they are revoked', async () => {
    const [first, second] = [await parked(store), await parked(store)];
    const ids = [await allowAlways(first.approvalId), await allowAlways(second.approvalId)];
    const stranger = await addTeam(store.db);
    const listed = async (before?: string) =>
      (await readRules(store.db, { teamId: store.teamId, before }, 10)).rows.map(({ id }) => id);
    expect(await listed()).toEqual(ids.toReversed());
    expect(await listed(ids[1])).toEqual([ids[0]]);
    expect(await readRules(store.db, { teamId: store.teamId }, 1)).toMatchObject({
      more: true,
      rows: [
        {
          id: ids[1],
          tool: 'bash',
          kind: 'command',
          value: 'npm test',
          createdBy: 'Ada',
          path: '/srv/project',
        },
      ],
    });
    expect(await readRules(store.db, { teamId: stranger.teamId }, 10)).toEqual({ rows: [], more: false });
    for (const id of ids) await revokeRule(store.db, { ...store, id });
    expect(await listed()).toEqual([]);
  });

  test('are revoked once, by who came first; not by another team, and not one that is unknown', async () => {
    const { approvalId } = await parked(store);
    const id = await allowAlways(approvalId);
    const stranger = await addTeam(store.db);
    const before = await snapshotRows(store.db);
    expect(await revokeRule(store.db, { ...stranger, id })).toEqual({ outcome: 'not_found' });
    expect(await revokeRule(store.db, { ...store, id: newId() })).toEqual({ outcome: 'not_found' });
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
    expect(await revokeRule(store.db, { ...store, id })).toEqual({ outcome: 'revoked' });
    const after = await snapshotRows(store.db);
    expect(changesBetween(before, after)).toEqual({
      permission_rule: [{ '~': id, revoked_by: [null, store.userId], revoked_at: [null, 'time'] }],
    });
    expect(await revokeRule(store.db, { teamId: store.teamId, userId: newId(), id })).toEqual({
      outcome: 'revoked',
    });
    expect(changesBetween(after, await snapshotRows(store.db))).toEqual({});
  });
});

describe('expire_approval', () => {
  /** A parked turn whose question is due `ms` from now. */
  async function due(ms: number) {
    const waiting = await parked(store);
    await store.db.sql`UPDATE approval SET created_at = clock_timestamp() - interval '60 s',
             expires_at = clock_timestamp() + ${ms} * interval '1 ms' WHERE id = ${waiting.approvalId}`;
    return waiting;
  }

  test('denies the call that nobody answered in time, with what the model is told, and wakes its turn', async () => {
    const { approvalId, call, turnId, sessionId } = await due(0);
    const before = await snapshotRows(store.db);
    const expired = await expireApproval(store.db);
    expect(expired).toMatchObject({ rootId: sessionId, wake: { turnId, wake: 2 } });
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({
      approval: [{ '~': approvalId, status: ['open', 'expired'], resolved_at: [null, 'time'] }],
      event: ['approval.resolved'],
      tool_call: [
        {
          '~': call.id,
          status: ['awaiting_approval', 'requested'],
          denial: [null, 'nobody answered within 60 seconds whether this call may run.'],
        },
      ],
      tree: [{ '~': sessionId, last_seq: expect.anything() }],
      turn: [
        {
          '~': turnId,
          status: ['parked', 'queued'],
          wake: [1, 2],
          open_waits: [1, 0],
          checked_at: [null, 'time'],
        },
      ],
    });
    const { teamId, userId } = store;
    const late = { teamId, userId, approvalId, decision: 'allowed' } as const;
    expect(await resolveApproval(store.db, late)).toEqual({
      outcome: 'already',
      status: 'expired',
      resolvedBy: null,
    });
  });

  test('leaves alone what is not due, has no end, or was answered', async () => {
    await due(60_000);
    await parked(store);
    const { approvalId } = await due(0);
    const { teamId, userId } = store;
    await resolveApproval(store.db, { teamId, userId, approvalId, decision: 'allowed' });
    const before = await snapshotRows(store.db);
    expect(await expireApproval(store.db)).toBeUndefined();
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
  });

  test('closes each of many once, however many sweepers look', async () => {
    const waiting = await Promise.all(Array.from({ length: 6 }, () => due(0)));
    const sweep = async (): Promise<string[]> => {
      const expired = await expireApproval(store.db);
      return expired === undefined ? [] : [expired.rootId, ...(await sweep())];
    };
    const found = (await Promise.all([sweep(), sweep(), sweep()])).flat();
    expect([...found, ...(await sweep())].sort()).toEqual(waiting.map(({ sessionId }) => sessionId).sort());
  });

  test('counts from the commit that asks, by the database’s clock', async () => {
    const held = await running(store);
    await recordAnswer(store.db, held, answerOf([callOf('awaiting_approval', { approvalSeconds: 90 })]));
    const [row] = await store.db.sql`
      SELECT extract(epoch FROM expires_at - created_at)::float8 AS seconds FROM approval WHERE turn_id = ${held.turnId}`;
    expect(row?.seconds).toBeCloseTo(90, 0);
  });
});
