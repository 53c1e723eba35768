/** How a server that lets nobody pass is passed: by a token that somebody signed in for, renewed where it is refused. */
import type { FetchLike } from '@modelcontextprotocol/sdk/shared/transport.js';
import { challengeIn } from '../oauth/flow.ts';
import type { Challenge } from '../oauth/sign-in.ts';
import type { UrlServer } from './server.ts';
import { ServerGone } from './server-gone.ts';

/** Where a team has access, or may have. */
export interface AccessPlace {
  readonly teamId: string;
  readonly server: string;
  readonly settings: UrlServer;
}

/** What a team has signed in with at one server. */
export interface Access {
  /** Undefined where nobody has. */
  token(signal: AbortSignal): Promise<string | undefined>;
  /** Another than the one that was refused. Throws `NotSignedIn`. */
  renewed(refused: string | undefined, challenge: Challenge, signal: AbortSignal): Promise<string>;
}

/** Nothing that was sent was taken in. */
export class NotSignedIn extends ServerGone {}

/** Sends each request with the token, and once more with another where that is refused: what was refused was not taken in. Headers that are there stay. */
export function authorizedFetch(fetch: FetchLike, access: Access, signal: AbortSignal): FetchLike {
  const sent = (url: string | URL, init: RequestInit | undefined, token: string | undefined) => {
    const headers = new Headers(init?.headers);
    if (token !== undefined) headers.set('authorization', `Bearer ${token}`);
    return fetch(url, { ...init, headers });
  };
  return async (url, init) => {
    const token = await access.token(signal);
    const answer = await sent(url, init, token);
    const challenge = challengeIn(answer);
    if (challenge === undefined) return answer;
    await answer.body?.cancel();
    const again = await sent(url, init, await access.renewed(token, challenge, signal));
    if (challengeIn(again) === undefined) return again;
    await again.body?.cancel();
    throw new NotSignedIn('refuses what was signed in with', undefined);
  };
}
