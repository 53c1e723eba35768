/** One try to deliver, over real HTTP: what is sent, where it may go, and what an answer becomes. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Reach, systemReach } from '../../src/checked-agent.ts';
import { afterTry, DELIVERY_BACKOFF_MS, MAX_WEBHOOK_URL_LENGTH } from '../../src/core/webhook.ts';
import { MAX_ANSWER_BYTES, MAX_SAID_LENGTH, send } from '../../src/webhooks/send.ts';
import { mintSecret, sayWebhookSecret, signatureHeaders } from '../../src/webhooks/signature.ts';
import { readTarget, type TargetPolicy } from '../../src/webhooks/target.ts';

interface Heard {
  readonly request: IncomingMessage;
  readonly body: string;
}

const secret = mintSecret();
const BODY = JSON.stringify({ type: 'task.succeeded', data: { naïve: '✓' } });
const OPEN: TargetPolicy = { allow: ['127.0.0.1'], online: true };
const CLOSED: TargetPolicy = { allow: [], online: true };

let heard: Heard[] = [];
let answer: (response: ServerResponse, heard: Heard) => unknown = (response) => response.end();
const server = createServer(async (request, response) => {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  const each = { request, body: Buffer.concat(pieces).toString() };
  heard.push(each);
  answer(response, each);
});
const port = () => (server.address() as AddressInfo).port;

beforeAll(() => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)));
afterAll(() => {
  server.closeAllConnections();
  return new Promise<void>((resolve) => server.close(() => resolve()));
});

interface Trying {
  readonly url?: string;
  readonly policy?: TargetPolicy;
  readonly reach?: Reach;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

function tried({ url = `http://127.0.0.1:${port()}/hook`, ...options }: Trying = {}) {
  heard = [];
  const seconds = Math.floor(Date.now() / 1_000);
  return send(
    { id: 'dlv_1', seconds, body: BODY, url, secret },
    {
      policy: OPEN,
      reach: systemReach(),
      timeoutMs: 5_000,
      signal: new AbortController().signal,
      ...options,
    },
  );
}

const answers = (status: number, body = '', headers = {}) => {
  answer = (response) => response.writeHead(status, headers).end(body);
};

describe('what is sent', () => {
  test('is taken by who checks it as Standard Webhooks say, and by nobody who has another secret', async () => {
    answers(204);
    expect(await tried()).toEqual({ status: 204, said: 'Answered 204.' });
    const [{ request, body } = { request: undefined, body: '' }] = heard;
    const headers = request?.headers as Record<string, string>;
    expect([request?.method, request?.url, headers['content-type'], headers['webhook-id']]).toEqual([
      ...['POST', '/hook', 'application/json', 'dlv_1'],
    ]);
    expect(new Webhook(sayWebhookSecret(secret)).verify(body, headers)).toEqual(JSON.parse(BODY));
    expect(() => new Webhook(sayWebhookSecret(mintSecret())).verify(body, headers)).toThrow('signature');
    expect(() => new Webhook(sayWebhookSecret(secret)).verify(`${body} `, headers)).toThrow('signature');
  });

  test('is signed as that package does', () => {
    const sayed = sayWebhookSecret(secret);
    expect(sayed).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    const at = new Date('2026-01-02T03:04:05Z');
    const headers = signatureHeaders({ id: 'dlv_2', seconds: at.getTime() / 1_000, body: BODY }, secret);
    expect(headers['webhook-signature']).toBe(new Webhook(sayed).sign('dlv_2', at, BODY));
  });
});

describe('an answer', () => {
  test.each([
    [500, 'out\u001b[31m of\r\n\tmemory ', {}, 'Answered 500: out [31m of memory'],
    [404, '', {}, 'Answered 404.'],
    [302, 'there', { location: 'http://127.0.0.1/elsewhere' }, 'Answered 302: redirects are not followed.'],
    [200, 'x'.repeat(MAX_SAID_LENGTH), {}, `Answered 200: ${'x'.repeat(MAX_SAID_LENGTH)}`],
    [200, 'x'.repeat(MAX_SAID_LENGTH + 1), {}, `Answered 200: ${'x'.repeat(MAX_SAID_LENGTH)}…`],
  ])('of status %d becomes a short sentence', async (status, body, headers, said) => {
    answers(status, body, headers);
    expect(await tried()).toEqual({ status, said });
    expect(heard).toHaveLength(1);
  });

  test.each([
    ['120', 120_000],
    ['0', 0],
    [new Date(Date.now() + 3_600_000).toUTCString(), 3_600_000],
    ['Wed, 21 Oct 2015 07:28:00 GMT', 0],
    ['-5', undefined],
    ['soon', undefined],
  ])('says by Retry-After %j when to try again', async (text, ms) => {
    answers(503, '', { 'retry-after': text });
    const { retryAfterMs } = (await tried()) as { retryAfterMs?: number };
    // A date is told to the second.
    expect(retryAfterMs === undefined ? undefined : Math.round(retryAfterMs / 5_000) * 5_000).toBe(ms);
  });

  test('is read up to its limit, and stands whatever is behind that', async () => {
    const gone = Promise.withResolvers<void>();
    answer = (response) => {
      response.once('close', () => gone.resolve());
      response.writeHead(500);
      const more = () => {
        while (!response.destroyed && response.write('x'.repeat(MAX_ANSWER_BYTES))) {}
        if (!response.destroyed) response.once('drain', more);
      };
      more();
    };
    expect(await tried()).toMatchObject({ status: 500 });
    await gone.promise;
  });

  test('of which only the beginning came in time stands', async () => {
    answer = (response) => response.writeHead(200).write('half');
    expect(await tried({ timeoutMs: 300 })).toEqual({ status: 200, said: 'Answered 200.' });
  });

  test('that does not come in time is none', async () => {
    answer = () => {};
    expect(await tried({ timeoutMs: 200 })).toEqual({
      status: null,
      said: 'No whole answer within 0.2 seconds.',
    });
  });

  test('that breaks off, or that nobody gives, is none', async () => {
    answer = (response) => response.destroy();
    expect(await tried()).toMatchObject({ status: null, said: 'other side closed' });
    expect(await tried({ url: 'http://127.0.0.1:1/' })).toMatchObject({ status: null });
  });

  test('of a name that is not resolved in time is none; nor is one that was stopped', async () => {
    const never: Reach = { ...systemReach(), resolve: () => new Promise(() => {}) };
    const slow = { url: 'https://slow.example/', reach: never };
    expect(await tried({ ...slow, timeoutMs: 100 })).toMatchObject({ status: null });
    const stop = new AbortController();
    const trying = tried({ ...slow, signal: stop.signal });
    stop.abort();
    expect(await trying).toBeUndefined();
  });
});

describe('a private address is refused', () => {
  const refused = async (url: string, policy = CLOSED, reach = systemReach()) => {
    const sent = await tried({ url, policy, reach });
    expect(heard).toEqual([]);
    expect(sent?.status).toBeNull();
    return sent?.said;
  };

  test.each([
    ['plain', () => `http://127.0.0.1:${port()}/`],
    ['decimal', () => `http://2130706433:${port()}/`],
    ['octal', () => `http://0177.0.0.1:${port()}/`],
    ['hexadecimal', () => `https://0x7f000001:${port()}/`],
    ['short', () => `http://127.1:${port()}/`],
    ['none', () => `http://0:${port()}/`],
    ['IPv6', () => `http://[::1]:${port()}/`],
    ['mapped', () => `http://[::ffff:127.0.0.1]:${port()}/`],
    ['translated', () => `https://[64:ff9b::7f00:1]:${port()}/`],
    ['private', () => 'https://10.1.2.3/'],
    ['of the metadata of a cloud', () => 'https://169.254.169.254/latest'],
    ['of the local link', () => 'https://[fe80::1]/'],
  ])('where it is written %s', async (_, url) => {
    expect(await refused(url())).toContain('webhooks go to public addresses, unless webhooks.allow');
    expect(() => readTarget(url(), CLOSED)).toThrow('webhooks go to public addresses');
  });

  test('where a name leads to it, if only among others', async () => {
    expect(await refused(`http://localhost:${port()}/`)).toContain('localhost belongs to this machine');
    const reach: Reach = { ...systemReach(), resolve: async () => ['93.184.215.14', '127.0.0.1'] };
    expect(await refused(`https://hooks.example:${port()}/`, CLOSED, reach)).toContain('this machine');
    const none: Reach = { ...systemReach(), resolve: () => Promise.reject(new Error('ENOTFOUND')) };
    expect(await refused('https://hooks.example/', CLOSED, none)).toBe(
      'There is no address for hooks.example.',
    );
  });

  test('where a name meant something else before: the address that is connected to is the one that was checked', async () => {
    const meanings = [['93.184.215.14'], ['127.0.0.1']];
    const dialled: string[] = [];
    const reach: Reach = {
      resolve: async () => meanings.shift() ?? [],
      connect: (options, callback) => {
        dialled.push(options.hostname);
        callback(new Error('not today'), null);
      },
    };
    const url = `https://hooks.example:${port()}/`;
    expect(await refused(url, CLOSED, reach)).toBe('not today');
    expect(await refused(url, CLOSED, reach)).toContain('this machine');
    expect(dialled).toEqual(['93.184.215.14']);
  });

  test('where a redirect leads to it', async () => {
    answers(307, '', { location: `http://localhost:${port()}/inside` });
    expect(await tried()).toEqual({ status: 307, said: 'Answered 307: redirects are not followed.' });
    expect(heard.map(({ request }) => request.url)).toEqual(['/hook']);
  });

  test.each([
    ['127.0.0.0/8', 'http://127.0.0.1', true],
    ['127.0.0.0/8', 'http://[::ffff:127.0.0.1]', false],
    ['LOCALHOST', 'http://localhost.', true],
    ['localhost', 'http://127.0.0.1', false],
    ['127.0.0.1', 'http://localhost', true],
    ['10.0.0.0/8', 'http://127.0.0.1', false],
  ])('unless what is allowed names it: %s and %s', async (entry, base, isAllowed) => {
    answers(204);
    const reach: Reach = { ...systemReach(), resolve: async () => ['127.0.0.1'] };
    const sent = await tried({ url: `${base}:${port()}/`, policy: { allow: [entry], online: true }, reach });
    expect(sent?.status).toBe(isAllowed ? 204 : null);
  });
});

test('a public address is sent to with encryption, and not by a Capybara that is offline', async () => {
  const reach: Reach = { ...systemReach(), resolve: async () => ['93.184.215.14'] };
  const url = 'http://hooks.example/';
  expect(await tried({ url, policy: CLOSED, reach })).toMatchObject({
    said: expect.stringContaining('without encryption: use https'),
  });
  for (const allow of [[], ['hooks.example']])
    expect(
      await tried({ url: 'https://hooks.example/', policy: { allow, online: false }, reach }),
    ).toMatchObject({
      said: expect.stringContaining('This Capybara is offline: it sends only to private addresses'),
    });
});

test.each([
  ['ftp://hooks.example/', 'expected https://host/path'],
  ['hooks.example', 'expected https://host/path'],
  ['https://ana:pw@hooks.example/', 'holds a user name or a password'],
  [`https://h/${'x'.repeat(MAX_WEBHOOK_URL_LENGTH - 9)}`, `expected at most ${MAX_WEBHOOK_URL_LENGTH}`],
  [`https://h.example/${'é'.repeat(1000)}`, 'The URL has 6018 characters as it is sent'],
  ['https://h.example:0/', 'Nothing listens at port 0'],
  ['https://h..example/', '"h..example" is no name of a host'],
  ['https://.h.example/', 'is no name of a host'],
  ['https://h.example../', 'is no name of a host'],
  [`https://${'x'.repeat(64)}.example/`, 'labels of 1 to 63 characters'],
  [`https://${'x.'.repeat(127)}xx/`, '253 in all'],
])('%.40s is no target', (url, why) => {
  expect(() => readTarget(url, OPEN)).toThrow(why);
});

const OFFLINE = 'This Capybara is offline';

test.each([
  ['http://hooks.example/', [], 'hooks.example would be sent to without encryption: use https'],
  ['http://hooks.example/', ['other.example'], 'without encryption'],
  ['http://hooks.example/', ['HOOKS.example'], undefined],
  // It may have an address in there.
  ['http://hooks.example/', ['10.0.0.0/8'], undefined],
  ['https://hooks.example/', [], undefined],
  ['https://localhost/', [], 'localhost belongs to this machine'],
  ['https://tools.LOCALHOST./', ['10.0.0.0/8', 'other.example'], 'belongs to this machine'],
  ['http://localhost/', ['localhost'], undefined],
  ['http://localhost/', ['127.0.0.1'], undefined],
  ['http://localhost/', ['::1'], undefined],
  ['https://notlocalhost/', [], undefined],
])('%s, where %j is allowed, is refused before it is resolved where that is certain', (url, allow, why) => {
  const read = () => readTarget(url, { allow, online: true }).href;
  if (why === undefined) expect(read()).toBe(url);
  else expect(read).toThrow(why);
});

test('a Capybara that is offline has no target but what may be private', () => {
  const read = (url: string, allow: string[]) => () => readTarget(url, { allow, online: false });
  expect(read('https://hooks.example/', [])).toThrow(OFFLINE);
  expect(read('https://hooks.example/', ['other.example'])).toThrow(OFFLINE);
  for (const allow of ['hooks.example', '10.0.0.0/8'])
    expect(read('https://hooks.example/', [allow])).not.toThrow();
});

test('a target is the longest that may be, without its fragment', () => {
  const longest = `https://h.example/${'x'.repeat(MAX_WEBHOOK_URL_LENGTH - 18)}`;
  expect(readTarget(longest, CLOSED).href).toBe(longest);
  expect(readTarget(`${longest}#b`, CLOSED).href).toBe(longest);
  const hosts = [`${'x'.repeat(63)}.example.`, `${'x.'.repeat(126)}x`, 'bücher.example', 'a_b.example'];
  for (const host of hosts) expect(readTarget(`https://${host}/`, CLOSED).protocol).toBe('https:');
});

test('a try is delivered, repeated after its pause, or the last', () => {
  expect([200, 204, 299].map((status) => afterTry({ status }, 1).kind)).toEqual(Array(3).fill('delivered'));
  for (const status of [null, 199, 300, 404, 500])
    expect(afterTry({ status }, 1)).toEqual({ kind: 'retry', ms: 5_000 });
  const last = DELIVERY_BACKOFF_MS.length;
  expect(afterTry({ status: 500 }, last)).toEqual({ kind: 'retry', ms: 12 * 3_600_000 });
  expect(afterTry({ status: 500 }, last + 1)).toEqual({ kind: 'failed', gone: false });
  const asked = (retryAfterMs: number, tries = 1) => afterTry({ status: 503, retryAfterMs }, tries);
  expect([asked(1), asked(60_000), asked(10 ** 12)]).toEqual(
    [5_000, 60_000, 12 * 3_600_000].map((ms) => ({ kind: 'retry', ms })),
  );
  expect(asked(1, last + 1)).toEqual({ kind: 'failed', gone: false });
  expect(afterTry({ status: 410 }, 1)).toEqual({ kind: 'failed', gone: true });
  const hours = DELIVERY_BACKOFF_MS.reduce((sum, ms) => sum + ms, 0) / 3_600_000;
  expect(hours).toBeGreaterThan(22);
  expect(hours).toBeLessThan(24);
});
