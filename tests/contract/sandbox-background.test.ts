/** Commands that go on: what they say waits, what is typed arrives, and nothing of them is left when they are ended. */
import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { BackgroundProcesses } from '../../src/sandbox/background.ts';
import {
  type BackgroundLimits,
  type BackgroundProcess,
  MAX_WAITING_INPUT,
} from '../../src/sandbox/background-process.ts';
import { createBubblewrapSandbox } from '../../src/sandbox/bubblewrap.ts';
import { NewestText } from '../../src/sandbox/output.ts';
import type { LeasedSandbox } from '../../src/sandbox/sandbox.ts';
import { createUnconfinedSandbox } from '../../src/sandbox/unconfined.ts';
import { bubblewrap, makePlace, pidsIn, type SandboxPlace } from '../support/bubblewrap.ts';
import { docker, openDocker } from '../support/docker.ts';

const never = new AbortController().signal;
const MOMENT = { momentMs: 5_000, signal: never };
const PATIENCE_MS = 10_000;
let place: SandboxPlace;
let sandbox: LeasedSandbox;

function create(kind: string): LeasedSandbox {
  const shared = { environment: process.env, killGraceMs: 100 };
  if (kind === 'none') return createUnconfinedSandbox(shared);
  if (kind === 'docker') return openDocker({ ...shared, directory: join(place.path, 'docker') });
  return createBubblewrapSandbox({ ...shared, profile: 'local', program: bubblewrap ?? '' });
}

/** With limits of the test's own. */
function open(limits: Partial<BackgroundLimits> = {}) {
  const processes = new BackgroundProcesses(sandbox, limits);
  const { workspace, scratch } = place;
  const start = (script: string, moment = MOMENT) =>
    processes.start({ script, cwd: workspace, writable: [workspace], scratch }, moment);
  return { processes, start };
}

/** Reads on until the text is there. */
async function until(process: BackgroundProcess, text: string): Promise<string> {
  let all = '';
  for (const end = performance.now() + PATIENCE_MS; !all.includes(text) && performance.now() < end; ) {
    await process.news(1_000, never);
    all += process.take().text;
  }
  expect(all).toContain(text);
  return all;
}

async function ended(process: BackgroundProcess): Promise<BackgroundProcess['end']> {
  await vi.waitFor(() => expect(process.end).toBeDefined(), PATIENCE_MS);
  return process.end;
}

const KINDS = [
  ...['none', ...(bubblewrap === undefined ? [] : ['bubblewrap'])],
  ...(docker === undefined ? [] : ['docker']),
];

