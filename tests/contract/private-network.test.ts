/** What `--offline` lets through; it holds for the whole process. */
import http, { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, type LookupFunction } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { EnvHttpProxyAgent, setGlobalDispatcher } from 'undici';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { leaveProxies, stayOffline } from '../../src/cli/offline.ts';
import { createClient } from '../../src/client/client.ts';
import { messageOf } from '../../src/core/errors.ts';
import { isPrivateAddress, stayPrivate } from '../../src/private-network.ts';
import { connect as connectPostgres } from '../../src/store/connect.ts';

let server: Server;
let port: number;
let goOn: () => void;

beforeAll(async () => {
  server = createServer((_, response) => response.end('here')).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  port = (server.address() as AddressInfo).port;
  goOn = stayPrivate();
});
afterAll(() => {
  goOn();
  server.close();
});

/** Documentation's: nobody has it, and a connection to it would wait for long. */
const PUBLIC = '203.0.113.7';

test.each([
  ...['127.0.0.1', '127.9.9.9', '0.0.0.0', '::1', '10.1.2.3', '172.16.0.1', '172.31.255.255', '192.168.1.1'],
  ...['100.64.0.1', '169.254.1.1', 'fe80::1', 'fe80::1%eth0', 'fd12:3456::1', '::ffff:10.0.0.1'],
])('%s is private', (address) => {
  expect(isPrivateAddress(address)).toBe(true);
});

test.each([
  ...['8.8.8.8', PUBLIC, '172.32.0.1', '172.15.255.255', '11.0.0.1', '192.169.0.1', '100.128.0.1'],
  ...['2001:4860:4860::8888', '::ffff:8.8.8.8', '::ffff:808:808', '64:ff9b::808:808', 'example.com', ''],
])('%s is not', (address) => {
  expect(isPrivateAddress(address)).toBe(false);
});

test('this machine is contacted', async () => {
  for (const host of ['127.0.0.1', 'localhost'])
    expect(await (await fetch(`http://${host}:${port}/`)).text()).toBe('here');
});

const failureOf = (socket: ReturnType<typeof connect>): Promise<Error> =>
  new Promise((resolve) => socket.once('error', resolve));

test('a public address is refused before a packet leaves, however it is asked for', async () => {
  const lookup: LookupFunction = (_name, { all }, callback) =>
    all === true
      ? callback(null, [
          { address: PUBLIC, family: 4 },
          { address: '2001:db8::1', family: 6 },
        ])
      : callback(null, PUBLIC, 4);
  const said = [
    await failureOf(connect(443, PUBLIC)),
    await failureOf(connect({ host: 'a.test', port: 443, lookup })),
    await failureOf(connectTls({ host: 'a.test', port: 443, lookup })),
    await fetch(`https://${PUBLIC}/`).catch(({ cause }) => cause),
  ].map(messageOf);
  const rule = 'it has a public address, and offline only loopback and private addresses are contacted';
  expect(said).toEqual([rule, rule, rule, rule]);
});

test('a proxy of this machine is not asked to go out', async () => {
  const proxy = `http://127.0.0.1:${port}`;
  // As Node does it with NODE_USE_ENV_PROXY.
  setGlobalDispatcher(new EnvHttpProxyAgent({ httpProxy: proxy, httpsProxy: proxy, noProxy: '' }));
  http.globalAgent = new http.Agent({ proxyEnv: { http_proxy: proxy } });
  const byFetch = () =>
    fetch(`http://${PUBLIC}/`).then(
      (answer) => answer.text(),
      ({ cause }) => messageOf(cause),
    );
  const byRequest = () =>
    new Promise((resolve) => {
      const asked = http.get(`http://${PUBLIC}/`, (answer) => resolve(answer.resume().statusCode));
      asked.once('error', (error) => resolve(messageOf(error)));
    });
  const tunnels: (string | undefined)[] = [];
  server.once('connect', ({ url }, socket) => {
    tunnels.push(url);
    socket.end('HTTP/1.1 418 Here\r\n\r\n');
  });
  await byFetch();
  expect([tunnels, await byRequest()]).toEqual([[`${PUBLIC}:80`], 200]);
  const back = leaveProxies();
  const rule = expect.stringContaining('it has a public address');
  expect([await byFetch(), await byRequest()]).toEqual([rule, rule]);
  back();
  leaveProxies();
});

test('a server and a Postgres at one are a sentence, and are not tried again', async () => {
  const client = createClient({ url: `https://${PUBLIC}` });
  await expect(client.tasks()).rejects.toMatchObject({
    ...{ code: 'offline', exitCode: 3 },
    message: `The Capybara at https://${PUBLIC} has a public address, and offline only loopback and private addresses are contacted: leave out --offline (CAPYBARA_OFFLINE), or name another server.`,
  });
  await expect(connectPostgres(`postgres://u:hush@${PUBLIC}/d`)).rejects.toMatchObject({
    ...{ code: 'offline', exitCode: 3 },
    message: `The Postgres at ${PUBLIC}:5432 has a public address, and offline only loopback and private addresses are contacted: leave out --offline (CAPYBARA_OFFLINE), or name another in DATABASE_URL.`,
  });
});

test.each([
  `https://me:hush@${PUBLIC}/shared.git`,
  `ssh://git@${PUBLIC}:22/shared.git`,
  `git@${PUBLIC}:shared.git`,
])('snapshots are not shared in %s', async (snapshots) => {
  const refused = await stayOffline({ snapshots }).catch((error: Error) => error);
  expect(refused).toMatchObject({ code: 'offline' });
  expect(messageOf(refused)).toMatch(
    /^CAPYBARA_SNAPSHOTS leads to 203\.0\.113\.7, which has a public address/,
  );
});

test.each(['/srv/shared', 'file:///srv/shared.git', `http://127.0.0.1:1/x.git`, 'git@localhost:x.git'])(
  'snapshots may be shared in %s',
  async (snapshots) => {
    await stayOffline({ snapshots });
  },
);
