/** How somebody signs in at an MCP server, how what they signed in with is renewed, and how it is given back. */
import { randomBytes } from 'node:crypto';
import {
  auth,
  discoverOAuthProtectedResourceMetadata,
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
import { ServerGone } from '../client/server-gone.ts';
import { type Challenge, type OAuthClient, type SignIn, SignInProvider } from './sign-in.ts';

/** Why nobody is signed in; `message` completes "the MCP server x …", what a server said of it is a stranger's words. */
export class SignInError extends Error {
  override readonly name = 'SignInError';
  readonly said: string | undefined;

  constructor(message: string, said?: string) {
    super(message);
    this.said = said?.trim() || undefined;
  }
}

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
  const { client: known, challenge: _, ...kept } = startOf(request);
  // A client that registered itself did so for one address to come back to.
  const isOurs =
    known !== undefined && 'redirect_uris' in known && !known.redirect_uris.includes(redirectUri);
  const provider = new SignInProvider(
    { url: kept.url, client: isOurs ? undefined : known },
    { client: request.client, redirectUri, state },
  );
  await asked(request, provider, challenge);
  const { authorizationUrl, kept: signIn } = provider;
  if (authorizationUrl !== undefined && !/^https?:$/.test(authorizationUrl.protocol))
    throw new SignInError(`sends whoever signs in to ${authorizationUrl.protocol}, which is no page`);
  if (authorizationUrl === undefined)
    throw new SignInError('let nobody sign in: it gave out tokens without being asked by anyone');
  return { signIn, authorizationUrl: authorizationUrl.href, state };
}

/** What has come back: `iss` where it was there (RFC 9207). Throws `SignInError`. */
export async function finishSignIn(
  {
    signIn,
    redirectUri,
    client,
    fetch,
  }: Pick<SignInRequest, 'client' | 'fetch'> & {
    readonly signIn: SignIn;
    readonly redirectUri: string;
  },
  { code, iss }: { readonly code: string; readonly iss?: string | undefined },
): Promise<SignIn> {
  checkIssuer(signIn, iss);
  const provider = new SignInProvider(signIn, { client, redirectUri });
  await described(() => auth(provider, { serverUrl: signIn.url, authorizationCode: code, fetchFn: fetch }));
  const { verifier: _, ...kept } = provider.kept;
  return kept;
}

/** A code of one server must not be taken to another (RFC 9207 §2.4). */
function checkIssuer({ discovery }: SignIn, iss: string | undefined): void {
  const metadata = discovery?.authorizationServerMetadata;
  const { authorization_response_iss_parameter_supported: mustSay } = (metadata ?? {}) as Record<
    string,
    unknown
  >;
  if (iss === undefined ? mustSay !== true : iss === metadata?.issuer) return;
  const found = iss === undefined ? 'nobody' : iss.slice(0, 200);
  throw new SignInError(
    `had its answer sent by ${found}, and not by ${metadata?.issuer ?? 'whom it names'}: it was not taken`,
  );
}

/** Lets a client in by its own secret, or somebody's sign-in last longer. Throws `SignInError` where only a person can; anything else may pass. */
export async function renewSignIn(request: SignInRequest): Promise<SignIn> {
  if (request.client.as === 'client') return letIn(request);
  const kept = startOf(request);
  const { tokens, discovery, client: known } = kept;
  const information = new SignInProvider(kept, { client: request.client }).clientInformation() ?? known;
  if (tokens?.refresh_token === undefined || discovery === undefined || information === undefined)
    throw new SignInError('gave nothing to stay signed in with');
  const { authorizationServerUrl, authorizationServerMetadata: metadata, resourceMetadata } = discovery;
  const provider = new SignInProvider(kept, { client: request.client });
  const selected = await selectResourceURL(kept.url, provider, resourceMetadata);
  const resource = selected && resourceMetadata ? resourceMetadata.resource : selected;
  try {
    const renewed = await refreshAuthorization(authorizationServerUrl, {
      ...(metadata === undefined ? {} : { metadata }),
      ...(resource === undefined ? {} : { resource }),
      clientInformation: information,
      refreshToken: tokens.refresh_token,
      fetchFn: request.fetch,
    });
    return { ...kept, tokens: { ...tokens, ...renewed } };
  } catch (error) {
    if (isForGood(error)) throw refused(error);
    throw error;
  }
}

async function letIn(request: SignInRequest): Promise<SignIn> {
  const challenge = request.before?.challenge ?? (await challengeOf(request));
  const provider = new SignInProvider(startOf(request), { client: request.client });
  await asked(request, provider, challenge);
  return provider.kept;
}

/** What is kept is for one address: at another one begins anew. */
function startOf({ url, before }: SignInRequest): SignIn {
  return before?.url === url ? before : { url };
}

async function asked(
  { url, fetch }: SignInRequest,
  provider: SignInProvider,
  { scope, resourceMetadataUrl }: Challenge,
): Promise<void> {
  await described(() =>
    auth(provider, {
      serverUrl: url,
      fetchFn: fetch,
      ...(scope === undefined ? {} : { scope }),
      ...(resourceMetadataUrl === undefined ? {} : { resourceMetadataUrl: new URL(resourceMetadataUrl) }),
    }),
  );
}

async function described<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof OAuthError) throw refused(error);
    const last = lastOf(error);
    if (last instanceof ServerGone) throw new SignInError(last.message);
    throw new SignInError('could not be signed in at', messageOf(last));
  }
}

function refused(error: unknown): SignInError {
  const code = error instanceof OAuthError ? error.errorCode : 'error';
  return new SignInError(`has refused it (${code})`, messageOf(error));
}

/** `fetch failed` says nothing. */
function lastOf(error: unknown): unknown {
  let last = error;
  while (last instanceof Error && last.cause instanceof Error) last = last.cause;
  return last;
}

/** Asking again would not help. */
function isForGood(error: unknown): boolean {
  const passing = [ServerError, TemporarilyUnavailableError, TooManyRequestsError];
  return error instanceof OAuthError && !passing.some((kind) => error instanceof kind);
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
 * What was refused last, or what is asked of somebody who has nothing. A server may let all in and ask for more with a call: then what it says of itself will do.
 */
async function challengeOf({ url, before, fetch }: SignInRequest): Promise<Challenge> {
  if (before?.url === url && before.challenge !== undefined) return before.challenge;
  for (const probe of PROBES) {
    const found = challengeIn(await described(async () => fetch(url, probe)));
    if (found !== undefined) return found;
  }
  const metadata = await discoverOAuthProtectedResourceMetadata(url, undefined, fetch).catch(() => undefined);
  if (metadata !== undefined) return {};
  throw new SignInError('asks nobody to sign in');
}
