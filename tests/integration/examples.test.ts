/** Each program under `examples`, as a process of its own against one API and worker: what they say they do. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Webhook } from 'standardwebhooks';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { type Receiver, startReceiver } from '../support/receiver.ts';
import { call, hang, say } from '../support/scripted-model/scripted-model.ts';
import { openShop, SHOP_TIMEOUT_MS, type Shop, write } from './session-harness.ts';

const EXAMPLES = join(import.meta.dirname, '..', '..', 'examples');
/** `capybara/client` as it stands in `src`: nothing has to be built. */
const NODE = [process.execPath, '--conditions=capybara-source'];
const GREETING = ['diff --git a/greeting.txt b/greeting.txt', '+hello'];

interface Program {
  readonly child: ChildProcess;
  readonly out: string[];
  readonly err: string[];
  ended(): Promise<number | null>;
}

let it: Shop;
let place: string;
let programs: Program[];

beforeAll(async () => {
  it = await openShop({ deliveries: { allow: ['127.0.0.1'], online: true } });
}, SHOP_TIMEOUT_MS);
afterAll(() => it.close());
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'capybara-examples-'));
  programs = [];
});
afterEach(async () => {
  for (const { child } of programs) child.kill('SIGKILL');
  await Promise.all(programs.map((each) => each.ended()));
  rmSync(place, { recursive: true, force: true });
});