describe.each(KINDS)('%s: a command that goes on', (kind) => {
  beforeEach(() => {
    place = makePlace(kind === 'docker' ? 'strict' : 'local');
    sandbox = create(kind);
  });
  afterEach(async () => {
    await sandbox.close();
    expect(pidsIn(place.workspace)).toEqual([]);
    await rm(place.path, { recursive: true, force: true });
  });

  test('says what it has said since the last time, and then how it ended', async () => {
    const { start, processes } = open();
    const process = await start('echo one; until [ -e go ]; do sleep 0.02; done; echo two; exit 3');
    expect(process.name).toBe('bg_1');
    expect(process.take()).toEqual({ text: 'one\n', droppedBytes: 0 });
    expect(process.end).toBeUndefined();
    expect(processes.isRunning).toBe(true);
    await sandbox.run(
      {
        script: 'touch go',
        cwd: place.workspace,
        writable: [place.workspace],
        scratch: place.scratch,
        timeoutMs: 9_000,
      },
      never,
    );
    expect(await ended(process)).toEqual({ type: 'exit', code: 3 });
    expect(process.take().text).toBe('two\n');
    expect(process.ended()).toEqual({ id: process.known.id, end: 'exit 3' });
    expect(processes.isRunning).toBe(false);
  });

  test('reads what is typed, until its input is closed', async () => {
    const { start } = open();
    const process = await start('while read -r line; do echo "got $line"; done; echo over', {
      ...MOMENT,
      momentMs: 0,
    });
    process.write('a\n');
    await until(process, 'got a\n');
    process.write('b\nc\n');
    await until(process, 'got c\n');
    process.closeInput();
    await until(process, 'over\n');
    expect(await ended(process)).toEqual({ type: 'exit', code: 0 });
    expect(() => process.write('d\n')).toThrow('bg_1 has ended');
  });

  test('finds a pipe at its input, which any program can open', async () => {
    const { start } = open();
    const process = await start(
      '[ -p /dev/stdin ] && echo "a pipe: $(head -n 1 /dev/stdin)"; exec sleep 1000',
      {
        ...MOMENT,
        momentMs: 0,
      },
    );
    process.write('read\n');
    await until(process, 'a pipe: read\n');
    await process.stop('kill');
  });

  test('is handed no more than it may leave unread', async () => {
    const { start } = open();
    const process = await start('sleep 1000', { ...MOMENT, momentMs: 0 });
    expect(() => process.write('x'.repeat(MAX_WAITING_INPUT + 1))).toThrow('has not read');
    process.write('x'.repeat(MAX_WAITING_INPUT));
    expect(() => process.write('x'.repeat(MAX_WAITING_INPUT))).toThrow('has not read');
    process.closeInput();
    expect(() => process.write('x')).toThrow('was closed before');
  });

  test('may close its input: what is typed then is lost', async () => {
    const { start } = open();
    const process = await start('exec <&-; echo closed; sleep 1000');
    for (let time = 0; time < 20; time++) process.write('x'.repeat(10_000));
    await process.stop('kill');
    expect(process.end).toEqual({ type: 'stopped', why: 'kill' });
  });

  test('ends with all that it started, also what has left its session', async () => {
    const { start } = open();
    const process = await start(
      'setsid bash -c "trap \'\' TERM; sleep 1000" & (sleep 1000 &) ; echo up; wait',
    );
    expect(process.take().text).toBe('up\n');
    await process.stop('kill');
    expect(pidsIn(place.workspace)).toEqual([]);
  });

  test('is ended after its lifetime', async () => {
    const { start } = open({ lifetimeMs: 300 });
    const process = await start('sleep 1000', { ...MOMENT, momentMs: 0 });
    expect(await ended(process)).toEqual({ type: 'timeout' });
    const quick = await open({ lifetimeMs: 20_000 }).start('sleep 0.05');
    expect(await ended(quick)).toEqual({ type: 'exit', code: 0 });
  });

  test('that cannot be started is none', async () => {
    const { start, processes } = open();
    await expect(start('echo \0')).rejects.toThrow('NUL character');
    expect(processes.open).toEqual([]);
  });
});

/** Resident memory of this process, in MiB. */
function memory(): number {
  const [, kib] = /^VmRSS:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return Number(kib) / 1024;
}

