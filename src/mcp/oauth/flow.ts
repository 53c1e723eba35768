/** How somebody signs in at an MCP server, and how what they signed in with is renewed. */
import { randomBytes } from 'node:crypto';
import {
  auth,
  discoverOAuthProtectedResourceMetadata,
  exchangeAuthorization,
  extractWWWAuthenticateParams,
  refreshAuthorization,
  selectResourceURL,
} from '@modelcontextprotocol/sdk/client/auth.js';
import {
  OAuthError,
  ServerError,
  TemporarilyUnavailableError,
  TooManyRequestsError,
} from '@modelcontextprotocol/sdk/server/auth/errors.js';
import type { FetchLike } from '@modelcontextprotocol/sdk/shared/transport.js';
import { LATEST_PROTOCOL_VERSION } from '@modelcontextprotocol/sdk/types.js';
import { messageOf } from '../../core/errors.ts';
import { withoutKeys } from '../client/hidden-keys.ts';
import { ServerGone } from '../client/server-gone.ts';
import {
  type Challenge,
  isSameIssuer,
  type OAuthClient,
  type SignIn,
  SignInError,
  SignInProvider,
} from './sign-in.ts';

export interface SignInRequest {
  readonly url: string;
  /** What the team has there already. */
  readonly before?: SignIn | undefined;
  readonly client: OAuthClient;
  readonly fetch: FetchLike;
}

/** One that a person has to go on with, at `authorizationUrl`; it comes back with `state`. */
export interface Begun {
  readonly signIn: SignIn;
  readonly authorizationUrl: string;
  readonly state: string;
}

/** `redirectUri`: where the person is sent with the code. Throws `SignInError`. */
export async function beginSignIn(request: SignInRequest, redirectUri: string): Promise<Begun> {
  const challenge = await challengeOf(request);
  const state = randomBytes(32).toString('base64url');
  const { client: known, url } = startOf(request);
  // A client that registered itself did so for one address to come back to.
  const isOthers =
    known !== undefined && 'redirect_uris' in known && !known.redirect_uris.includes(redirectUri);
  const provider = new SignInProvider(
    { url, client: isOthers ? undefined : known },
    { client: request.client, redirectUri, state },
  );
  await asked(request, provider, { ...challenge, scope: withHeld(challenge.scope, startOf(request)) });
  const { authorizationUrl, kept: signIn } = provider;
  if (authorizationUrl === undefined)
    throw new SignInError('let nobody sign in: it gave out tokens without being asked by anyone');
  if (!/^https?:$/.test(authorizationUrl.protocol))
    throw new SignInError(`sends whoever signs in to ${authorizationUrl.protocol}, which is no page`);
  return { signIn, authorizationUrl: authorizationUrl.href, state };
}

/** Whoever signs in anew takes nothing from those who use what there is. */
function withHeld(scope: string | undefined, { tokens }: SignIn): string | undefined {
  const scopes = [tokens?.scope, scope]
    .flatMap((each) => each?.split(' ') ?? [])
    .filter((each) => each !== '');
  return scopes.length === 0 ? undefined : [...new Set(scopes)].join(' ');
}

interface Finishing extends Pick<SignInRequest, 'client' | 'fetch'> {
  readonly signIn: SignIn;
  readonly redirectUri: string;
}

/** `iss`: where it was there (RFC 9207). The code is sent once. Throws `SignInError`. */
export async function finishSignIn(
  { signIn, redirectUri, client, fetch }: Finishing,
  { code, iss }: { readonly code: string; readonly iss?: string | undefined },
): Promise<SignIn> {
  checkAnswerer(signIn, iss);
  const { verifier = '', ...kept } = signIn;
  const tokens = await described([code, ...keysOf(signIn, client)], async () => {
    const { server, ...means } = await meansOf(signIn, client);
    const sent = { authorizationCode: code, codeVerifier: verifier, redirectUri, fetchFn: fetch };
    return { ...(await exchangeAuthorization(server, { ...means, ...sent })), issuer: server };
  });
  return { ...kept, tokens };
}

/** A code of one server must not be taken to another (RFC 9207 §2.4). */
function checkAnswerer({ discovery }: SignIn, iss: string | undefined): void {
  const metadata = discovery?.authorizationServerMetadata;
  const { authorization_response_iss_parameter_supported: mustSay } = (metadata ?? {}) as Record<
    string,
    unknown
  >;
  const { authorizationServerUrl = '' } = discovery ?? {};
  const isIts = iss === metadata?.issuer && iss !== undefined && isSameIssuer(iss, authorizationServerUrl);
  if (iss === undefined ? mustSay !== true : isIts) return;
  const [found, named] = [iss ?? 'nobody', authorizationServerUrl].map((text) => text.slice(0, 200));
  throw new SignInError(`had its answer sent by ${found}, and not by ${named}: it was not taken`);
}

/** Whom to ask, as whom, and what for. */
async function meansOf(signIn: SignIn, client: OAuthClient) {
  const provider = new SignInProvider(signIn, { client });
  const clientInformation = provider.clientInformation();
  const { discovery } = signIn;
  if (discovery === undefined || clientInformation === undefined)
    throw new SignInError('gave nothing to stay signed in with');
  const {
    authorizationServerUrl: server,
    authorizationServerMetadata: metadata,
    resourceMetadata,
  } = discovery;
  const selected = await selectResourceURL(signIn.url, provider, resourceMetadata);
  const resource = selected && resourceMetadata ? resourceMetadata.resource : selected;
  return {
    ...{ server, clientInformation },
    ...(metadata === undefined ? {} : { metadata }),
    ...(resource === undefined ? {} : { resource }),
  };
}

