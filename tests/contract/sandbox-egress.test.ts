/** What a confined command reaches that may reach some hosts, and what it does not. */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseEgressHost } from '../../src/core/egress.ts';
import { createBubblewrapSandbox } from '../../src/sandbox/bubblewrap.ts';
import { createRuntimeSandbox } from '../../src/sandbox/runtime.ts';
import type { CommandResult, LeasedSandbox } from '../../src/sandbox/sandbox.ts';
import type { Profile } from '../../src/sandbox/view.ts';
import { bubblewrap, makePlace, type SandboxPlace } from '../support/bubblewrap.ts';
import { docker, openDocker } from '../support/docker.ts';
import { runtime } from '../support/runtime.ts';

let place: SandboxPlace;
let sandbox: LeasedSandbox;
let server: Server;
let port: number;
let requests: string[];

beforeAll(async () => {
  server = createServer((request, response) => {
    requests.push(`${request.method} ${request.headers.host} ${request.url}`);
    const body: Buffer[] = [];
    request.on('data', (chunk: Buffer) => body.push(chunk));
    request.on('end', () => response.end(`${Buffer.concat(body).length} bytes came\n`));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  port = (server.address() as AddressInfo).port;
});
afterAll(() => void server.close());

/** A request by hand: whatever a command has, it has bash. */
const say = (to: string, text: string) =>
  `exec 3<>/dev/tcp/${to}; printf '${text}' >&3; timeout 5 cat <&3 | head -c 2000`;
const get = (url: string) =>
  say('127.0.0.1/3128', `GET ${url} HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n`);
const tunnel = (to: string) =>
  say(
    '127.0.0.1/3128',
    `CONNECT ${to} HTTP/1.1\\r\\nHost: ${to}\\r\\n\\r\\nGET /through HTTP/1.1\\r\\nHost: inner\\r\\nConnection: close\\r\\n\\r\\n`,
  );

function run(
  script: string,
  hosts: readonly string[],
  more: { signal?: AbortSignal } = {},
): Promise<CommandResult> {
  const { workspace, scratch } = place;
  const egress = hosts.map((text) => parseEgressHost(text) ?? expect.unreachable());
  const places = { cwd: workspace, writable: [workspace], scratch, egress };
  return sandbox.run({ script, ...places, timeoutMs: 20_000 }, more.signal ?? new AbortController().signal);
}

const leftovers = () => readdirSync(tmpdir()).filter((name) => /^capybara-(egress|runtime)-/.test(name));

type By = 'bubblewrap' | 'runtime' | 'docker';

const kinds: readonly { readonly by: By; readonly profile: Profile }[] = [
  ...(bubblewrap === undefined ? [] : (['bubblewrap'] as const)),
  ...(runtime === undefined ? [] : (['runtime'] as const)),
]
  .flatMap((by): { by: By; profile: Profile }[] =>
    (['strict', 'local'] as const).map((profile) => ({ by, profile })),
  )
  .concat(docker === undefined ? [] : [{ by: 'docker', profile: 'strict' }]);

function open(by: By, profile: Profile): LeasedSandbox {
  const shared = { environment: process.env, profile };
  if (by === 'docker') return openDocker({ directory: join(place.path, 'docker') });
  return by === 'runtime'
    ? createRuntimeSandbox({ ...shared, programs: runtime ?? { rg: '' } })
    : createBubblewrapSandbox({ ...shared, program: bubblewrap ?? '' });
}

describe.each(kinds)('in a $profile sandbox by $by', ({ by, profile }) => {
  let before: string[];
  beforeEach(() => {
    before = leftovers();
    requests = [];
    place = makePlace(by === 'runtime' ? 'local' : profile);
    sandbox = open(by, profile);
  });
  afterEach(async () => {
    await sandbox.close();
    rmSync(place.path, { recursive: true, force: true });
    expect(leftovers().filter((name) => !before.includes(name))).toEqual([]);
  });

  it('a command reaches an allowed host by URL and by tunnel', async () => {
    const hosts = [`private:127.0.0.1:${port}`];
    expect((await run(get(`http://127.0.0.1:${port}/plain?q=1`), hosts)).output).toMatch(
      /^HTTP\/1\.1 200 OK\r\n(.*\r\n)+\r\n.*0 bytes came\n/s,
    );
    expect((await run(tunnel(`127.0.0.1:${port}`), hosts)).output).toMatch(
      /^HTTP\/1\.1 200 Connection established\r\n\r\nHTTP\/1\.1 200 OK\r\n/,
    );
    expect(requests).toEqual([`GET 127.0.0.1:${port} /plain?q=1`, 'GET inner /through']);
  });

  it('no other host, port, or private address', async () => {
    const others = createTcpServer(() => requests.push('somebody came'));
    await new Promise<void>((resolve) => others.listen(0, '127.0.0.1', resolve));
    const other = (others.address() as AddressInfo).port;
    try {
      const hosts = [`private:127.0.0.1:${port}`, `localhost:${other}`, 'example.com'];
      expect((await run(get(`http://127.0.0.1:${other}/`), hosts)).output).toContain(
        `Commands here may not reach 127.0.0.1 at port ${other}; they may reach: private:127.0.0.1:${port}, localhost:${other}, example.com.`,
      );
      expect((await run(tunnel(`localhost:${other}`), hosts)).output).toMatch(
        /^HTTP\/1\.1 403 Forbidden\r\n(.*\r\n)+\r\nlocalhost leads to (127\.0\.0\.1|::1), which belongs to /,
      );
      for (const to of [
        '169.254.169.254:80',
        '[::1]:80',
        '0x7f000001:80',
        '2130706433:80',
        'example.com@127.0.0.1:80',
      ]) {
        expect((await run(tunnel(to), hosts)).output).toMatch(/^HTTP\/1\.1 (403|400) /);
      }
      const direct = await run(`(${say(`127.0.0.1/${port}`, 'GET / HTTP/1.0\\r\\n\\r\\n')}) 2>&1`, hosts);
      expect(direct.output).toContain('Connection refused');
      expect(requests).toEqual([]);
    } finally {
      others.close();
    }
  });

  it('what speaks no HTTP to the proxy is told so, and the next request still served', async () => {
    const hosts = [`private:127.0.0.1:${port}`];
    const { output } = await run(
      [say('127.0.0.1/3128', 'nonsense\\r\\n\\r\\n'), get('/path'), get(`http://127.0.0.1:${port}/`)]
        .map((script) => `(${script})`)
        .join('; '),
      hosts,
    );
    expect(output).toMatch(/400 Bad Request.*400 Bad Request.*This is a proxy.*200 OK.*bytes came/s);
  });

  it('the end of a command is its own: its code, its signal, its output, its time', async () => {
    const hosts = ['example.com'];
    expect(await run('echo out; echo err >&2; exit 7', hosts)).toMatchObject({
      end: { type: 'exit', code: 7 },
      output: 'out\nerr\n',
    });
    expect((await run('kill -KILL $$', hosts)).end).toEqual({ type: 'exit', code: 137 });
    const stop = new AbortController();
    const script = 'trap "echo tidied > tidied; exit" TERM; echo ready; while :; do sleep 0.05; done';
    const { workspace, scratch } = place;
    const result = await sandbox.run(
      {
        ...{ script, cwd: workspace, writable: [workspace], scratch, timeoutMs: 20_000 },
        egress: [parseEgressHost('example.com') ?? expect.unreachable()],
        onOutput: () => stop.abort(),
      },
      stop.signal,
    );
    expect(result.end).toEqual({ type: 'aborted' });
    expect(existsSync(`${workspace}/tidied`)).toBe(true);
  });

  it('the proxies stand in its environment, and without hosts there are none', async () => {
    const { output } = await run('echo "$https_proxy $HTTP_PROXY $NO_PROXY"', ['example.com']);
    expect(output).toBe('http://127.0.0.1:3128 http://127.0.0.1:3128 localhost,127.0.0.1,::1\n');
    const without = await run(
      `echo "[$https_proxy]"; ls -A /tmp/.capybara-egress 2>/dev/null; (${get('http://x/')}) 2>&1`,
      [],
    );
    expect(without.output).toMatch(/^\[\]\n.*Connection refused/s);
  });
});
