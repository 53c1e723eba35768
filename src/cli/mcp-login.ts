/**
 * `mcp login`: the person goes on in a browser, which is sent back to this machine with a code (RFC 8252 §7.3); or types where it was sent, where
 * the browser is on another one.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createInterface } from 'node:readline/promises';
import type { SignedInAtMcp } from '../api/wire-mcp.ts';
import type { Client } from '../client/client.ts';
import { commandEnvironment } from '../config.ts';
import { UserError } from '../core/errors.ts';
import { oneLine } from './untrusted-text.ts';

/** A person, and what is between them and the page. */
export interface Browsing {
  /** 0: a free one. */
  readonly port: number;
  /** Whether to open a browser; false: the person does. */
  readonly opens: boolean;
  /** Where the person may type; undefined: nowhere. */
  readonly input?: NodeJS.ReadableStream | undefined;
  readonly signal: AbortSignal;
  readonly tell: (sentence: string) => void;
}

const PATH = '/callback';

/** Throws `UserError` `sign_in_refused` where the person, or the server, said no; what the signal was aborted with. */
export async function logIn(client: Client, name: string, browsing: Browsing): Promise<SignedInAtMcp> {
  const { signal, tell } = browsing;
  const over = new AbortController();
  const callback = await listen(browsing.port);
  try {
    const redirectUri = `http://127.0.0.1:${callback.port}${PATH}`;
    const { authorizationUrl, login, finished } = await client.beginMcpSignIn(name, { redirectUri });
    if (finished !== null || authorizationUrl === null || login === null) return finished ?? unexpected();
    const url = new URL(authorizationUrl);
    tell(`Sign in at ${url.host}:\n${url.href}`);
    if (browsing.opens) openBrowser(url.href);
    const state = url.searchParams.get('state') ?? '';
    const answer = await Promise.race([
      callback.answer(state),
      typedAnswer({ ...browsing, signal: AbortSignal.any([signal, over.signal]) }, state),
      aborted(signal),
    ]);
    return await client.finishMcpSignIn(name, { login, ...answer });
  } finally {
    // A terminal that is read keeps the command from ending.
    over.abort();
    await callback.close();
  }
}

function unexpected(): never {
  throw new Error('the API has begun no sign-in');
}

interface Answer {
  readonly code: string;
  readonly state: string;
  readonly iss?: string;
}

/** What the browser came back with. Undefined: it belongs to no sign-in that was begun here. Throws where the server said no. */
function answerIn({ searchParams }: URL, state: string): Answer | undefined {
  const found = (name: string) => searchParams.get(name) ?? undefined;
  if (found('state') !== state) return undefined;
  const [code, error, iss] = [found('code'), found('error'), found('iss')];
  if (error !== undefined) {
    const why = oneLine(`${error} ${found('error_description') ?? ''}`.trim(), 300);
    throw new UserError('sign_in_refused', `Nobody was signed in. The server said: ${why}`);
  }
  if (code === undefined) return undefined;
  return { code, state, ...(iss === undefined ? {} : { iss }) };
}

interface Callback {
  readonly port: number;
  answer(state: string): Promise<Answer>;
  close(): Promise<void>;
}

async function listen(port: number): Promise<Callback> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  promise.catch(() => undefined);
  let state: string | undefined;
  const server = createServer((request, response) => {
    const url = URL.parse(request.url ?? '/', 'http://127.0.0.1');
    // Any page of the browser may come here: only what answers this sign-in counts.
    if (request.method !== 'GET' || url?.pathname !== PATH || state === undefined)
      return page(response, 404, STRAY);
    try {
      const answer = answerIn(url, state);
      if (answer === undefined) return page(response, 400, STRAY);
      page(response, 200, 'You can close this page: the terminal goes on.');
      resolve(answer);
    } catch (error) {
      page(response, 200, 'Nobody was signed in: the terminal says why. You can close this page.');
      reject(error);
    }
  });
  await listening(server, port);
  return {
    port: (server.address() as AddressInfo).port,
    answer: (of) => {
      state = of;
      return promise;
    },
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeIdleConnections();
      setTimeout(() => server.closeAllConnections(), LEAVE_MS).unref();
      await closed;
    },
  };
}

/** The page may still be on its way to the browser. */
const LEAVE_MS = 500;

async function listening(server: Server, port: number): Promise<void> {
  server.listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch (error) {
    const found =
      (error as { code?: string }).code === 'EADDRINUSE' ? 'something else listens there' : String(error);
    throw new UserError(
      'port_taken',
      `The browser cannot come back to port ${port}: ${found}. Take another --port.`,
    );
  }
}

const STRAY = 'This page belongs to no sign-in that is under way.';

function page(response: ServerResponse, status: number, sentence: string): void {
  response.writeHead(status, {
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': "default-src 'none'",
    'cache-control': 'no-store',
    connection: 'close',
  });
  response.end(`<!doctype html><title>Capybara</title><p>${sentence}</p>\n`);
}

/** Where the browser was sent, typed or pasted; never settles where nobody can type. */
async function typedAnswer({ input, signal, tell }: Browsing, state: string): Promise<Answer> {
  if (input === undefined) return new Promise(() => undefined);
  tell('Where the browser is on another machine: paste the address that it was sent to, and press Enter.');
  const lines = createInterface({ input, signal });
  for await (const line of lines) {
    const url = URL.parse(line.trim());
    const answer = url === null ? undefined : answerIn(url, state);
    if (answer !== undefined) return answer;
    if (line.trim() !== '')
      tell(
        'That does not answer this sign-in: paste the whole address that it sent the browser to, not that of an earlier one.',
      );
  }
  return new Promise(() => undefined);
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

/** Whether it opened is seen by the person. */
function openBrowser(url: string): void {
  const { DISPLAY, WAYLAND_DISPLAY } = commandEnvironment();
  const isMac = process.platform === 'darwin';
  // Without a screen it would open one in the terminal.
  if (!isMac && DISPLAY === undefined && WAYLAND_DISPLAY === undefined) return;
  const program = isMac ? 'open' : 'xdg-open';
  const child = spawn(program, [url], { stdio: 'ignore', detached: true });
  child.on('error', () => undefined);
  child.unref();
}

export function loggedInText({ server, scope, canRenew }: SignedInAtMcp): string {
  const what = scope === null ? '' : `, for ${oneLine(scope, 300)}`;
  const lasts = canRenew ? '' : ' It cannot be renewed: sign in anew when it ends.';
  return `Signed in at ${server}${what}.${lasts}\n`;
}