function start(name: string, args: readonly string[], env: Record<string, string> = {}): Program {
  const runner = name.endsWith('.sh') ? ['bash'] : NODE;
  const [command = '', ...before] = [...runner, name === 'page.sh' ? name : join(EXAMPLES, name)];
  const child = spawn(command, [...before, ...args], {
    cwd: place,
    env: { ...process.env, CAPYBARA_URL: it.url, CAPYBARA_API_KEY: it.me.apiKey, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const closed = once(child, 'close');
  const out: string[] = [];
  const err: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => out.push(line));
  createInterface({ input: child.stderr }).on('line', (line) => err.push(line));
  const program = { child, out, err, ended: async () => (await closed)[0] as number | null };
  programs.push(program);
  return program;
}

/** Where one listens that was given port 0. */
async function addressOf({ err }: Program): Promise<string> {
  await expect.poll(() => err.join('\n')).toContain('Listening on');
  return `http://127.0.0.1:${/"port":(\d+)/.exec(err.join())?.[1]}`;
}

/** A way to the API that can be cut. */
async function startWay() {
  const open = new Set<Socket>();
  const { hostname, port } = new URL(it.url);
  const server = createServer((near) => {
    const far = connect(Number(port), hostname);
    for (const each of [near, far]) {
      open.add(each.on('error', () => undefined));
      each.on('close', () => open.delete(each));
    }
    near.pipe(far).pipe(near);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const cut = () => {
    for (const each of open) each.destroy();
  };
  const close = () => {
    server.close();
    cut();
  };
  return { url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`, cut, close };
}

const hasTools = ['curl', 'jq', 'openssl'].every((tool) => spawnSync('which', [tool]).status === 0);

test.skipIf(!hasTools)('submit.sh waits for the end, prints the answer and keeps the patch', async () => {
  it.script('Greet by script.', [write('greeting.txt', 'hello\n'), say('Greeted.')]);
  const again = { IDEMPOTENCY_KEY: 'greet-by-script' };
  const first = start('submit.sh', ['Greet by script.'], again);
  expect([await first.ended(), first.out, first.err.at(-1)]).toEqual([
    ...[0, ['Greeted.']],
    expect.stringMatching(/^20\S+ task\.succeeded$/),
  ]);
  const patch = readFileSync(join(place, 'changes.patch'), 'utf8').split('\n');
  expect(patch).toEqual(expect.arrayContaining(GREETING));
  const second = start('submit.sh', ['Greet by script.'], again);
  expect([await second.ended(), second.err[0]]).toEqual([0, first.err[0]]);
});

test.skipIf(!hasTools)(
  'what docs/api.md does with curl works, from the first block to the last',
  async () => {
    it.script('Mend the failing test.', [
      call('bash', { command: 'echo mended > test.txt' }),
      say('Mended.'),
    ]);
    const page = readFileSync(join(EXAMPLES, '..', 'docs', 'api.md'), 'utf8');
    const blocks = [...page.matchAll(/^```bash\n(.*?)^```$/gms)].map(([, block]) => block);
    writeFileSync(join(place, 'page.sh'), ['set -eu', ...blocks].join('\n'));
    const { ended, out, err } = start('page.sh', [], { TMPDIR: place });
    expect([await ended(), err]).toEqual([0, ['curl: (22) The requested URL returned error: 400']]);
    const text = out.join('\n');
    expect(text).toContain('"code": "invalid_request",\n  "field": "limits.turns"');
    expect(text).toContain('"text": "Mended."');
    expect(out).toEqual(expect.arrayContaining(['?? test.txt', 'paused', 'allowed', 'whsec_']));
    const signed = new Webhook('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw').sign(
      'msg_p5jXN8AQM9LWM0D4loKWxJek',
      new Date(1_614_265_330_000),
      '{"test": 2432232314}',
    );
    expect(text).toContain(signed.replace('v1,', ''));
  },
);

test('submit.ts shows the words as they come, and prints the patch', async () => {
  // Live words of an answer that is over before anybody listens come to nobody.
  const heard = Promise.withResolvers<void>();
  const answer = [say('I greet.\n'), hang(heard.promise), say('Greeted.')];
  it.script('Greet by program.', [write('greeting.txt', 'hello\n'), answer]);
  const refused = start('submit.ts', [' ']);
  const { ended, out, err } = start('submit.ts', ['Greet by program.']);
  await vi.waitFor(() => expect(err).toContain('I greet.'), 20_000);
  heard.resolve();
  expect([await ended(), err.slice(-2)]).toEqual([0, ['succeeded: I greet.', 'Greeted.']]);
  expect(out).toEqual(expect.arrayContaining(GREETING));
  expect([await refused.ended(), refused.err]).toEqual([
    2,
    [expect.stringMatching(/^empty_prompt \(prompt\): /)],
  ]);
});

test('watch.ts prints each event once, over broken connections and its own restarts', async () => {
  const way = await startWay();
  const { sessionId } = await it.run('Watched.', [say('One.')]);
  const env = { CAPYBARA_URL: way.url };
  const first = start('watch.ts', [sessionId, 'seen.txt'], env);
  await expect.poll(() => ends(first)).toBe(1);
  way.cut();
  await expect.poll(() => first.err).toEqual([expect.stringMatching(/^Reconnecting: /)]);
  await it.run('Watched again.', [say('Two.')], { sessionId });
  await expect.poll(() => ends(first)).toBe(2);
  first.child.kill('SIGTERM');
  expect(await first.ended()).toBe(0);
  await it.run('Watched later.', [say('Three.')], { sessionId });
  const second = start('watch.ts', [sessionId, 'seen.txt'], env);
  await expect.poll(() => ends(second)).toBe(1);
  const seqs = [...first.out, ...second.out].map((line) => JSON.parse(line).seq);
  expect(seqs).toEqual(seqs.map((_, index) => index + 1));
  way.close();
});

const ends = ({ out }: Program) => out.filter((line) => line.includes('"task.succeeded"')).length;

test('webhook-receiver.ts takes what Capybara signed, once', async () => {
  // Its secret is told before it is known where the receiver will be.
  const body = { url: 'http://127.0.0.1:9/', events: ['task.succeeded'] };
  const { json: made } = await it.ask('POST', '/v1/webhooks', { body });
  const receiver = start('webhook-receiver.ts', [], { WEBHOOK_SECRET: made.secret, PORT: '0' });
  const url = await addressOf(receiver);
  await it.ask('PATCH', `/v1/webhooks/${made.id}`, { body: { url } });

  const { id } = await it.run('Tell it.', [say('Told.')]);
  await expect.poll(() => receiver.out).toEqual([expect.stringMatching(RegExp(`task\\.succeeded ${id}$`))]);
  const delivery = () => it.ask('GET', `/v1/webhooks/${made.id}/deliveries`).then(({ json }) => json.data[0]);
  await expect.poll(delivery).toMatchObject({ status: 'delivered', lastStatus: 204 });
  const { id: deliveryId, lastTryAt } = await delivery();
  await it.ask('POST', `/v1/deliveries/${deliveryId}/replay`);
  const again = async () => (await delivery()).lastTryAt !== lastTryAt && (await delivery()).status;
  await expect.poll(again).toBe('delivered');
  const forged = await fetch(url, {
    method: 'POST',
    body: '{"type":"task.succeeded","timestamp":"","data":{}}',
    headers: {
      'webhook-id': 'dlv_1',
      'webhook-timestamp': `${Math.floor(Date.now() / 1000)}`,
      'webhook-signature': 'v1,bm8=',
    },
  });
  expect([forged.status, receiver.out.length]).toEqual([401, 1]);
  await it.ask('DELETE', `/v1/webhooks/${made.id}`);
});

test('bot.ts has a session for a channel, asks there what is asked, and survives', async () => {
  const chat: Receiver = await startReceiver();
  const said = () => chat.received.map(({ json }) => json);
  const env = { REPLY_URL: chat.url, PORT: '0' };
  const tell = async (bot: Program, id: string, text: string) => {
    const body = JSON.stringify({ id, channel: 'general', text });
    return (await fetch(await addressOf(bot), { method: 'POST', body })).status;
  };
  it.script('Make a file.', [call('bash', { command: 'echo hi > file.txt' }), say('Made.')]);
  const first = start('bot.ts', [], env);
  expect(await tell(first, '1', 'yes')).toBe(202);
  // Twice: a chat that had no answer sends it again.
  expect([await tell(first, '2', 'Make a file.'), await tell(first, '2', 'Make a file.')]).toEqual([
    202, 202,
  ]);
  await chat.hears(2);
  first.child.kill('SIGKILL');
  await first.ended();

  const second = start('bot.ts', [], env);
  expect(await tell(second, '3', 'yes')).toBe(202);
  await expect.poll(() => said().at(-1)).toEqual({ channel: 'general', text: 'Made.' });
  it.script('Now what?', [say('That.')]);
  expect(await tell(second, '4', 'Now what?')).toBe(202);
  await expect.poll(() => said().at(-1)).toEqual({ channel: 'general', text: 'That.' });
  expect(said()[0]).toEqual({ channel: 'general', text: 'Nothing is asked here now.' });
  expect(said()[1].text).toMatch(/^May I\? bash \{"command":"echo hi > file\.txt"\}\nAnswer yes/);
  const { sessionId } = Object(JSON.parse(readFileSync(join(place, 'bot.json'), 'utf8'))).general;
  const { json: tasks } = await it.ask('GET', `/v1/tasks?sessionId=${sessionId}`);
  expect(tasks.data.map(({ prompt }: { prompt: string }) => prompt)).toEqual(['Now what?', 'Make a file.']);
  second.child.kill('SIGTERM');
  expect(await second.ended()).toBe(0);
  await chat.close();
});
