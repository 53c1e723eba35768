/** What a team has signed in with at MCP servers. What it is, is for whoever signs in (`Secret`): here it is sealed and kept. */
import { newId } from '../clock.ts';
import type { Database } from './database.ts';
import type { Sealing } from './sealing.ts';

/** A team's server, by its name. */
export interface SignInPlace {
  readonly teamId: string;
  readonly server: string;
}

export interface KeptSignIn<Secret> {
  /** Counts what was written: whoever was refused with an older one reads anew. */
  readonly version: number;
  readonly secret: Secret;
  readonly expiresAt: Date | null;
  /** Why it opens nothing any more. */
  readonly failure: string | null;
}

export interface SignInEnd<Secret> {
  readonly secret?: Secret;
  readonly expiresAt?: Date | undefined;
  readonly failure?: string;
}

export interface NewSignIn<Secret> extends Pick<SignInEnd<Secret>, 'expiresAt'> {
  readonly secret: Secret;
  /** Who signs in; null where a client is let in by its own secret. */
  readonly userId: string | null;
}

/** `Secret`: whatever JSON can hold. Each throws `UserError` where it cannot be sealed or opened. */
export class McpSignIns<Secret> {
  readonly #db: Database;
  readonly #sealing: Sealing;

  constructor(db: Database, sealing: Sealing) {
    this.#db = db;
    this.#sealing = sealing;
  }

  async read({ teamId, server }: SignInPlace): Promise<KeptSignIn<Secret> | undefined> {
    const [row] = await this.#db.sql<SignInRow>`
      SELECT id, secret, version, expires_at AS "expiresAt", failure FROM mcp_sign_in WHERE team_id = ${teamId} AND server = ${server}`;
    if (row === undefined) return undefined;
    const { id, secret, ...kept } = row;
    const opened = this.#sealing.open(secret, { table: 'mcp_sign_in', id });
    return { ...kept, secret: JSON.parse(opened.toString('utf8')) as Secret };
  }

  /** As `putAt`, of whatever server has that name. */
  async put(place: SignInPlace, signIn: NewSignIn<Secret>): Promise<void> {
    await this.putAt(null, place, signIn);
  }

  /** `serverId`: of the team's server that was signed in at, null where it is none of the team; 'gone': it was removed or replaced meanwhile. */
  putAt(
    serverId: string | null,
    { teamId, server }: SignInPlace,
    { secret, expiresAt, userId }: NewSignIn<Secret>,
  ): Promise<{ readonly outcome: 'signed_in' | 'gone' }> {
    const id = newId();
    const given = { id, server, secret: this.#sealed(id, secret), expiresAt };
    return this.#db.transition('put_mcp_sign_in', teamId, userId, given, serverId);
  }

  claim(
    { teamId, server }: SignInPlace,
    { version, claim, ms }: { readonly version: number; readonly claim: string; readonly ms: number },
  ): Promise<{ readonly outcome: 'claimed' | 'busy' | 'changed' }> {
    return this.#db.transition('claim_mcp_sign_in', teamId, server, version, claim, ms);
  }

  /** Nothing in `end`: it could not be renewed now, and somebody else may try. */
  async settle(
    { teamId, server }: SignInPlace,
    claim: string,
    { secret, ...end }: SignInEnd<Secret>,
  ): Promise<{ readonly outcome: 'settled' | 'lost' }> {
    const [row] = await this.#db.sql<{ id: string }>`
      SELECT id FROM mcp_sign_in WHERE team_id = ${teamId} AND server = ${server} AND claim = ${claim}`;
    if (row === undefined) return { outcome: 'lost' };
    const sealed = secret === undefined ? {} : { secret: this.#sealed(row.id, secret) };
    return this.#db.transition('settle_mcp_sign_in', teamId, server, claim, { ...end, ...sealed });
  }

  #sealed(id: string, secret: Secret): string {
    return this.#sealing
      .seal(Buffer.from(JSON.stringify(secret)), { table: 'mcp_sign_in', id })
      .toString('hex');
  }
}

interface SignInRow extends Record<string, unknown> {
  readonly id: string;
  readonly secret: Buffer;
  readonly version: number;
  readonly expiresAt: Date | null;
  readonly failure: string | null;
}

export interface ShownSignIn {
  readonly server: string;
  /** By name; null where a client was let in by its own secret. */
  readonly signedInBy: string | null;
  readonly updatedAt: Date;
  readonly expiresAt: Date | null;
  readonly failure: string | null;
}

/** Of a team, never with their secrets. */
export function readSignIns(db: Database, teamId: string): Promise<ShownSignIn[]> {
  return db.sql<ShownSignIn & Record<string, unknown>>`
    SELECT s.server, u.name AS "signedInBy", s.updated_at AS "updatedAt", s.expires_at AS "expiresAt", s.failure
      FROM mcp_sign_in s LEFT JOIN "user" u ON u.id = s.user_id WHERE s.team_id = ${teamId} ORDER BY s.server`;
}

export function removeSignIn(
  db: Database,
  { teamId, server }: SignInPlace,
): Promise<{ readonly outcome: 'removed' | 'not_found' }> {
  return db.transition('remove_mcp_sign_in', teamId, server);
}
