/**
 * `capybara up`, killed with SIGKILL at seeded moments of the demo's task, started again: the task ends well every time, its
 * change is there once, and no answer that was committed is asked for again.
 *
 * CAPYBARA_TEST_SEED replays other moments, CAPYBARA_TEST_KILLS sets how many.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { git, makeRepository, PROMPT } from '../../examples/demo/repository.ts';
import script from '../../examples/demo/script.ts';
import type { Why } from '../../src/api/wire.ts';
import { readServerInfo } from '../../src/embedded/data-dir.ts';
import { type ScriptedModel, startScriptedModel } from '../support/scripted-model/scripted-model.ts';

const KILLS = Number(process.env.CAPYBARA_TEST_KILLS ?? 3);
const SEED = Number(process.env.CAPYBARA_TEST_SEED ?? 1);
const DEV = new URL('../../bin/dev.js', import.meta.url).pathname;
const TASK_TIMEOUT_MS = 60_000;

interface Server {
  readonly child: ChildProcess;
  readonly url: string;
  readonly apiKey: string;
}

let place: string;
let model: ScriptedModel;
let server: Server;

beforeAll(async () => {
  place = mkdtempSync(join(tmpdir(), 'kill-up-'));
  model = await startScriptedModel({ script });
  server = await up();
});

afterAll(async () => {
  if (server !== undefined) await end(server, 'SIGTERM');
  await model?.close();
  rmSync(place, { recursive: true, force: true });
});

test(`a task survives ${KILLS} kills of up at any moment (seed ${SEED})`, { timeout: 600_000 }, async () => {
  const began = performance.now();
  const undisturbed = await finished(await submit('undisturbed'));
  const wholeMs = performance.now() - began;
  expect(undisturbed).toMatchObject({ status: 'succeeded' });
  const expected = git(join(place, 'undisturbed'), 'diff');
  const turns = turnsOf(undisturbed.sessionId).size;

  const random = mulberry32(SEED);
  for (let kill = 1; kill <= KILLS; kill++) {
    const moment = random() * wholeMs;
    const task = await submit(`killed-${kill}`);
    await delay(moment); // The moment is what is tested.
    await end(server, 'SIGKILL');
    server = await up();
    const what = `kill ${kill} after ${Math.round(moment)} ms`;
    expect(await brokenOf(task), what).toEqual([]);
    const ended = await finished(task);
    expect(ended, what).toMatchObject({ status: 'succeeded' });
    expect(git(join(place, `killed-${kill}`), 'diff'), what).toBe(expected);
    // A crash costs at most the one answer that was in flight; a call of unknown outcome may lead to another look.
    expect(askedAgain(task.sessionId), what).toBeLessThanOrEqual(1);
    expect(turnsOf(task.sessionId).size, what).toBeLessThanOrEqual(turns + 2);
  }
});

async function up(): Promise<Server> {
  const child = spawn(process.execPath, [DEV, 'up', '--port', '0'], {
    cwd: place,
    env: {
      PATH: process.env.PATH,
      HOME: place,
      TMPDIR: process.env.TMPDIR,
      NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE,
      CAPYBARA_DATA_DIR: join(place, 'data'),
      CAPYBARA_MODEL_ENDPOINT: model.baseUrl,
      CAPYBARA_MODEL: 'scripted',
    },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  await new Promise<string>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`up ended with exit code ${code}`)));
    createInterface({ input: child.stdout }).once('line', resolve);
  });
  const info = readServerInfo(join(place, 'data'));
  if (info === undefined) throw new Error('up is ready but wrote no server.json');
  return { child, url: info.url, apiKey: readFileSync(info.apiKeyFile, 'utf8').trim() };
}

async function end({ child }: Server, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await gone;
}

interface Task {
  readonly id: string;
  readonly sessionId: string;
  readonly status: string;
}

async function submit(name: string): Promise<Task> {
  const path = makeRepository(join(place, name));
  return request('/v1/tasks', { prompt: PROMPT, mode: 'auto', workspace: { kind: 'local', path } });
}

async function finished({ id }: Task): Promise<Task> {
  const giveUpAt = performance.now() + TASK_TIMEOUT_MS;
  for (;;) {
    const task = await request(`/v1/tasks/${id}`);
    if (['succeeded', 'failed', 'cancelled'].includes(task.status)) return task;
    if (performance.now() > giveUpAt) throw new Error(`not ended in time: ${JSON.stringify(task)}`);
    await delay(50);
  }
}

async function request<Answer = Task>(path: string, body?: unknown): Promise<Answer> {
  const response = await fetch(`${server.url}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${server.apiKey}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as Answer;
}

function turnsOf(sessionId: string): Set<number | undefined> {
  return new Set(requestsOf(sessionId).map((each) => each.turn));
}

/** What Capybara itself calls a bug: tasks of the session that have not exactly one thing that will wake them. */
async function brokenOf({ sessionId }: Task): Promise<unknown[]> {
  const { tasks } = await request<Why>(`/v1/sessions/${sessionId}/why`);
  return tasks.filter(({ kind }) => kind === 'broken');
}

/** Requests for a turn that had been asked for before. */
function askedAgain(sessionId: string): number {
  return requestsOf(sessionId).length - turnsOf(sessionId).size;
}

function requestsOf(sessionId: string) {
  return model.requests.filter((each) => sameSession(each.sessionId, sessionId));
}

/** The header carries the bare UUID. */
function sameSession(header: string | undefined, sessionId: string): boolean {
  return header?.replaceAll('-', '') === sessionId.replace('ses_', '');
}

/** A small seeded generator: the same moments for the same seed. */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

test('the tests of the mended project pass', () => {
  const output = execFileSync(process.execPath, ['--test'], {
    cwd: join(place, 'undisturbed'),
    encoding: 'utf8',
  });
  expect(output).toContain('fail 0');
});
