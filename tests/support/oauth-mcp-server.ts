/**
 * An MCP server that lets in whoever signed in, and its authorization server beside it: metadata (RFC 9728, RFC 8414), registration (RFC 7591), codes
 * with PKCE (RFC 7636), refresh tokens that can be used once. Its page asks nothing: whoever comes is sent back at once.
 */
import { createHash, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { checkedFetch } from '../../src/mcp/oauth/checked-fetch.ts';
import { beginSignIn, finishSignIn } from '../../src/mcp/oauth/flow.ts';
import type { OAuthClient, SignIn } from '../../src/mcp/oauth/sign-in.ts';

interface Given {
  readonly refresh: string;
  readonly scope: string;
}

export interface OAuthMcpServer {
  /** Of the MCP server. */
  readonly url: string;
  /** Access tokens that open something now, and what they are for. */
  readonly open: Map<string, Given>;
  /** What was asked of the token endpoint, by grant. */
  readonly asked: Record<string, number>;
  /** Clients that registered themselves. */
  readonly registered: Set<string>;
  /** What whoever called the tool `more` had signed in for. */
  readonly calls: string[];
  /** Answers of the token endpoint, instead of its own, until it is undefined again. */
  tokens: ((response: ServerResponse, body: string) => void | Promise<void>) | undefined;
  /** A client is let in for less than it asks for. */
  narrows: boolean;
  /** Seconds that access tokens last, as it says. */
  lasts: number | undefined;
  /** Changes what it says of its authorization server. */
  metadata: Record<string, unknown>;
  /** What was given out opens nothing any more; refresh tokens still do. */
  expire(): void;
  /** Nothing that was given out is worth anything. */
  revoke(): void;
  close(): Promise<void>;
}

export const CLIENT_SECRET = 'a-secret-of-a-client';

export async function startOAuthMcpServer(): Promise<OAuthMcpServer> {
  const codes = new Map<string, { challenge: string; redirect: string; scope: string }>();
  const refreshable = new Map<string, string>();
  const server = createServer((request, response) => {
    handle(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const it: OAuthMcpServer = {
    ...{ url: `${origin}/mcp`, open: new Map(), asked: {}, registered: new Set(), calls: [] },
    ...{ tokens: undefined, lasts: 3_600, metadata: {}, narrows: false },
    expire: () => it.open.clear(),
    revoke: () => {
      it.open.clear();
      refreshable.clear();
    },
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? '/', origin);
    if (pathname === '/mcp') return mcp(request, response);
    const body = await text(request);
    if (pathname === '/.well-known/oauth-protected-resource/mcp')
      return json(response, 200, {
        ...{ resource: it.url, authorization_servers: [origin], scopes_supported: ['look'] },
      });
    if (pathname === '/.well-known/oauth-authorization-server')
      return json(response, 200, {
        ...{
          issuer: origin,
          authorization_endpoint: `${origin}/authorize`,
          token_endpoint: `${origin}/token`,
        },
        ...{ registration_endpoint: `${origin}/register`, response_types_supported: ['code'] },
        code_challenge_methods_supported: ['S256'],
        token_endpoint_auth_methods_supported: ['none', 'client_secret_post'],
        ...it.metadata,
      });
    if (pathname === '/register') return register(body, response);
    if (pathname === '/authorize') return authorize(searchParams, response);
    if (pathname !== '/token') return json(response, 404, {});
    const fields = new URLSearchParams(body);
    const grant = fields.get('grant_type') ?? '';
    it.asked[grant] = (it.asked[grant] ?? 0) + 1;
    if (it.tokens !== undefined) return it.tokens(response, body);
    return token(grant, fields, response);
  }

  function register(body: string, response: ServerResponse): void {
    const client = { ...JSON.parse(body), client_id: randomUUID() };
    it.registered.add(client.client_id);
    json(response, 201, client);
  }

  function authorize(asked: URLSearchParams, response: ServerResponse): void {
    const redirect = asked.get('redirect_uri') ?? '';
    const code = randomUUID();
    const [challenge, scope] = [asked.get('code_challenge') ?? '', asked.get('scope') ?? ''];
    codes.set(code, { challenge, redirect, scope });
    const back = new URL(redirect);
    back.searchParams.set('code', code);
    back.searchParams.set('state', asked.get('state') ?? '');
    response.writeHead(302, { location: back.href }).end();
  }

  function token(grant: string, fields: URLSearchParams, response: ServerResponse): void {
    const scope = scopeOf(grant, fields);
    if (scope === undefined) {
      json(response, 400, { error: 'invalid_grant' });
      return;
    }
    const [access, refresh] = [`access-${randomUUID()}`, `refresh-${randomUUID()}`];
    it.open.set(access, { refresh, scope });
    refreshable.set(refresh, scope);
    const lasts = it.lasts === undefined ? {} : { expires_in: it.lasts };
    json(response, 200, {
      ...{ access_token: access, token_type: 'Bearer', scope, ...lasts },
      ...(grant === 'client_credentials' ? {} : { refresh_token: refresh }),
    });
  }

  /** What is let in for; undefined: nothing. */
  function scopeOf(grant: string, fields: URLSearchParams): string | undefined {
    if (fields.get('resource') !== it.url) return undefined;
    if (grant === 'client_credentials')
      return fields.get('client_secret') === CLIENT_SECRET
        ? it.narrows
          ? 'look'
          : (fields.get('scope') ?? 'look')
        : undefined;
    if (grant === 'refresh_token') {
      const used = fields.get('refresh_token') ?? '';
      const scope = refreshable.get(used);
      refreshable.delete(used);
      return scope;
    }
    const code = codes.get(fields.get('code') ?? '');
    codes.delete(fields.get('code') ?? '');
    const verifier = createHash('sha256')
      .update(fields.get('code_verifier') ?? '')
      .digest('base64url');
    return code?.challenge === verifier && code.redirect === fields.get('redirect_uri')
      ? code.scope
      : undefined;
  }

  async function mcp(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const given = it.open.get((request.headers.authorization ?? '').replace('Bearer ', ''));
    const metadata = `resource_metadata="${origin}/.well-known/oauth-protected-resource/mcp"`;
    const body = await text(request);
    if (given === undefined) return refuse(response, 401, `Bearer ${metadata}`);
    if (body.includes('"name":"more"') && !given.scope.includes('more'))
      return refuse(response, 403, `Bearer error="insufficient_scope", scope="look more", ${metadata}`);
    const transport = new StreamableHTTPServerTransport({});
    await toolsFor(given.scope).connect(transport as Parameters<McpServer['connect']>[0]);
    await transport.handleRequest(request, response, body === '' ? undefined : JSON.parse(body));
  }

  function toolsFor(scope: string): McpServer {
    const tools = new McpServer({ name: 'guarded', version: '1' });
    const annotations = { readOnlyHint: true, openWorldHint: false };
    tools.registerTool('look', { description: 'Look.', annotations }, () => ({
      content: [{ type: 'text', text: `signed in for ${scope}` }],
    }));
    tools.registerTool('more', { description: 'Do more.' }, () => {
      it.calls.push(scope);
      return { content: [{ type: 'text', text: 'done' }] };
    });
    return tools;
  }

  return it;
}

async function text(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function refuse(response: ServerResponse, status: number, challenge: string): void {
  response.writeHead(status, { 'www-authenticate': challenge }).end();
}

/** What a person's browser does with the address where they sign in: the address that they are sent back to. */
export async function browse(authorizationUrl: string): Promise<URL> {
  const answer = await fetch(authorizationUrl, { redirect: 'manual' });
  return new URL(answer.headers.get('location') ?? '');
}

/** What somebody who goes through all of it signs in with. */
export async function signInAt(
  url: string,
  {
    client = {},
    before,
    iss,
  }: { readonly client?: OAuthClient; readonly before?: SignIn | undefined; readonly iss?: string } = {},
): Promise<SignIn> {
  await using checked = checkedFetch({ own: url, isAllowed: () => false });
  const { fetch: checkedly } = checked;
  const redirectUri = 'http://127.0.0.1:9/callback';
  const begun = await beginSignIn({ url, before, client, fetch: checkedly }, redirectUri);
  const { searchParams } = await browse(begun.authorizationUrl);
  if (searchParams.get('state') !== begun.state) throw new Error('came back with another state');
  const code = searchParams.get('code') ?? '';
  return await finishSignIn({ signIn: begun.signIn, redirectUri, client, fetch: checkedly }, { code, iss });
}
