/**
 * Capybara's client of MCP servers, for the official conformance runner: which gives it the address of a server as its last argument, and
 * for some scenarios by MCP_CONFORMANCE_CONTEXT what is known of a client. Whoever is to sign in does so at once: the runner's pages ask nothing.
 */
import { type Access, NotSignedIn } from '../../src/mcp/client/access.ts';
import { Connection } from '../../src/mcp/client/connection.ts';
import { UrlTransport } from '../../src/mcp/client/url-transport.ts';
import { checkedFetch } from '../../src/mcp/oauth/checked-fetch.ts';
import { beginSignIn, finishSignIn, renewSignIn } from '../../src/mcp/oauth/flow.ts';
import type { Challenge, OAuthClient, SignIn } from '../../src/mcp/oauth/sign-in.ts';

const url = process.argv.at(-1) ?? '';
const given = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT ?? '{}');
const client: OAuthClient = {
  clientId: given.client_id,
  clientSecret: given.client_secret,
  ...(given.name === 'auth/client-credentials-basic' ? { as: 'client' } : {}),
};
const { signal } = new AbortController();
await using checked = checkedFetch({ own: url, isAllowed: () => false });
const { fetch } = checked;
let kept: SignIn | undefined;

async function signIn(challenge: Challenge): Promise<SignIn> {
  const redirectUri = 'http://127.0.0.1:9/callback';
  const before = { url, client: kept?.client, challenge };
  const begun = await beginSignIn({ url, before, client, fetch }, redirectUri);
  const page = await fetch(begun.authorizationUrl);
  const sent = new URL(page.headers.get('location') ?? '').searchParams;
  if (sent.get('state') !== begun.state) throw new Error('came back with another state');
  const [code, iss] = [sent.get('code') ?? '', sent.get('iss') ?? undefined];
  return finishSignIn({ signIn: begun.signIn, redirectUri, client, fetch }, { code, iss });
}

const access: Access = {
  token: async () => kept?.tokens?.access_token,
  renewed: async (refused, challenge) => {
    const before = { ...(kept ?? { url }), challenge };
    const isFirst = refused === undefined;
    kept =
      client.as === 'client' || (!isFirst && !challenge.isMore && kept?.tokens?.refresh_token)
        ? await renewSignIn({ url, before, client, fetch })
        : await signIn(challenge);
    const token = kept.tokens?.access_token;
    if (token === undefined) throw new NotSignedIn('gave out no token', undefined);
    return token;
  },
};

const connection = new Connection({
  open: () => new UrlTransport({ url }, { messageBytes: 1024 * 1024, access }),
  roots: async () => [],
  ...{ version: '0', connectMs: 10_000, callMs: 10_000 },
});
try {
  const { tools } = await connection.tools(signal);
  for (const { name } of tools) {
    const args = name === 'add_numbers' ? { a: 2, b: 3 } : {};
    const end = await connection.call({ name, args, signal, onProgress: () => {} });
    if (end.kind === 'failed') throw new Error(`${name} ${end.why}`);
  }
} finally {
  await connection.close();
}