/** Lets a client in by its own secret, or somebody's sign-in last longer. Throws `SignInError`. */
export async function renewSignIn(request: SignInRequest): Promise<SignIn> {
  const { client, fetch } = request;
  if (client.as === 'client') return letIn(request);
  const kept = startOf(request);
  const { refresh_token: refreshToken } = kept.tokens ?? {};
  const tokens = await described(keysOf(kept, client), async () => {
    const { server, ...means } = await meansOf(kept, client);
    if (refreshToken === undefined) throw new SignInError('gave nothing to stay signed in with');
    return refreshAuthorization(server, { ...means, refreshToken, fetchFn: fetch });
  });
  return { ...kept, tokens: { ...kept.tokens, ...tokens } };
}

/** Whom it was let in by before is asked first; that may be another one by now. */
async function letIn(request: SignInRequest): Promise<SignIn> {
  const { client, before } = request;
  const challenge = before?.challenge ?? (await challengeOf(request));
  const tried = async (start: SignIn) => {
    const provider = new SignInProvider(start, { client, scope: challenge.scope ?? client.scope });
    await asked(request, provider, challenge);
    return provider.kept;
  };
  const { url, discovery } = startOf(request);
  if (discovery === undefined) return tried({ url });
  return tried({ url, discovery }).catch(() => tried({ url }));
}

/** What is kept is for one address: at another one begins anew. */
function startOf({ url, before }: SignInRequest): SignIn {
  return before?.url === url ? before : { url };
}

async function asked(
  { url, client, before, fetch }: SignInRequest,
  provider: SignInProvider,
  { scope, resourceMetadataUrl }: Challenge,
): Promise<void> {
  await described([...keysOf(provider.kept, client), ...keysOf(before, client)], () =>
    auth(provider, {
      serverUrl: url,
      fetchFn: fetch,
      ...(scope === undefined ? {} : { scope }),
      ...(resourceMetadataUrl === undefined ? {} : { resourceMetadataUrl: new URL(resourceMetadataUrl) }),
    }),
  );
}

/** What is sent, and is to be read nowhere. */
function keysOf(signIn: SignIn | undefined, { clientId, clientSecret }: OAuthClient): string[] {
  const { tokens, client, verifier } = signIn ?? {};
  const { client_id: id = clientId, client_secret: own } = (client ?? {}) as Record<
    string,
    string | undefined
  >;
  const secrets = [clientSecret, own].filter((secret) => secret !== undefined);
  const basic = secrets.map((secret) => Buffer.from(`${id}:${secret}`).toString('base64'));
  const keys = [tokens?.access_token, tokens?.refresh_token, verifier].filter((key) => key !== undefined);
  return [...keys, ...secrets, ...basic];
}

/** Throws `SignInError` for all that fails, without the keys. */
async function described<T>(keys: readonly string[], work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof SignInError) throw error;
    const last = lastOf(error);
    if (last instanceof ServerGone) throw new SignInError(last.message, { isForGood: false });
    const said = withoutKeys(messageOf(last).replace(NOT_SAID, ''), keys);
    const isRefused = error instanceof OAuthError && !PASSING.some((kind) => error instanceof kind);
    if (!isRefused) throw new SignInError('cannot be signed in at now', { said, isForGood: false });
    throw new SignInError(`has refused it (${error.errorCode})`, { said });
  }
}

/** Of what the SDK says of an answer that is none of OAuth, the answer itself: a page, which may show what was sent. */
const NOT_SAID = /:? ?(Invalid OAuth error response: .*)? ?Raw body: .*$/s;

/** Asking again may help. */
const PASSING = [ServerError, TemporarilyUnavailableError, TooManyRequestsError];

/** `fetch failed` says nothing. */
function lastOf(error: unknown): unknown {
  let last = error;
  while (last instanceof Error && last.cause instanceof Error) last = last.cause;
  return last;
}

/** Of a response that lets nobody pass, or not as far: undefined of any other. */
export function challengeIn(response: Response): Challenge | undefined {
  const { resourceMetadataUrl, scope, error } = extractWWWAuthenticateParams(response);
  const isMore = response.status === 403 && error === 'insufficient_scope';
  if (response.status !== 401 && !isMore) return undefined;
  return { scope, resourceMetadataUrl: resourceMetadataUrl?.href, isMore };
}

const PROBES: readonly RequestInit[] = [
  {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
    body: JSON.stringify({
      ...{ jsonrpc: '2.0', id: 0, method: 'initialize' },
      params: {
        protocolVersion: LATEST_PROTOCOL_VERSION,
        capabilities: {},
        clientInfo: { name: 'capybara', version: '0' },
      },
    }),
  },
  { method: 'GET', headers: { accept: 'text/event-stream' } },
];

/**
 * What was refused last, or what is asked of somebody who has nothing. A server may let all in and ask for more with a call: then what it
 * says of itself will do.
 */
async function challengeOf({ url, before, fetch }: SignInRequest): Promise<Challenge> {
  if (before?.url === url && before.challenge !== undefined) return before.challenge;
  for (const probe of PROBES) {
    const found = challengeIn(await described([], async () => fetch(url, probe)));
    if (found !== undefined) return found;
  }
  const metadata = await discoverOAuthProtectedResourceMetadata(url, undefined, fetch).catch(() => undefined);
  if (metadata !== undefined) return {};
  throw new SignInError('asks nobody to sign in');
}
