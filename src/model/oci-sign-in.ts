/**
 * The four ways to sign in to Oracle's cloud. Each ends in a key that signs requests (`draft-cavage-http-signatures`), and a
 * name for it that the service knows.
 */
import { createHash } from 'node:crypto';
import { type Failure, messageOf } from '../core/errors.ts';
import type { OciAuth, OciOptions } from './connection.ts';
import { type OciProfile, readProfile, unusable } from './oci-profile.ts';
import { type OciSdk, ociSdk, quietly } from './oci-sdk.ts';
import { fields, KnownFailure } from './report.ts';

type Provider = ConstructorParameters<OciSdk['DefaultRequestSigner']>[0];

export interface Unsigned {
  readonly method: 'GET' | 'POST';
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: readonly Uint8Array[];
}

/** Who one is to the service. */
export interface Identity {
  readonly auth: OciAuth;
  /** Whose key signs, for people. */
  readonly shown: string;
  readonly region: string | undefined;
  /** Where everything is that has no compartment of its own. */
  readonly tenancy: string | undefined;
  /** The domain of the region's realm. */
  readonly domain: string;
  sign(request: Unsigned): Promise<Headers>;
}

const COMMERCIAL_DOMAIN = 'oraclecloud.com';

/** Signs in once, and again where what it was made from has changed. */
export class OciSignIn {
  readonly #options: OciOptions;
  readonly #load: () => Promise<OciSdk>;
  #principal: Promise<Identity> | undefined;
  #profile: { readonly from: string; readonly identity: Identity } | undefined;

  constructor(options: OciOptions, load: () => Promise<OciSdk> = ociSdk) {
    this.#options = options;
    this.#load = load;
  }

  /** Throws `KnownFailure`. */
  async identity(): Promise<Identity> {
    const sdk = await this.#load();
    const { auth } = this.#options;
    if (auth !== 'instance_principal' && auth !== 'resource_principal') return this.#ofProfile(sdk);
    this.#principal ??= quietly(() => principalOf(sdk, auth, this.#options));
    try {
      return await this.#principal;
    } catch (error) {
      this.#principal = undefined;
      throw error;
    }
  }

