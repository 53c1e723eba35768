/** Which events of a tree somebody wants: `?types=task.succeeded,approval.*` and `?sessions=ses_…,ses_…`. */
import { EVENT_TYPES, LIVE_TYPES } from '../core/event.ts';
import { fromPublicId } from '../core/id.ts';
import { badRequest } from './problem.ts';

/** Sessions that one request may choose. */
export const MAX_FILTERED_SESSIONS = 50;
/** Longest list of types, in characters: each of them twice. */
export const MAX_TYPES_LENGTH = 2_000;

export interface EventFilter {
  /** All of them where undefined; those of live-only frames among them. */
  readonly types: ReadonlySet<string> | undefined;
  /** UUIDs; every session of the tree where undefined. */
  readonly sessions: ReadonlySet<string> | undefined;
}

export const EVERYTHING: EventFilter = { types: undefined, sessions: undefined };

export function passes(
  filter: EventFilter,
  { type, sessionId }: { readonly type: string; readonly sessionId: string },
): boolean {
  return (filter.types?.has(type) ?? true) && (filter.sessions?.has(sessionId) ?? true);
}

/** Throws `ApiProblem` (400, with the field) for what is no type and no session. */
export function filterOf(query: {
  readonly types?: string | undefined;
  readonly sessions?: string | undefined;
}): EventFilter {
  return {
    types: query.types === undefined ? undefined : typesOf(query.types),
    sessions: query.sessions === undefined ? undefined : sessionsOf(query.sessions),
  };
}

const ALL_TYPES: readonly string[] = [...EVENT_TYPES, ...LIVE_TYPES];

function typesOf(text: string): ReadonlySet<string> {
  if (text.length > MAX_TYPES_LENGTH) throw unusable('types', `at most ${MAX_TYPES_LENGTH} characters`);
  return new Set(
    text.split(',').flatMap((each) => {
      const subject = /^([a-z]+\.)\*$/.exec(each)?.[1];
      const found = ALL_TYPES.filter((type) =>
        subject === undefined ? type === each : type.startsWith(subject),
      );
      if (found.length > 0) return found;
      const shown = JSON.stringify(each.slice(0, 60));
      throw unusable(
        'types',
        `types of events such as task.succeeded or approval.*, with commas; found ${shown}`,
      );
    }),
  );
}

function sessionsOf(text: string): ReadonlySet<string> {
  const ids = text.split(',', MAX_FILTERED_SESSIONS + 1);
  if (ids.length > MAX_FILTERED_SESSIONS)
    throw unusable('sessions', `at most ${MAX_FILTERED_SESSIONS} of them`);
  return new Set(
    ids.map((id) => {
      const uuid = fromPublicId('session', id);
      if (uuid !== undefined) return uuid;
      throw unusable('sessions', `ids ses_…, with commas; found ${JSON.stringify(id.slice(0, 60))}`);
    }),
  );
}

function unusable(field: string, expected: string) {
  return badRequest('invalid_request', `The query cannot be used at ${field}: expected ${expected}.`, field);
}
