import { createPublicKey } from 'node:crypto';
import { once } from 'node:events';
import { unlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { json } from 'node:stream/consumers';
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { OciOptions } from '../../src/model/connection.ts';
import { createOciModel } from '../../src/model/oci.ts';
import { ociSdk } from '../../src/model/oci-sdk.ts';
import { ownPublicKey, PROFILE, pem, profileAt, serveOci, stream, TENANCY } from '../support/oci-server.ts';
import { answerOf, collect, failureOf } from './model-harness.ts';

/** From before the library is loaded: what is held back never comes here. */
const said = vi.spyOn(console, 'log');
afterEach(() => vi.unstubAllEnvs());

const DONE = [{ message: { content: [{ type: 'TEXT', text: 'ok' }] } }, { finishReason: 'stop' }];

async function signIn(oci: OciOptions, publicKey = ownPublicKey) {
  const server = await serveOci((response) => stream(response, DONE), publicKey);
  const model = createOciModel({ provider: 'oracle', model: 'grok', baseUrl: server.url, oci });
  return { server, events: await collect(model), again: () => collect(model) };
}

function tokenThat(claims: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'RS256' })}.${part(claims)}.proof`;
}

const inAnHour = () => Math.round(Date.now() / 1000) + 3600;

describe('with a profile’s API key', () => {
  test('the key’s name is made of the profile, whose tenancy is the compartment where none is set', async () => {
    const { server, events } = await signIn({ ociConfig: await profileAt() });
    answerOf(events);
    expect(server.requests[0]).toMatchObject({ keyId: `${TENANCY}/ocid1.user.oc1..u/aa:bb` });
    expect(server.requests[0]?.body.compartmentId).toBe(TENANCY);
  });

  test('a passphrase opens the key, and another profile has what the default does not say otherwise', async () => {
    const config = `${PROFILE}\n# Ours\n[TEAM]\nuser=ocid1.user.oc1..v\npass_phrase=opens\nkey_file=locked.pem\n`;
    const ociConfig = await profileAt(config, { 'locked.pem': pem('opens') });
    const { server, events } = await signIn({ ociConfig, ociProfile: 'TEAM' });
    answerOf(events);
    expect(server.requests[0]?.keyId).toBe(`${TENANCY}/ocid1.user.oc1..v/aa:bb`);
  });

  test('a profile that is replaced counts from the next request on', async () => {
    const ociConfig = await profileAt();
    const { server, again } = await signIn({ ociConfig });
    await writeFile(ociConfig, PROFILE.replace('aa:bb', 'cc:dd'));
    answerOf(await again());
    expect(server.requests.map(({ keyId }) => keyId?.slice(-5))).toEqual(['aa:bb', 'cc:dd']);
  });

  test.each([
    [
      'no such profile',
      PROFILE,
      {},
      { ociProfile: 'NONE' },
      /profile NONE in .* does not exist; set ociProfile/,
    ],
    [
      'a line that is none',
      `${PROFILE}pass_phrase my-secret\n`,
      {},
      {},
      /has a line that is neither .*; mend it/,
    ],
    ['no user', PROFILE.replace(/user=.*\n/, ''), {}, {}, /has no user; add it/],
    ['no tenancy', PROFILE.replace(/tenancy=.*\n/, ''), {}, {}, /has no tenancy; add it/],
    [
      'no key',
      PROFILE.replace('key.pem', 'none.pem'),
      {},
      {},
      /none.pem, cannot be read \(ENOENT\); correct key_file/,
    ],
    [
      'a locked key',
      PROFILE,
      { 'key.pem': pem('my-secret') },
      {},
      /key.pem wants a passphrase; add pass_phrase/,
    ],
    [
      'a key that stays shut',
      `${PROFILE}pass_phrase=my-secret\n`,
      { 'key.pem': pem('x') },
      {},
      /does not open with pass_phrase/,
    ],
    ['no PEM', PROFILE, { 'key.pem': 'my-secret' }, {}, /key.pem is no PEM that can be read; make it anew/],
  ] as const)('%s is told, and what to do, without a secret', async (_, config, files, more, message) => {
    const { server, events } = await signIn({ ociConfig: await profileAt(config, files), ...more });
    const failure = failureOf(events);
    expect(failure).toMatchObject({ kind: 'terminal', code: 'provider_auth', mayHaveCost: false });
    expect(failure.message).toMatch(message);
    expect(failure.message).not.toContain('my-secret');
    expect(server.requests).toEqual([]);
  });

  test('a file of profiles that is not there is told with its path', async () => {
    const ociConfig = await profileAt();
    await unlink(ociConfig);
    const { message } = failureOf((await signIn({ ociConfig })).events);
    expect(message).toContain(`${ociConfig}, cannot be read (ENOENT); make it with \`oci setup config\``);
  });
});

