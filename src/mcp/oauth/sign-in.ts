/**
 * What a team has signed in with at an MCP server (OAuth 2.1, as MCP's "Authorization" says): kept sealed, and sent to nobody but the server
 * and the authorization server that it was had from.
 */
import type { OAuthClientProvider, OAuthDiscoveryState } from '@modelcontextprotocol/sdk/client/auth.js';
import type {
  OAuthClientInformationMixed,
  OAuthClientMetadata,
  OAuthTokens,
} from '@modelcontextprotocol/sdk/shared/auth.js';

/** What a server asks for where it lets nobody pass: of its `WWW-Authenticate` (RFC 6750 §3, RFC 9728 §5.1). */
export interface Challenge {
  /** Somebody has signed in, but not for this (`insufficient_scope`). */
  readonly isMore?: boolean | undefined;
  readonly scope?: string | undefined;
  readonly resourceMetadataUrl?: string | undefined;
}

export interface SignIn {
  /** Of the server: what is here is sent to no other address. */
  readonly url: string;
  readonly client?: OAuthClientInformationMixed | undefined;
  readonly tokens?: OAuthTokens | undefined;
  readonly discovery?: OAuthDiscoveryState | undefined;
  /** Between the beginning of a sign-in and its end (PKCE, RFC 7636). */
  readonly verifier?: string | undefined;
  /** The `state` that it came back with, so that a repeat of that finds it finished. */
  readonly finishedBy?: string | undefined;
  /** What was asked for when something was refused last. */
  readonly challenge?: Challenge | undefined;
}

/** How Capybara is known to authorization servers; left out: it registers itself (RFC 7591). */
export interface OAuthClient {
  readonly clientId?: string | undefined;
  readonly clientSecret?: string | undefined;
  /** Separated by spaces, where the server does not say which. */
  readonly scope?: string | undefined;
  /** `client`: nobody signs in, the client is let in by its own secret (`client_credentials`). */
  readonly as?: 'person' | 'client' | undefined;
}

export const REGISTERED_NAME = 'Capybara';

/** Why nobody is signed in. `message` completes "the MCP server x …"; `said`: a stranger's words, without what it was sent. */
export class SignInError extends Error {
  override readonly name = 'SignInError';
  readonly said: string | undefined;
  /** Asking again would not help: a person has to. */
  readonly isForGood: boolean;

  constructor(message: string, { said, isForGood = true }: { said?: string; isForGood?: boolean } = {}) {
    super(message);
    this.said = said?.trim() || undefined;
    this.isForGood = isForGood;
  }
}

interface Signing {
  readonly client: OAuthClient;
  readonly redirectUri?: string;
  readonly state?: string;
  /** What a client is to be let in for; what is configured where left out. */
  readonly scope?: string | undefined;
}

/** A sign-in while the SDK works on it: `kept` is what has become of it. */
export class SignInProvider implements OAuthClientProvider {
  kept: SignIn;
  authorizationUrl: URL | undefined;
  readonly #client: OAuthClient;
  readonly redirectUrl: string | undefined;
  readonly #state: string | undefined;
  readonly #scope: string | undefined;

  constructor(kept: SignIn, { client, redirectUri, state, scope = client.scope }: Signing) {
    this.kept = kept;
    this.#client = client;
    this.redirectUrl = redirectUri;
    this.#state = state;
    this.#scope = scope;
  }

  get clientMetadata(): OAuthClientMetadata {
    const scope = this.#scope;
    const methods = this.kept.discovery?.authorizationServerMetadata?.token_endpoint_auth_methods_supported;
    return {
      client_name: REGISTERED_NAME,
      redirect_uris: this.redirectUrl === undefined ? [] : [this.redirectUrl],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: authMethod(methods),
      ...(scope === undefined ? {} : { scope }),
    };
  }

  state(): string {
    return this.#state ?? '';
  }

