import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { listOciModels, MAX_OCI_LIST_PAGES, OCI_LIST_TTL_MS } from '../../src/model/oci-models.ts';
import { createModels } from '../../src/model/providers.ts';
import { PROFILE, profileAt, refuse, type SeenRequest, serveOci, TENANCY } from '../support/oci-server.ts';

type Answer = Parameters<typeof serveOci>[0];

const chat = { capabilities: ['CHAT'], lifecycleState: 'ACTIVE' };
const PAGES: Record<string, object[]> = {
  first: [
    { displayName: 'xai.grok-4', vendor: 'xai', ...chat },
    { displayName: 'cohere.embed-v4.0', vendor: 'cohere', capabilities: ['EMBED'] },
    { displayName: 'meta.llama-3-70b', vendor: 'meta', ...chat, timeOnDemandRetired: '2025-01-01T00:00:00Z' },
  ],
  second: [{ displayName: 'cohere.command-a-03-2025', vendor: 'cohere', ...chat }],
};
const pages: Answer = (response, { url }) => {
  const page = new URL(url, 'http://x').searchParams.get('page') ?? 'first';
  response.setHeader('content-type', 'application/json');
  if (page === 'first') response.setHeader('opc-next-page', 'second');
  response.end(JSON.stringify({ items: PAGES[page] }));
};

async function lister(answer: Answer) {
  const server = await serveOci(answer);
  const dataDir = await mkdtemp(join(tmpdir(), 'capybara-oci-list-'));
  onTestFinished(() => rm(dataDir, { recursive: true, force: true }));
  const options = {
    provider: 'oracle',
    model: '',
    baseUrl: server.url,
    oci: { ociConfig: await profileAt(PROFILE) },
  };
  const list = (now: number, more = {}) => listOciModels(options, { dataDir, clock: () => now, ...more });
  return { server, dataDir, list };
}

const NOW = Date.parse('2026-11-26T00:00:00Z');
const FOUND = {
  models: [
    { name: 'cohere.command-a-03-2025', vendor: 'cohere' },
    { name: 'xai.grok-4', vendor: 'xai' },
  ],
};

test('what can be talked to is asked for page by page, signed, and not again for a day', async () => {
  const { server, list } = await lister(pages);
  expect(await list(NOW)).toEqual(FOUND);
  expect(server.requests.map(({ keyId }: SeenRequest) => keyId?.startsWith(TENANCY))).toEqual([true, true]);
  const query = new URL(server.requests[0]?.url ?? '', 'http://x').searchParams;
  expect(Object.fromEntries(query)).toMatchObject({ compartmentId: TENANCY, capability: 'CHAT' });
  expect(await list(NOW + OCI_LIST_TTL_MS - 1)).toEqual(FOUND);
  expect(server.requests).toHaveLength(2);
  await list(NOW + OCI_LIST_TTL_MS);
  expect(server.requests).toHaveLength(4);
  await list(NOW + OCI_LIST_TTL_MS, { fresh: true });
  expect(server.requests).toHaveLength(6);
});

test('what is kept holds no secret, and what cannot be read of it is asked for anew', async () => {
  const { server, dataDir, list } = await lister(pages);
  await list(NOW);
  const [name = ''] = await readdir(join(dataDir, 'models'));
  const file = join(dataDir, 'models', name);
  expect(Object.keys(JSON.parse(await readFile(file, 'utf8')))).toEqual(['format', 'at', 'models']);
  await writeFile(file, '{"format": 2}');
  expect(await list(NOW)).toEqual(FOUND);
  expect(server.requests).toHaveLength(4);
});

test('the catalog of models has what the service says, from the list that is kept', async () => {
  const { server, dataDir } = await lister(pages);
  const oracle = { kind: 'oci' as const, baseUrl: server.url, ociConfig: await profileAt(PROFILE) };
  for (let capybaras = 0; capybaras < 2; capybaras += 1) {
    const [listed] = await createModels({ oracle }, { dataDir }).catalog({ ask: true });
    expect(listed?.models.map(({ model }) => model)).toEqual([
      'oracle/cohere.command-a-03-2025',
      'oracle/xai.grok-4',
    ]);
  }
  expect(server.requests).toHaveLength(2);
});

test('a list without an end is left', async () => {
  const { server, list } = await lister((response) => {
    response.setHeader('opc-next-page', 'on');
    response.end('{"items": []}');
  });
  expect(await list(NOW)).toEqual({ models: [] });
  expect(server.requests).toHaveLength(MAX_OCI_LIST_PAGES);
});

test.each([
  ['a refusal', (response) => refuse(response, 429, 'TooManyRequests', 'Slow.'), 'rate_limited'],
  ['a refused signature', (response) => refuse(response, 401, 'NotAuthenticated', 'No.'), 'provider_auth'],
  ['what is no list', (response) => void response.end('{"items": 5}'), 'bad_endpoint'],
] as [string, Answer, string][])('%s is told, and not kept', async (_, answer, code) => {
  const { dataDir, list } = await lister(answer);
  expect(await list(NOW)).toMatchObject({ problem: { code } });
  expect(await readdir(dataDir)).toEqual([]);
});
