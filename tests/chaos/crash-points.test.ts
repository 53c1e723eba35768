/**
 * A worker is killed before and after every durable step and act of a turn (on Redis: where the queue has a part); a peer
 * finishes. What came of the task is what comes of it undisturbed, but for a change of unknown outcome and the one answer that
 * was in flight.
 */
import { describe, expect, test } from 'vitest';
import type { Step } from '../../src/core/turn.ts';
import { durableSteps, textBelow } from '../support/transitions.ts';
import { queueKinds } from '../support/worker.ts';
import { distinctPointsOf, expectedAt, kill, pointsOf, type Reading, read, stepOf } from './play.ts';
import { readAll } from './readings.ts';
import { SCENES } from './scenes.ts';

const kinds = await queueKinds('crash points on Redis');
const readings = await readAll(SCENES);
const cases = readings.flatMap((reading) =>
  pointsOf(reading).map((point) => [reading.scene.name, point, reading] as const),
);
type Case = (typeof cases)[number];
const TIMEOUT_MS = 60_000;
/** CAPYBARA_TEST_EVERY_POINT=1 stops at every point of every scene on both queues, whatever is thought of them. */
const EVERY_POINT = process.env.CAPYBARA_TEST_EVERY_POINT === '1';
/** Where a wake-up was taken or comes next: all that a queue has a part in. */
const OF_THE_QUEUE =
  /wake|check_queued|admit_turns|claim_turn|settle_turn|hand_back_turn|take_over_turn|park_turn/;

describe('crash points', () => {
  /** The points at which a turn's steps are performed; `report` only decides what the next commit says. */
  const PERFORMED_BY: Readonly<Record<Step['do'], readonly string[]>> = {
    callModel: ['callModel', 'record_answer'],
    compact: ['callModel', 'compact_turn'],
    runTools: ['runTools', 'record_results'],
    report: [],
    delegate: ['spawn_children'],
    takeChild: ['settle_turn'],
    askApproval: ['park_turn'],
    waitForChildren: ['park_turn'],
    endTurn: ['settle_turn'],
    finish: ['settle_turn'],
  };
  /** In the lease's thread, over its own connection, or as a chore of one statement, at any moment of what the others do. */
  const ANY_MOMENT = [
    ...['register_worker', 'renew_lease'],
    ...['forgetUploads', 'forgetAudit', 'forgetIdempotencyKeys', 'forgetDeliveries', 'forget_outputs'],
    // Of webhooks, beside all turns: what is done at each of them `integration/webhooks` says.
    ...['queue_deliveries', 'requeue_delivery', 'claim_delivery', 'settle_delivery'],
  ];
  const stoppedAt = new Set(cases.map(([, point]) => stepOf(point)));

  test('are known for every step that core may decide on', () => {
    const steps = [...textBelow('src/core', 'turn.ts').matchAll(/readonly do: '(\w+)'/g)].map(
      ([, step]) => step,
    );
    expect(Object.keys(PERFORMED_BY).sort()).toEqual(steps.sort());
  });

  test('are before and after everything that a worker does durably: a new step needs a scene that reaches it', () => {
    const steps = durableSteps().filter(({ name }) => !ANY_MOMENT.includes(name));
    const acts = [...Object.values(PERFORMED_BY).flat(), 'wake'].map((name) => ({ name, isSweep: false }));
    const wanted = [...steps, ...acts].flatMap(({ name, isSweep }) =>
      isSweep ? [`after ${name}`] : [`before ${name}`, `after ${name}`],
    );
    expect([...new Set(wanted)].filter((point) => !stoppedAt.has(point))).toEqual([]);
  });

  test('at which a worker is seldom killed are points of their scene', () => {
    const unknown = readings.flatMap((reading) =>
      (reading.scene.seldomKilled ?? []).filter((point) => !distinctPointsOf(reading).includes(point)),
    );
    expect(unknown).toEqual([]);
  });
});

/** What a queue makes of a scene is seen in the first; of the others, where a worker is killed. */
const undisturbed = readings.filter(({ scene }) => EVERY_POINT || scene === SCENES[0]);

describe.concurrent.each(kinds.filter(({ kind }) => kind !== 'postgres'))(
  'on $kind, undisturbed,',
  (kind) => {
    const scenes = undisturbed.map((reading) => [reading.scene.name, reading] as const);
    test.each(scenes)('%s ends as on Postgres', { timeout: TIMEOUT_MS }, async (_, { scene, outcome }) => {
      expect((await read(kind, scene)).outcome).toEqual(outcome);
    });
  },
);

/** The points that differ from others in what is durable, has begun or comes of it. */
const different = cases.filter(
  ([, point, reading]) =>
    distinctPointsOf(reading).includes(point) && reading.scene.seldomKilled?.includes(point) !== true,
);

/** All of the first scene and of those that want it, and of the others the first of each and every step that none before it has. */
const distinct = different.filter(([, point, reading], index) => {
  const isFirst = (isLike: (each: Case) => boolean) => different.findIndex(isLike) === index;
  return (
    reading.scene === SCENES[0] ||
    reading.scene.alwaysKilled === true ||
    isFirst(([, , other]) => other === reading) ||
    isFirst(([, each]) => stepOf(each) === stepOf(point))
  );
});

/** What a point is to the queue: its step and, of a wake-up, the step that it follows. */
function toTheQueue([, point, { trace }]: Case): string {
  if (stepOf(point) !== 'after wake') return stepOf(point);
  const reached = trace.slice(0, trace.indexOf(point)).map(stepOf);
  return `${reached.findLast((step) => step.startsWith('after ') && step !== 'after wake')}, ${stepOf(point)}`;
}

/** One of each. */
const distinctToTheQueue = distinct
  .filter(([, point]) => OF_THE_QUEUE.test(point))
  .filter((each, index, all) => all.findIndex((one) => toTheQueue(one) === toTheQueue(each)) === index);

describe.concurrent.each(kinds)('on $kind, a worker that is killed', (kind) => {
  const here = EVERY_POINT ? cases : kind.kind === 'postgres' ? distinct : distinctToTheQueue;
  test.each(here)(
    'in %s %s leaves what a peer can finish',
    { timeout: TIMEOUT_MS },
    async (_, point, reading: Reading) => {
      expect(await kill(kind, reading.scene, point)).toEqual(expectedAt(reading, point));
    },
  );
});
