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
import { renewSignIn, SignInError } from './flow.ts';
import type { Challenge, OAuthClient, SignIn } from './sign-in.ts';

/** Longer than a renewal takes. */
const CLAIM_MS = 60_000;
/** Between two looks at what another worker makes of it. */
const LOOK_MS = 100;
/** One that ends so soon is renewed before it is sent. */
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
}

export class KeptAccess implements Access {
  readonly #options: KeptAccessOptions;
  readonly #at: AccessPlace;
  readonly #client: OAuthClient;

  constructor(options: KeptAccessOptions, at: AccessPlace) {
    this.#options = options;
    this.#at = at;
    this.#client = at.settings.oauth ?? {};
  }

  async token(signal: AbortSignal): Promise<string | undefined> {
    const kept = await this.#read();
    const token = kept?.secret.tokens?.access_token;
    const isEnding = kept?.expiresAt != null && kept.expiresAt.getTime() - EARLY_MS < this.#options.now();
    const canRenew = kept?.secret.tokens?.refresh_token !== undefined || this.#client.as === 'client';
    if (!isEnding || !canRenew || kept?.failure != null) return token;
    // Where it cannot be renewed now it may still pass: the server says.
    return this.renewed(token, {}, signal).catch(() => {
      signal.throwIfAborted();
      return token;
    });
  }

  /** What was kept for another address is nothing here. */
  async #read(): Promise<KeptSignIn | undefined> {
    const kept = await this.#options.store.read(this.#at);
    return kept?.secret.url === this.#at.settings.url ? kept : undefined;
  }

  async renewed(refused: string | undefined, challenge: Challenge, signal: AbortSignal): Promise<string> {
    const deadline = performance.now() + CLAIM_MS;
    while (performance.now() < deadline) {
      const kept = await this.#read();
      if (kept === undefined) return this.#first(challenge);
      const token = kept.secret.tokens?.access_token;
      if (token !== undefined && token !== refused) return token;
      if (kept.failure !== null) throw this.#signInAnew(kept.failure);
      const claim = randomUUID();
      const { outcome } = await this.#options.store.claim(this.#at, {
        version: kept.version,
        claim,
        ms: CLAIM_MS,
      });
      // Whoever does not wait for it any more must not keep others from what comes of it.
      if (outcome === 'claimed') return raced(this.#renew(kept.secret, claim, challenge), signal);
      if (outcome === 'busy') await pause(LOOK_MS, undefined, { signal });
    }
    throw new NotSignedIn('is being signed in at by another worker, which takes too long', undefined);
  }

  /** Nobody has signed in yet. */
  async #first(challenge: Challenge): Promise<string> {
    if (this.#client.as !== 'client')
      throw new NotSignedIn(
        `wants somebody to sign in: \`capybara mcp login ${this.#at.server}\``,
        undefined,
      );
    try {
      const { token, ...end } = await this.#asked({ url: this.#at.settings.url, challenge });
      await this.#options.store.put(this.#at, { ...end, userId: null });
      return token;
    } catch (error) {
      throw refusal(error);
    }
  }

  async #renew(secret: SignIn, claim: string, challenge: Challenge): Promise<string> {
    const isClient = this.#client.as === 'client';
    const settle = (end: SignInEnd) => this.#options.store.settle(this.#at, claim, end);
    if (challenge.isMore && !isClient) {
      const failure = `wants more than was signed in for${sayScope(challenge)}`;
      await settle({ failure, secret: { ...secret, challenge } });
      throw this.#signInAnew(failure);
    }
    try {
      const { token, ...end } = await this.#asked({ ...secret, challenge });
      await settle(end);
      return token;
    } catch (error) {
      const isForGood = error instanceof SignInError && !isClient;
      await settle(isForGood ? { failure: error.message } : {});
      throw isForGood ? this.#signInAnew(error.message, error.said) : refusal(error);
    }
  }

  async #asked(before: SignIn) {
    const { now, isAllowed } = this.#options;
    const { url, ofTeam } = this.#at.settings;
    await using checked = checkedFetch({ own: ofTeam ? undefined : url, isAllowed });
    const request = { url, before, client: this.#client, fetch: checked.fetch };
    const { challenge: _, ...secret } = await renewSignIn(request);
    const token = secret.tokens?.access_token;
    if (token === undefined) throw new SignInError('gave out no token');
    return { token, secret, expiresAt: expiryOf(secret, now()) };
  }

  #signInAnew(why: string, said?: string): NotSignedIn {
    return new NotSignedIn(`${why}: sign in anew, with \`capybara mcp login ${this.#at.server}\``, said);
  }
}

/** When the access token ends, as far as the server said (RFC 6749 §5.1). */
export function expiryOf({ tokens }: SignIn, now: number): Date | undefined {
  return tokens?.expires_in === undefined ? undefined : new Date(now + tokens.expires_in * 1_000);
}

function sayScope({ scope }: Challenge): string {
  return scope === undefined ? '' : ` (${scope.slice(0, 200)})`;
}

function refusal(error: unknown): NotSignedIn {
  if (error instanceof SignInError) return new NotSignedIn(error.message, error.said);
  return new NotSignedIn('cannot be signed in at now', messageOf(error));
}