describe('with a security token', () => {
  const SESSION = `${PROFILE.replace(/user=.*\n/, '')}security_token_file=token\n`;

  test('the token names the key, and one that was refreshed is read anew', async () => {
    const first = tokenThat({ exp: inAnHour(), jti: 1 });
    const second = tokenThat({ exp: inAnHour(), jti: 2 });
    const ociConfig = await profileAt(SESSION, { token: `${first}\n` });
    const { server, again } = await signIn({ ociConfig });
    await writeFile(join(dirname(ociConfig), 'token'), second);
    answerOf(await again());
    expect(server.requests.map(({ keyId }) => keyId)).toEqual([`ST$${first}`, `ST$${second}`]);
  });

  test('a session that has ended is told before anything is sent', async () => {
    const token = tokenThat({ exp: 1_700_000_000 });
    const { server, events } = await signIn({ ociConfig: await profileAt(SESSION, { token }) });
    expect(failureOf(events).message).toContain(
      'ended at 2023-11-14T22:13:20.000Z; run `oci session authenticate`',
    );
    expect(server.requests).toEqual([]);
  });

  test('a profile without one is told', async () => {
    const { events } = await signIn({ auth: 'security_token', ociConfig: await profileAt() });
    expect(failureOf(events).message).toContain('has no security_token_file');
  });
});

describe('with a resource principal', () => {
  test('the token and key that Oracle sets are used', async () => {
    const token = tokenThat({ exp: inAnHour(), res_tenant: TENANCY });
    vi.stubEnv('OCI_RESOURCE_PRINCIPAL_VERSION', '2.2');
    vi.stubEnv('OCI_RESOURCE_PRINCIPAL_REGION', 'us-chicago-1');
    vi.stubEnv('OCI_RESOURCE_PRINCIPAL_RPST', token);
    vi.stubEnv('OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM', pem());
    const { server, events } = await signIn({ auth: 'resource_principal', compartment: 'c' });
    answerOf(events);
    expect(server.requests[0]?.keyId).toBe(`ST$${token}`);
    const none = failureOf((await signIn({ auth: 'resource_principal' })).events);
    expect(none.message).toContain('this resource has no compartment; set compartment of provider oracle');
  });

  test('elsewhere they do not work, which is told', async () => {
    const { events } = await signIn({ auth: 'resource_principal', compartment: 'c' });
    expect(failureOf(events)).toMatchObject({ kind: 'terminal', code: 'provider_auth' });
    expect(failureOf(events).message).toContain('OCI_RESOURCE_PRINCIPAL_VERSION');
  });
});

/** The metadata of an instance and the service that makes its token, at one address. */
async function instance(options: { refuses?: number } = {}) {
  const load = createRequire(createRequire(import.meta.url).resolve('oci-common'));
  const sshpk = load('sshpk');
  const key = sshpk.parsePrivateKey(pem(), 'pem');
  const who = sshpk.identityFromDN(`CN=instance, OU=opc-tenant:${TENANCY}`);
  const certificate = sshpk.createSelfSignedCertificate(who, key).toString('pem');
  const files: Record<string, string> = {
    '/opc/v2/identity/cert.pem': certificate,
    '/opc/v2/identity/key.pem': pem(),
    '/opc/v2/identity/intermediate.pem': certificate,
  };
  const seen: { publicKey?: string } = {};
  const token = tokenThat({ exp: inAnHour() });
  const server = createServer(async (request, response) => {
    const file = files[request.url ?? ''];
    if (file !== undefined) return response.end(file);
    Object.assign(seen, await json(request));
    response.writeHead(options.refuses ?? 200, { 'content-type': 'application/json' });
    return response.end(JSON.stringify({ token }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const oci: OciOptions = { auth: 'instance_principal', compartment: 'c', region: 'us-chicago-1' };
  return { seen, token, oci: { ...oci, metadataUrl: `${url}/opc/v2/`, federationUrl: url } };
}

describe('with an instance principal', () => {
  test('the instance’s certificate is exchanged for a token, whose key signs', async () => {
    const { seen, token, oci } = await instance();
    const publicKey = () =>
      createPublicKey(`-----BEGIN PUBLIC KEY-----\n${seen.publicKey}\n-----END PUBLIC KEY-----`);
    const { server, events } = await signIn(oci, publicKey);
    answerOf(events);
    expect(server.requests[0]?.keyId).toBe(`ST$${token}`);
  });

  test('a refusal of the instance is told, and nothing is written to the console', async () => {
    const { oci } = await instance({ refuses: 401 });
    const failure = failureOf((await signIn(oci)).events);
    expect(failure).toMatchObject({ kind: 'terminal', code: 'provider_auth' });
    expect(failure.message).toContain('(401); instance principals work on');
    expect(said).not.toHaveBeenCalled();
  });
});

test('a library that is not installed is told with what to install', async () => {
  const absent = Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' });
  const asked = ociSdk(() => Promise.reject(absent));
  await expect(asked).rejects.toThrow(
    'package oci-common, which is not installed: npm install oci-common@2.142.0.',
  );
});
