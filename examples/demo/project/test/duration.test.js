import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatDuration } from '../src/duration.js';

test('a duration is split into hours, minutes and seconds', () => {
  assert.equal(formatDuration(3725), '1h 2m 5s');
});

test('units that are zero are left out', () => {
  assert.equal(formatDuration(3600), '1h');
  assert.equal(formatDuration(61), '1m 1s');
});

test('no time at all is zero seconds', () => {
  assert.equal(formatDuration(0), '0s');
});
