/**
 * A team's way past a server that lets nobody pass, by what is kept of a sign-in. All workers share it: the one that has the claim renews it,
 * the others wait for what comes of that, so that a refresh token is used once. A worker that dies in between has it no longer than
 * `CLAIM_MS`; what the server gave it then is lost, and where the server takes the old token no more, somebody signs in anew.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { raced } from '../../checked-agent.ts';
import { messageOf } from '../../core/errors.ts';
import { type Access, type AccessPlace, NotSignedIn } from '../client/access.ts';
import { checkedFetch, type Whereto } from './checked-fetch.ts';
import { renewSignIn } from './flow.ts';
import { type Challenge, type OAuthClient, type SignIn, SignInError } from './sign-in.ts';

/** Longer than a renewal takes. */
const CLAIM_MS = 20_000;
/** So long nobody asks again where it could not be renewed. */
export const PASSING_MS = 5_000;
/** Ten years. */
const LONGEST_SECONDS = 10 * 365 * 86_400;
/** Between two looks at what another worker makes of it. */
const LOOK_MS = 100;
/** One that ends so soon is renewed before: at most a tenth of the time that it lasts. */
const EARLY_MS = 30_000;

export interface SignInEnd {
  readonly secret?: SignIn;
  readonly expiresAt?: Date | undefined;
  readonly failure?: string;
}

interface KeptSignIn {
  readonly version: number;
  readonly secret: SignIn;
  readonly expiresAt: Date | null;
  readonly failure: string | null;
}

interface SignInPlace {
  readonly teamId: string;
  readonly server: string;
}

/** What is kept, for each team and server. */
export interface SignInStore {
  read(place: SignInPlace): Promise<KeptSignIn | undefined>;
  put(
    place: SignInPlace,
    signIn: {
      readonly secret: SignIn;
      readonly expiresAt?: Date | undefined;
      readonly userId: string | null;
    },
  ): Promise<void>;
  claim(
    place: SignInPlace,
    by: { readonly version: number; readonly claim: string; readonly ms: number },
  ): Promise<{ readonly outcome: 'claimed' | 'busy' | 'changed' }>;
  settle(place: SignInPlace, claim: string, end: SignInEnd): Promise<unknown>;
}

export interface KeptAccessOptions {
  readonly store: SignInStore;
  /** Where authorization servers may be beside the host of the server itself, and public ones. */
  readonly isAllowed: Whereto['isAllowed'];
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Of this process: what could not be renewed lately. */
  readonly failures: Map<string, { readonly failure: NotSignedIn; readonly until: number }>;
}

export class KeptAccess implements Access {
  readonly #options: KeptAccessOptions;
  readonly #at: AccessPlace;
  readonly #client: OAuthClient;
  /** A renewal under way, of what is still good. */
  #early: Promise<string | undefined> | undefined;

  constructor(options: KeptAccessOptions, at: AccessPlace) {
    this.#options = options;
    this.#at = at;
    this.#client = at.settings.oauth ?? {};
  }

