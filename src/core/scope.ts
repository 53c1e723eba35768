/**
 * What a key may be used for.
 *
 * - `read`: look at everything of its team.
 * - `submit`: hand in tasks and files, say something to them, and change their sessions.
 * - `approve`: answer what agents ask, and take back what was always allowed.
 * - `admin`: the team's people, their keys, and who did what.
 */
export const SCOPES = ['read', 'submit', 'approve', 'admin'] as const;

export type Scope = (typeof SCOPES)[number];

/** How long a key may be good for, in days. */
export const MAX_KEY_DAYS = 3_650;

/** Of a key that is made without saying. */
export const USUAL_SCOPES: readonly Scope[] = ['read', 'submit', 'approve'];