  clientInformation(): OAuthClientInformationMixed | undefined {
    const { clientId, clientSecret } = this.#client;
    if (clientId === undefined) return this.kept.client;
    const issuer = this.kept.client?.client_id === clientId ? this.kept.client.issuer : undefined;
    return {
      client_id: clientId,
      ...(clientSecret === undefined ? {} : { client_secret: clientSecret }),
      ...(issuer === undefined ? {} : { issuer }),
    };
  }

  saveClientInformation(client: OAuthClientInformationMixed): void {
    const { clientSecret } = this.#client;
    const { client_secret: _, ...known } = client as OAuthClientInformationMixed & { client_secret?: string };
    // The secret of a client that is configured stands in the settings alone.
    this.kept = { ...this.kept, client: clientSecret === undefined ? client : known };
  }

  tokens(): OAuthTokens | undefined {
    return this.kept.tokens;
  }

  saveTokens(tokens: OAuthTokens): void {
    this.kept = { ...this.kept, tokens };
  }

  redirectToAuthorization(url: URL): void {
    this.authorizationUrl = url;
  }

  saveCodeVerifier(verifier: string): void {
    this.kept = { ...this.kept, verifier };
  }

  codeVerifier(): string {
    return this.kept.verifier ?? '';
  }

  saveDiscoveryState(discovery: OAuthDiscoveryState): void {
    checkIssuer(discovery);
    this.kept = { ...this.kept, discovery: neededOf(discovery) };
  }

  discoveryState(): OAuthDiscoveryState | undefined {
    return this.kept.discovery;
  }

  prepareTokenRequest(scope?: string): URLSearchParams | undefined {
    if (this.#client.as !== 'client') return undefined;
    return new URLSearchParams({
      grant_type: 'client_credentials',
      ...(scope === undefined ? {} : { scope }),
    });
  }
}

/**
 * Who is named by the server that is signed in at has to say of itself that it is that one (RFC 8414 §3.3): else it could send a person to
 * somebody else, and have what comes of that. Servers of 2025-03-26 name nobody.
 */
function checkIssuer(discovery: OAuthDiscoveryState): void {
  const { authorizationServerUrl, authorizationServerMetadata: metadata, resourceMetadata } = discovery;
  if (metadata === undefined || resourceMetadata === undefined) return;
  if (isSameIssuer(metadata.issuer, authorizationServerUrl)) return;
  const [named, found] = [authorizationServerUrl, metadata.issuer].map((url) => url.slice(0, 200));
  throw new SignInError(`has people sign in at ${named}, which says that it is ${found}: nobody does`);
}

export function isSameIssuer(one: string, other: string): boolean {
  return one.replace(/\/$/, '') === other.replace(/\/$/, '');
}

/** Of what was found, what is needed later: lists may be of any length. */
function neededOf(discovery: OAuthDiscoveryState): OAuthDiscoveryState {
  const { authorizationServerMetadata: metadata, resourceMetadata, ...rest } = discovery;
  const { resource } = resourceMetadata ?? {};
  return {
    ...rest,
    ...(resource === undefined ? {} : { resourceMetadata: { resource } }),
    ...(metadata === undefined ? {} : { authorizationServerMetadata: pick(metadata, NEEDED) }),
  };
}

const NEEDED = [
  ...(['issuer', 'authorization_endpoint', 'token_endpoint', 'registration_endpoint'] as const),
  ...(['response_types_supported', 'grant_types_supported', 'code_challenge_methods_supported'] as const),
  ...(['token_endpoint_auth_methods_supported', 'authorization_response_iss_parameter_supported'] as const),
];

type Metadata = NonNullable<OAuthDiscoveryState['authorizationServerMetadata']>;

function pick(metadata: Metadata, names: readonly string[]): Metadata {
  return Object.fromEntries(Object.entries(metadata).filter(([name]) => names.includes(name))) as Metadata;
}

/** Without a secret where that will do; where a server does not say, it takes one (RFC 8414 §2). */
function authMethod(supported: readonly string[] = ['client_secret_basic']): string {
  const known = ['none', 'client_secret_basic', 'client_secret_post'];
  return known.find((method) => supported.includes(method)) ?? 'client_secret_basic';
}
