/** `capybara/client` as a program of somebody else has it: compiled against its types, and run beside nothing of the server. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { newId } from '../../src/clock.ts';
import { parkTurn, settleTurn } from '../../src/store/turns.ts';
import { ROOT_NAME } from '../../src/workspace/history.ts';
import { aCall, HandWorker, startTestApi, type TestApi, uuid } from './api-harness.ts';

const WAIT_MS = 30_000;
const ROOT = join(import.meta.dirname, '..', '..');

const PROGRAM = `
import { createClient, isTransient, ProblemError, type Task } from 'capybara/client';

const client = createClient({ url: process.env.URL ?? '', apiKey: process.env.KEY });
const task: Task = await client.createTask({ prompt: 'greet', workspace: { kind: 'empty' } });
console.log(task.sessionId);
for await (const frame of client.events(task.sessionId, { signal: AbortSignal.timeout(60_000) })) {
  if (frame.kind !== 'event') continue;
  console.log(frame.event.type);
  if (frame.event.type === 'approval.requested') {
    const { data: [asked] } = await client.approvals();
    if (asked) console.log((await client.resolveApproval(asked.id, { decision: 'allow' })).status);
  }
  if (frame.event.type === 'task.succeeded') break;
}
const { result } = await client.task(task.id);
console.log(result?.text);
process.stdout.write(await client.diff(task.sessionId));
try {
  await client.raiseLimits(task.id, { turns: 0 });
} catch (error) {
  if (!(error instanceof ProblemError)) throw error;
  console.log(error.status, error.code, error.field, isTransient(error), error.detail === error.message);
}
// @ts-expect-error: a prompt is text
await client.createTask({ prompt: 1 }).catch((error: Error) => console.log(error.message));
`;

let it: TestApi;
let directory: string;

beforeAll(async () => {
  it = await startTestApi();
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'capybara-client-')));
  const modules = join(directory, 'node_modules');
  const dist = join(modules, 'capybara', 'dist');
  mkdirSync(dist, { recursive: true });
  copyFileSync(join(ROOT, 'package.json'), join(modules, 'capybara', 'package.json'));
  // With `tsconfig.client.json` alone: what is not there cannot be loaded.
  tsc(ROOT, '-p', 'tsconfig.client.json', '--emitDeclarationOnly', 'false', '--outDir', dist);
  for (const name of ['zod', '@types/node']) {
    mkdirSync(dirname(join(modules, name)), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules', name), join(modules, name));
  }
  const compilerOptions = { module: 'nodenext', target: 'esnext', strict: true, types: ['node'] };
  writeFileSync(join(directory, 'tsconfig.json'), JSON.stringify({ compilerOptions }));
  writeFileSync(join(directory, 'package.json'), '{ "type": "module" }');
  writeFileSync(join(directory, 'program.ts'), PROGRAM);
});
afterAll(async () => {
  rmSync(directory, { recursive: true });
  await it.close();
});

function tsc(cwd: string, ...args: string[]): void {
  const program = join(ROOT, 'node_modules', '.bin', 'tsc');
  execFileSync(program, args, { cwd, encoding: 'utf8' });
}

/** A worker by hand: asks a person, records a file, and finishes. */
async function work(sessionId: string): Promise<void> {
  const worker = await new HandWorker(it.db).register();
  const held = await worker.claim(sessionId);
  const tool = { type: 'tool' as const, callId: 'a', name: 'bash', arguments: '{}' };
  const call = aCall({ callId: 'a', status: 'awaiting_approval', approvalId: newId() });
  await worker.answer(held, { parts: [tool], calls: [call] });
  const { outcome } = await parkTurn(it.db, held, []);
  // The program allows it, maybe before the turn could park.
  const again = outcome === 'parked' ? await vi.waitFor(() => worker.claim(sessionId), WAIT_MS) : held;
  const place = join(directory, 'files');
  mkdirSync(place);
  writeFileSync(join(place, 'greeting.txt'), 'hello\n');
  const root = { name: ROOT_NAME, path: place, writable: true };
  const { id: head } = await it.deps.snapshots.of(sessionId).take({ roots: [root] });
  await it.db.sql`UPDATE workspace w SET head = ${head} FROM session s
                   WHERE s.workspace_id = w.id AND s.id = ${sessionId}`;
  const results = [{ id: call.id, status: 'succeeded' as const, parts: [], durationMs: 1 }];
  await settleTurn(it.db, again, { results, end: { kind: 'continue' }, nextTurnId: newId() });
  await worker.finish(sessionId);
}

test('submits, follows, answers, and fetches what changed', async () => {
  tsc(directory);
  const sources = globSync('**/*.js', { cwd: join(directory, 'node_modules', 'capybara', 'dist') });
  expect(sources.filter((path) => !/^(client|core)\/|^api\/wire[\w-]*\.js$/.test(path))).toEqual([]);
  const env = { PATH: process.env.PATH, URL: it.url, KEY: it.me.apiKey };
  const child = spawn(process.execPath, ['program.js'], {
    cwd: directory,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines: string[] = [];
  const output = createInterface({ input: child.stdout });
  output.on('line', (line) => lines.push(line));
  const exited = once(child, 'exit');
  await expect.poll(() => lines.length).toBeGreaterThan(0);
  await work(uuid('session', lines[0] ?? ''));
  expect(await exited).toEqual([0, null]);
  expect(lines[lines.indexOf('approval.requested') + 1]).toBe('allowed');
  expect(lines.slice(lines.indexOf('task.succeeded'))).toEqual([
    'task.succeeded',
    'All done.',
    ...['diff --git a/greeting.txt b/greeting.txt', 'new file mode 100644', expect.stringMatching(/^index /)],
    ...['--- /dev/null', '+++ b/greeting.txt', '@@ -0,0 +1 @@', '+hello'],
    '400 invalid_request limits.turns false true',
    'The request body cannot be used at prompt: expected string, received number.',
  ]);
});