describe('the commands of a session', () => {
  const QUICK = { ...MOMENT, momentMs: 0 };
  beforeEach(() => {
    place = makePlace('local');
    sandbox = create('none');
  });
  afterEach(async () => {
    await sandbox.close();
    expect(pidsIn(place.workspace)).toEqual([]);
    await rm(place.path, { recursive: true, force: true });
  });

  test('are no more than may be: those that run, and those whose end was not told', async () => {
    const { start, processes } = open({ processes: 2 });
    const first = await start('true');
    expect(await ended(first)).toBeDefined();
    await start('sleep 1000', { ...MOMENT, momentMs: 0 });
    await expect(start('true')).rejects.toThrow(
      'There are 2 background commands already (bg_1, bg_2), and a session may have 2.',
    );
    first.isTold = true;
    expect((await start('sleep 1000', { ...MOMENT, momentMs: 0 })).name).toBe('bg_3');
    expect(processes.open.map(({ name }) => name)).toEqual(['bg_2', 'bg_3']);
    expect(() => processes.find('bg_7')).toThrow(
      "There is no background command 'bg_7'; there are bg_2, bg_3.",
    );
    await processes.stop('idle');
    expect(processes.isRunning).toBe(false);
    expect(processes.cutOff.map(({ name }) => name)).toEqual(['bg_2', 'bg_3']);
  });

  test('are those that the store knows: what runs and is none of them ends, what does not run was lost', async () => {
    const { start, processes } = open();
    const [kept, over, taken] = [
      await start('sleep 1000 # kept', QUICK),
      await start('sleep 1000', QUICK),
      await start('sleep 1000', QUICK),
    ];
    const away = { id: '0199-away', number: 7, command: 'npm run dev', isHere: false };
    await processes.know([{ ...kept.known, isHere: true }, { ...taken.known, isHere: false }, away], 9);
    expect(kept.end).toBeUndefined();
    expect([over.end, taken.end]).toEqual([
      { type: 'stopped', why: 'moved' },
      { type: 'stopped', why: 'moved' },
    ]);
    expect(processes.cutOff.map(({ name, end }) => [name, end])).toEqual([
      ['bg_3', { type: 'stopped', why: 'lost' }],
      ['bg_7', { type: 'stopped', why: 'lost' }],
    ]);
    expect((await start('true')).name).toBe('bg_10');
    await processes.stop('task');
  });

  test('leave the newest output of a gigabyte, and this process its memory', {
    timeout: 120_000,
  }, async () => {
    const { start } = open({ bufferBytes: 100_000 });
    const before = memory();
    const process = await start('exec head -c 1000000000 /dev/zero', {
      ...MOMENT,
      momentMs: 0,
    });
    await vi.waitFor(() => expect(process.end).toBeDefined(), { timeout: 100_000, interval: 100 });
    const { text, droppedBytes } = process.take();
    expect(text).toBe('\0'.repeat(100_000));
    expect(droppedBytes).toBe(1_000_000_000 - 100_000);
    expect(memory() - before).toBeLessThan(300);
  });

  test('die with their worker’s lease, and that is how they end', async () => {
    await sandbox.close();
    sandbox = createUnconfinedSandbox({ environment: process.env, leaseMs: 400 });
    const { start } = open();
    const guarded = await start('setsid sleep 1000 & echo up; wait');
    expect(await ended(guarded)).toEqual({ type: 'signal', signal: 'SIGKILL' });
  });
});

describe('the newest text', () => {
  test('is kept up to its limit, to the byte', () => {
    const text = new NewestText(10);
    text.add('0123456789');
    expect(text.take()).toEqual({ text: '0123456789', droppedBytes: 0 });
    text.add('0123456789');
    text.add('a');
    expect([text.tail(3), text.tail(100)]).toEqual(['89a', '123456789a']);
    expect(text.take()).toEqual({ text: '123456789a', droppedBytes: 1 });
    expect(text.isEmpty).toBe(true);
    expect(text.take()).toEqual({ text: '', droppedBytes: 0 });
  });

  test('begins with a whole character', () => {
    const text = new NewestText(4);
    text.add('aé€b');
    expect(text.take()).toEqual({ text: '€b', droppedBytes: 3 });
    text.add('é€b');
    expect(text.take()).toEqual({ text: '€b', droppedBytes: 2 });
    text.add('😀€b');
    expect(text.take()).toEqual({ text: '€b', droppedBytes: 4 });
  });

  test('is the same however it comes', () => {
    const whole = new NewestText(50_000);
    const pieces = new NewestText(50_000);
    const all = Array.from({ length: 30_000 }, (_, index) => `${index}\n`);
    whole.add(all.join(''));
    for (const piece of all) pieces.add(piece);
    expect(pieces.take()).toEqual(whole.take());
  });
});
