/**
 * The official conformance runner of MCP against `/mcp`: `npx conformance server --url URL/mcp` by hand; and against the client that agents
 * have tools of servers by. It can send no key, so a relay
 * in front of the API adds one. `mcp-conformance.yaml` beside this file lists which scenarios fail, and why: a new failure fails
 * this test, and so does one in the list that passes.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { request as ask, createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { startTestApi, type TestApi } from './api-harness.ts';

vi.setConfig({ testTimeout: 120_000 });

const RUNNER = join(
  import.meta.dirname,
  '../../node_modules/@modelcontextprotocol/conformance/dist/index.js',
);
const EXPECTED = join(import.meta.dirname, 'mcp-conformance.yaml');

let it: TestApi;
let relay: Server;
let cwd: string;

beforeAll(async () => {
  it = await startTestApi();
  cwd = mkdtempSync(join(tmpdir(), 'capybara-conformance-'));
  relay = createServer((request, response) => {
    const authorization = `Bearer ${it.me.apiKey}`;
    const options = { method: request.method, headers: { ...request.headers, authorization } };
    const sent = ask(new URL(request.url ?? '/', it.url), options, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    response.once('close', () => sent.destroy());
    request.pipe(sent.on('error', () => response.destroy()));
  });
  await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve));
});
afterAll(async () => {
  relay.closeAllConnections();
  await new Promise((resolve) => relay.close(resolve));
  await it.close();
  rmSync(cwd, { recursive: true });
});

test('the scenarios of the runner pass, but for those that are listed', async () => {
  const url = `http://127.0.0.1:${(relay.address() as AddressInfo).port}/mcp`;
  const args = [RUNNER, 'server', '--url', url, '--suite', 'active', '--expected-failures', EXPECTED];
  const { code, output } = await run(args);
  expect(code, output).toBe(0);
  expect(output).toContain('dns-rebinding-protection');
});

const CLIENT = join(import.meta.dirname, '../support/mcp-conformance-client.ts');

/** A suite runs side by side: not with the scenario that measures times. */
test.each([
  ['--suite', 'auth'],
  ['--suite', 'draft'],
  ['--suite', 'extensions'],
  ['--scenario', 'auth/2025-03-26-oauth-metadata-backcompat'],
  ['--scenario', 'auth/2025-03-26-oauth-endpoint-fallback'],
  ['--scenario', 'initialize'],
  ['--scenario', 'tools_call'],
  ['--scenario', 'sse-retry'],
  ['--scenario', 'elicitation-sep1034-client-defaults'],
])('the client passes %s %s, but for what is listed', async (kind, name) => {
  const command = `${process.execPath} --no-warnings ${CLIENT}`;
  const args = ['client', '--command', command, kind, name, '--expected-failures', EXPECTED];
  const { code, output } = await run([RUNNER, ...args]);
  expect(code, output).toBe(0);
});

function run(args: readonly string[]): Promise<{ code: unknown; output: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, args, { cwd }, (error, stdout, stderr) => {
      resolve({ code: error?.code ?? 0, output: stdout + stderr });
    });
  });
}