  async token(signal: AbortSignal): Promise<string | undefined> {
    const kept = await this.#read();
    const token = kept?.secret.tokens?.access_token;
    if (kept === undefined || token === undefined || !this.#isEnding(kept)) return token;
    this.#early ??= this.renewed(token, {}, new AbortController().signal)
      .catch(() => undefined)
      .finally(() => {
        this.#early = undefined;
      });
    // What is good for a little longer is sent meanwhile; what may be good no more, where there is nothing else.
    if (Number(kept.expiresAt) > this.#options.now()) return token;
    return (await raced(this.#early, signal)) ?? token;
  }

  #isEnding({ secret, expiresAt, failure }: KeptSignIn): boolean {
    const { refresh_token: refresh, expires_in: seconds = 0 } = secret.tokens ?? {};
    if (expiresAt === null || failure !== null || (refresh === undefined && this.#client.as !== 'client'))
      return false;
    const earlyMs = Math.min(EARLY_MS, seconds * 100);
    return Number(expiresAt) - earlyMs < this.#options.now();
  }

  /** What was kept for another address is nothing here. */
  async #read(): Promise<KeptSignIn | undefined> {
    const kept = await this.#options.store.read(this.#at);
    return kept?.secret.url === this.#at.settings.url ? kept : undefined;
  }

  async renewed(refused: string | undefined, challenge: Challenge, signal: AbortSignal): Promise<string> {
    const deadline = performance.now() + 2 * CLAIM_MS;
    while (performance.now() < deadline) {
      const kept = await this.#read();
      if (kept === undefined) return this.#first(challenge);
      const token = kept.secret.tokens?.access_token;
      if (token !== undefined && token !== refused) return token;
      this.#checkUse(kept, challenge);
      const claim = randomUUID();
      const by = { version: kept.version, claim, ms: CLAIM_MS };
      const { outcome } = await this.#options.store.claim(this.#at, by);
      // Whoever does not wait for it any more must not keep others from what comes of it.
      if (outcome === 'claimed') return raced(this.#renew(kept, claim, challenge), signal);
      if (outcome === 'busy') await pause(LOOK_MS, undefined, { signal });
    }
    throw new NotSignedIn('is being signed in at by another worker, which takes too long', undefined);
  }

  /** Throws `NotSignedIn` where asking again would be in vain, or too soon. */
  #checkUse({ failure, secret }: KeptSignIn, challenge: Challenge): void {
    if (failure !== null) throw this.#signInAnew(failure);
    if (challenge.isMore && secret.challenge?.scope === challenge.scope) throw this.#wantsMore(challenge);
    const passing = this.#options.failures.get(this.#key);
    if (passing !== undefined && this.#options.now() < passing.until) throw passing.failure;
  }

  get #key(): string {
    const { teamId, server, settings } = this.#at;
    return `${teamId} ${server} ${settings.url}`;
  }

  /** Nobody has signed in yet. */
  async #first(challenge: Challenge): Promise<string> {
    if (this.#client.as !== 'client')
      throw new NotSignedIn(
        `wants somebody to sign in: \`capybara mcp login ${this.#at.server}\``,
        undefined,
      );
    const { token, ...end } = await this.#asked({ url: this.#at.settings.url, challenge }).catch((error) => {
      throw this.#passing(error);
    });
    await this.#options.store.put(this.#at, { ...end, userId: null });
    return token;
  }

  async #renew({ secret, expiresAt }: KeptSignIn, claim: string, challenge: Challenge): Promise<string> {
    const settle = (end: SignInEnd) => this.#options.store.settle(this.#at, claim, end);
    if (challenge.isMore && this.#client.as !== 'client') {
      // What there is goes on being good for all else.
      await settle({ secret: { ...secret, challenge }, expiresAt: expiresAt ?? undefined });
      throw this.#wantsMore(challenge);
    }
    const wanted = challenge.isMore ? challenge : (secret.challenge ?? challenge);
    const renewed = await this.#asked({ ...secret, challenge: wanted }).catch(async (error) => {
      const failure = this.#passing(error);
      const isForGood = error instanceof SignInError && error.isForGood && this.#client.as !== 'client';
      await settle(isForGood ? { failure: error.message } : {});
      throw isForGood ? this.#signInAnew(error.message, error.said) : failure;
    });
    const { token, ...end } = renewed;
    await settle(end);
    return token;
  }

  async #asked(before: SignIn) {
    const { now, isAllowed } = this.#options;
    const { url, ofTeam } = this.#at.settings;
    await using checked = checkedFetch({ own: ofTeam ? undefined : url, isAllowed });
    const request = { url, before, client: this.#client, fetch: checked.fetch };
    const renewed = await renewSignIn(request);
    const { challenge } = before;
    const secret = { ...renewed, challenge: challenge?.isMore ? challenge : undefined };
    const token = secret.tokens?.access_token;
    if (token === undefined) throw new SignInError('gave out no token');
    return { token, secret, expiresAt: expiryOf(secret, now()) };
  }

  /** It may pass: nobody asks again for a while. */
  #passing(error: unknown): NotSignedIn {
    const { message, said } =
      error instanceof SignInError
        ? error
        : { message: 'cannot be signed in at now', said: messageOf(error) };
    const failure = new NotSignedIn(message, said);
    this.#options.failures.set(this.#key, { failure, until: this.#options.now() + PASSING_MS });
    return failure;
  }

  #wantsMore({ scope }: Challenge): NotSignedIn {
    const why = 'wants more than was signed in for';
    if (this.#client.as === 'client') return new NotSignedIn(why, scope);
    return this.#signInAnew(why, scope);
  }

  #signInAnew(why: string, said?: string): NotSignedIn {
    return new NotSignedIn(`${why}: sign in anew, with \`capybara mcp login ${this.#at.server}\``, said);
  }
}

/** When the access token ends, as far as the server said so in earnest (RFC 6749 §5.1). */
export function expiryOf({ tokens }: SignIn, now: number): Date | undefined {
  const { expires_in: seconds = 0 } = tokens ?? {};
  return seconds > 0 && seconds <= LONGEST_SECONDS ? new Date(now + seconds * 1_000) : undefined;
}
