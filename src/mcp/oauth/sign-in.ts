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

/** A sign-in while the SDK works on it: `kept` is what has become of it. */
export class SignInProvider implements OAuthClientProvider {
  kept: SignIn;
  authorizationUrl: URL | undefined;
  readonly #client: OAuthClient;
  readonly redirectUrl: string | undefined;
  readonly #state: string | undefined;

  constructor(
    kept: SignIn,
    { client, redirectUri, state }: { client: OAuthClient; redirectUri?: string; state?: string },
  ) {
    this.kept = kept;
    this.#client = client;
    this.redirectUrl = redirectUri;
    this.#state = state;
  }

  get clientMetadata(): OAuthClientMetadata {
    const { scope } = this.#client;
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
    this.kept = { ...this.kept, discovery };
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

/** Without a secret where that will do; where a server does not say, it takes one (RFC 8414 §2). */
function authMethod(supported: readonly string[] = ['client_secret_basic']): string {
  const known = ['none', 'client_secret_basic', 'client_secret_post'];
  return known.find((method) => supported.includes(method)) ?? 'client_secret_basic';
}
