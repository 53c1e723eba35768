/**
 * A worker stands still at a point for longer than its lease, a peer takes its turn over and finishes, then it goes on:
 * it changes no row, and acts at most where it had already been told that it may.
 */
import { describe, expect, test } from 'vitest';
import { durableSteps } from '../support/transitions.ts';
import { queueKinds } from '../support/worker.ts';
import { distinctPointsOf, expectedAt, type Outcome, pause, pointsOf, type Reading, stepOf } from './play.ts';
import { readAll } from './readings.ts';
import { SCENES, type Scene } from './scenes.ts';

const kinds = await queueKinds('pause points on Redis');
const readings = await readAll(SCENES.filter(({ onlyKilled }) => onlyKilled !== true));
/** What may still happen after a pause differs between an act that has not begun and the step before it. */
const ACTS = /^before (runTools|callModel)#/;
/** Turns ask and read alike. */
const AGAIN = ['before callModel#2', 'before callModel#3', 'before runTools#2'];
/** With its commit a sweeper is through with what it found: when it goes on there is nothing that it might write. */
const SWEPT = durableSteps().flatMap(({ name, isSweep }) => (isSweep ? [`after ${name}`] : []));
/** CAPYBARA_TEST_EVERY_POINT=1 stops at every point that differs; a step that is fenced once is fenced each time. */
const EVERY_POINT = process.env.CAPYBARA_TEST_EVERY_POINT === '1';
const all = readings.flatMap((reading) =>
  pointsOf(reading)
    .filter((point) => ACTS.test(point) || distinctPointsOf(reading).includes(point))
    .map((point) => [reading.scene.name, point, reading] as const),
);
const cases = all.filter(
  ([, point, { scene }], index) =>
    EVERY_POINT ||
    (scene === SCENES[0] && ACTS.test(point) && !AGAIN.includes(point)) ||
    (index === firstOf(point) && !SWEPT.includes(stepOf(point))),
);
/** A pause takes a lease each: on Redis, with the job just taken, in the middle, and after the turn that it was for. */
const ON_REDIS = ['after claim_turn#1', 'during callModel#1', 'after settle_turn#1'];
const TIMEOUT_MS = 60_000;

/** Where the same step is first, in whichever scene. */
function firstOf(point: string): number {
  return all.findIndex(([, each]) => stepOf(each) === stepOf(point));
}

describe.concurrent.each(kinds)('on $kind, a worker that stands still', ({ kind, ...redis }) => {
  const here = cases.filter(
    ([, point, { scene }]) =>
      kind === 'postgres' || (scene === SCENES[0] && (EVERY_POINT || ON_REDIS.includes(point))),
  );
  test.each(here)(
    'in %s %s cannot write when it goes on',
    { timeout: TIMEOUT_MS },
    async (_, point, reading: Reading) => {
      const { outcome, after, changes } = await pause({ kind, ...redis }, reading.scene, point);
      expect(outcome).toEqual(expectedAt(reading, point));
      expect(changes).toEqual({});
      expect(mayFollow(outcome, point, reading.scene)).toContainEqual(after);
    },
  );
});

/** What the calls of the first scene tell the world. */
const TOLD = new Map([
  ['before runTools#3', 'first'],
  ['before runTools#4', 'second'],
]);

/**
 * What had been found safe just before the pause still begins after it: a call once, of which the model was told that nobody
 * knows whether it ran; or a request, unless the worker hears first that it has lost the turn.
 */
function mayFollow(outcome: Outcome, point: string, scene: Scene): Outcome[] {
  const told = scene === SCENES[0] ? TOLD.get(point) : undefined;
  if (told !== undefined) return [{ ...outcome, lines: [...outcome.lines, told] }];
  const [, turn] = /^before callModel#(\d+)$/.exec(point) ?? [];
  if (turn === undefined) return [outcome];
  const asked = outcome.requests.map((count, index) => (index + 1 === Number(turn) ? count + 1 : count));
  return [outcome, { ...outcome, requests: asked }];
}
