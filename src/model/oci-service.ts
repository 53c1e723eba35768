/** Oracle's generative AI service: where it is, whose compartment is asked for, and what its refusals mean. */
import type { Failure } from '../core/errors.ts';
import { type ModelOptions, type OciOptions, type Origin, originOf, shownUrl } from './connection.ts';
import { tidy } from './failure.ts';
import { unusable } from './oci-profile.ts';
import { type Identity, OciSignIn, type Unsigned } from './oci-sign-in.ts';
import { BadEndpoint, fields, KnownFailure, stringOf } from './report.ts';

export const OCI_API_VERSION = '20231130';

/** Of answers, and of lists of models. */
const HOSTS = { inference: 'inference.generativeai', management: 'generativeai' } as const;
export type OciHost = keyof typeof HOSTS;

/** A signed-in caller at an address. */
export interface OciCaller {
  readonly identity: Identity;
  readonly compartment: string;
  /** With the API's version. */
  readonly base: string;
}

export class OciService {
  readonly origin: Origin;
  readonly #provider: string;
  readonly #options: OciOptions;
  readonly #baseUrl: string | undefined;
  readonly #signIn: OciSignIn;
  #endpoint: string;

  constructor(options: ModelOptions, signIn = new OciSignIn(options.oci ?? {})) {
    this.#provider = options.provider;
    this.#options = options.oci ?? {};
    this.#baseUrl = options.baseUrl?.trim() || undefined;
    this.#signIn = signIn;
    this.#endpoint = shownUrl(this.#baseUrl ?? addressOf('inference', this.#options.region ?? '{region}'));
    this.origin = originThat(originOf(options, this.#baseUrl ?? ''), () => this.#endpoint);
  }

  /** Throws `KnownFailure`. Ends with the signal, whatever the library is waiting for. */
  async caller(host: OciHost, signal: AbortSignal): Promise<OciCaller> {
    const identity = await endedBy(signal, this.#signIn.identity());
    const root = this.#baseUrl ?? addressOf(host, this.#regionOf(identity), identity.domain);
    if (host === 'inference') this.#endpoint = shownUrl(root);
    const compartment = this.#options.compartment ?? identity.tenancy;
    if (compartment === undefined)
      throw unusable(`${identity.shown} has no compartment`, `set compartment of provider ${this.#provider}`);
    if (URL.parse(root) === null) throw new BadEndpoint('is not a URL');
    return { identity, compartment, base: withVersion(root) };
  }

  signed({ identity }: OciCaller, request: Unsigned, signal: AbortSignal): Promise<Headers> {
    return endedBy(signal, identity.sign(request));
  }

  /** What a refusal is: of the signature, of the model, or what any provider's would be. To be thrown. */
  refusal(
    response: { readonly status: number; readonly headers: Headers },
    text: string,
    caller: OciCaller,
  ): object {
    const { status, headers } = response;
    return this.#failed({ status, headers, error: saidIn(errorIn(parsed(text))) }, caller);
  }

  /** The same for an error inside a stream, which has no status but what it says of one. To be thrown. */
  reported(said: Readonly<Record<string, unknown>>, caller: OciCaller): object {
    const error = saidIn(said);
    const numbers = [said.status, said.code].map((value) =>
      typeof value === 'string' || typeof value === 'number' ? Number(value) : Number.NaN,
    );
    const status = numbers.find((number) => number >= 400 && number < 600) ?? STATUS_OF_CODE[error.code];
    return this.#failed({ status: status ?? 502, headers: new Headers(), error }, caller);
  }

  #failed({ status, headers, error }: Refusal, { identity }: OciCaller): object {
    const said = [error.code, error.message].filter((each) => each !== '').join(': ');
    const shown = tidy(`${status}${said === '' ? '' : ` ${said}`}`, this.origin);
    if (status === 401 || status === 403) return new KnownFailure(this.#refusedSignature(identity, shown));
    if (status === 404) return new KnownFailure(this.#notFound(shown));
    if (error.code === 'QuotaExceeded' || error.code === 'LimitExceeded')
      return { status: 402, headers, error };
    return { status, headers, error };
  }

  #refusedSignature({ auth, shown }: Identity, said: string): Failure {
    const message = `Oracle's cloud refused the signature of ${shown} (${said}): ${REMEDIES[auth]}.`;
    return { kind: 'terminal', code: 'provider_auth', message };
  }

  /** The service says the same where it has no such model and where one may not use it. */
  #notFound(said: string): Failure {
    const { model, endpoint } = this.origin;
    const remedy =
      'check its name, its region, the compartment, and that a policy allows generative-ai-family there';
    const message = `Model ${model} was not found at ${endpoint}, or may not be used (${said}): ${remedy}.`;
    return { kind: 'terminal', code: 'model_not_found', message };
  }

  #regionOf(identity: Identity): string {
    const { region } = identity;
    if (region === undefined)
      throw unusable(`${identity.shown} has no region`, `set region of provider ${this.#provider}`);
    if (!/^[a-z0-9-]+$/.test(region))
      throw unusable(`${JSON.stringify(region)} is no region`, 'write one such as us-chicago-1');
    return region;
  }
}

interface Refusal {
  readonly status: number;
  readonly headers: Headers;
  readonly error: { readonly code: string; readonly message: string };
}

/** Of the service's words for errors, where they come without one. */
const STATUS_OF_CODE: Readonly<Record<string, number>> = {
  ...{ CannotParseRequest: 400, InvalidParameter: 400, MissingParameter: 400 },
  ...{ LimitExceeded: 400, QuotaExceeded: 400 },
  NotAuthenticated: 401,
  ...{ NotAuthorizedOrNotFound: 404, NotFound: 404 },
  IncorrectState: 409,
  TooManyRequests: 429,
  InternalServerError: 500,
  ServiceUnavailable: 503,
};

const REMEDIES: Readonly<Record<Identity['auth'], string>> = {
  api_key: "check the profile's user, tenancy, fingerprint and key_file, and this machine's clock",
  security_token: 'run `oci session authenticate`',
  instance_principal: "check that a policy allows the instance's dynamic group to use generative-ai-family",
  resource_principal: "check that a policy allows the resource's dynamic group to use generative-ai-family",
};

function addressOf(host: OciHost, region: string, domain = 'oraclecloud.com'): string {
  return `https://${HOSTS[host]}.${region}.oci.${domain}`;
}

/** People give the address with the version, or with the whole action. */
function withVersion(root: string): string {
  const bare = root.replace(/\/+$/, '').replace(/\/actions\/chat$/, '');
  return /\/\d{8}$/.test(bare) ? bare : `${bare}/${OCI_API_VERSION}`;
}

/** Where it is, is known only once the profile was read. */
function originThat(origin: Origin, endpoint: () => string): Origin {
  return Object.defineProperty({ ...origin }, 'endpoint', { get: endpoint, enumerable: true });
}

/** `{"code", "message"}`; behind some models the message is another's JSON. */
function saidIn({ code, message }: Readonly<Record<string, unknown>>): Refusal['error'] {
  const inner = errorIn(parsed(stringOf(message)));
  return {
    code: stringOf(inner.code) || stringOf(code),
    message: (stringOf(inner.message) || stringOf(message))
      .replace(/ST\$\S+/g, '[token]')
      .replace(/\s+/g, ' '),
  };
}

/** Others say `{"error": …}`, and Google that in a list. */
function errorIn(body: unknown): Readonly<Record<string, unknown>> {
  const said = fields(Array.isArray(body) ? body[0] : body);
  return typeof said.error === 'object' ? fields(said.error) : said;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The library cannot be told to stop waiting: it is left alone with it. */
function endedBy<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const end = () => reject(signal.reason);
    if (signal.aborted) end();
    signal.addEventListener('abort', end, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', end));
  });
}