  async #ofProfile(sdk: OciSdk): Promise<Identity> {
    const profile = await readProfile(sdk, this.#options);
    const from = JSON.stringify(profile);
    if (this.#profile?.from !== from) {
      this.#profile = { from, identity: profileIdentity(sdk, profile, this.#options) };
    }
    refuseEnded(this.#profile.identity.auth, profile);
    return this.#profile.identity;
  }
}

function profileIdentity(sdk: OciSdk, profile: OciProfile, options: OciOptions): Identity {
  const auth = options.auth ?? (profile.token === undefined ? 'api_key' : 'security_token');
  const signer = new sdk.DefaultRequestSigner(detailsOf(auth, profile));
  const region = options.region ?? profile.region;
  return {
    auth,
    shown: profile.shown,
    region,
    tenancy: profile.tenancy,
    domain: domainOf(sdk, region),
    sign: (request) => signed(signer, request),
  };
}

function detailsOf(
  auth: OciAuth,
  { shown, tenancy, user, fingerprint, privateKey, token }: OciProfile,
): Provider {
  const key = { getPrivateKey: () => privateKey, getPassphrase: () => null };
  if (auth === 'security_token') {
    if (token === undefined)
      throw unusable(`${shown} has no security_token_file`, 'run `oci session authenticate`');
    return { ...key, getKeyId: async () => `ST$${token}` };
  }
  if (user === undefined || fingerprint === undefined)
    throw unusable(`${shown} has no ${user === undefined ? 'user' : 'fingerprint'}`, 'add it');
  return { ...key, getKeyId: async () => `${tenancy}/${user}/${fingerprint}` };
}

/** A token says when it ends; what is no such token is the service's to judge. */
function refuseEnded(auth: OciAuth, { token = '', shown }: OciProfile): void {
  const ends = auth === 'security_token' ? endOf(token) : undefined;
  if (ends === undefined || ends > Date.now()) return;
  const when = new Date(ends).toISOString();
  throw unusable(
    `the session of ${shown} ended at ${when}`,
    'run `oci session authenticate`, or refresh it before',
  );
}

function endOf(token: string): number | undefined {
  try {
    const payload: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    const { exp } = fields(payload);
    return typeof exp === 'number' ? exp * 1000 : undefined;
  } catch {
    return undefined;
  }
}

async function principalOf(
  sdk: OciSdk,
  auth: 'instance_principal' | 'resource_principal',
  options: OciOptions,
): Promise<Identity> {
  const isInstance = auth === 'instance_principal';
  const provider = isInstance ? await instanceProvider(sdk, options) : resourceProvider(sdk);
  const signer = new sdk.DefaultRequestSigner(provider);
  const region = options.region ?? provider.getRegion()?.regionId;
  const turns = new Turns();
  return {
    auth,
    shown: isInstance ? 'this instance' : 'this resource',
    region,
    tenancy: undefined,
    domain: domainOf(sdk, region),
    // One at a time: a token that is renewed in the middle would stand beside another's key.
    sign: (request) =>
      turns.next(() => quietly(() => signed(signer, request)).catch((error) => refusePrincipal(auth, error))),
  };
}

async function instanceProvider(sdk: OciSdk, { metadataUrl, federationUrl }: OciOptions) {
  const builder = new sdk.InstancePrincipalsAuthenticationDetailsProviderBuilder();
  if (metadataUrl !== undefined) builder.metadataBaseUrl = metadataUrl;
  if (federationUrl !== undefined) builder.federationEndpoint = federationUrl;
  try {
    return await builder.build();
  } catch (error) {
    return refusePrincipal('instance_principal', error);
  }
}

function resourceProvider(sdk: OciSdk) {
  try {
    return sdk.ResourcePrincipalAuthenticationDetailsProvider.builder();
  } catch (error) {
    return refusePrincipal('resource_principal', error);
  }
}

const WHERE: Readonly<Record<'instance_principal' | 'resource_principal', string>> = {
  instance_principal:
    "instance principals work on Oracle's compute instances, in a dynamic group that a policy allows",
  resource_principal:
    "resource principals work in Oracle's functions and jobs, which set OCI_RESOURCE_PRINCIPAL_VERSION",
};

/** The library's errors are texts, or objects with one; none of them holds a key. */
function refusePrincipal(auth: 'instance_principal' | 'resource_principal', error: unknown): never {
  if (error instanceof KnownFailure) throw error;
  const said = String(fields(error).message ?? messageOf(error)).split(/[.\n]/)[0] ?? '';
  const status = Number(/status: (\d{3})/.exec(String(fields(error).message))?.[1] ?? 0);
  const isRefused = auth === 'resource_principal' || (status >= 400 && status < 500);
  const failure: Failure = {
    kind: isRefused ? 'terminal' : 'retryable',
    code: isRefused ? 'provider_auth' : 'provider_unreachable',
    message: `Oracle's cloud cannot be signed in to: ${said}${status === 0 ? '' : ` (${status})`}; ${WHERE[auth]}.`,
  };
  throw new KnownFailure(failure);
}

function domainOf(sdk: OciSdk, region: string | undefined): string {
  if (region === undefined) return COMMERCIAL_DOMAIN;
  return sdk.Region.fromRegionId(region)?.realm.secondLevelDomain ?? COMMERCIAL_DOMAIN;
}

async function signed(
  signer: InstanceType<OciSdk['DefaultRequestSigner']>,
  request: Unsigned,
): Promise<Headers> {
  const headers = new Headers(request.headers);
  const { method, url: uri, body } = request;
  if (body !== undefined) {
    const hash = createHash('sha256');
    for (const piece of body) hash.update(piece);
    headers.set(DIGEST, hash.digest('base64'));
    headers.set('content-length', String(body.reduce((sum, { length }) => sum + length, 0)));
    keepDigest(headers);
  }
  await signer.signHttpRequest({ method, uri, headers });
  return headers;
}

const DIGEST = 'x-content-sha256';

/**
 * Oracle's signer would make one string of the body and hash it in JavaScript: 100 ms for a MiB, in which no other stream of
 * the worker goes on. It is given none, and what it then says of it is not heard.
 */
function keepDigest(headers: Headers): void {
  const set = headers.set.bind(headers);
  const value: Headers['set'] = (name, said) => {
    if (name.toLowerCase() !== DIGEST) set(name, said);
  };
  Object.defineProperty(headers, 'set', { value });
}

/** Does one thing after the other. */
class Turns {
  #last: Promise<unknown> = Promise.resolve();

  next<T>(act: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(act);
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}
