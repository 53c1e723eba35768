/** MCP servers that a team's administrators added. What settings mean is for whoever reads them: here they are JSON. */
import { UserError } from '../core/errors.ts';
import type { Database } from './database.ts';
import type { Sealing } from './sealing.ts';

/** Of one team. */
export const MAX_MCP_SERVERS = 50;

export interface NewMcpServer {
  readonly teamId: string;
  /** Who writes it. */
  readonly userId: string;
  /** A UUID, new with each writing: settings are sealed for it. */
  readonly id: string;
  readonly name: string;
  readonly settings: unknown;
  /** Whether it replaces one of the same address. Otherwise what was signed in with under its name goes. */
  readonly keepsSignIn?: boolean;
}

/** One of the same name is replaced. Throws `UserError` `no_encryption_key` where it could not be sealed. */
export function putMcpServer(
  db: Database,
  { teamId, userId, id, name, settings, keepsSignIn = false }: NewMcpServer,
  sealing: Sealing,
): Promise<{ readonly outcome: 'put' | 'too_many' }> {
  const sealed = sealing.seal(Buffer.from(JSON.stringify(settings)), { table: 'mcp_server', id });
  const server = { id, name, settings: sealed.toString('hex'), keepsSignIn };
  return db.transition('put_mcp_server', teamId, userId, server, MAX_MCP_SERVERS);
}

export function removeMcpServer(
  db: Database,
  { teamId, name }: { readonly teamId: string; readonly name: string },
): Promise<{ readonly outcome: 'removed' | 'not_found' }> {
  return db.transition('remove_mcp_server', teamId, name);
}

/** `settings`: as they were put. `unopened`: why they do not open here, for an operator. */
export type StoredMcpServer = { readonly id: string; readonly name: string } & (
  | { readonly settings: unknown }
  | { readonly unopened: string }
);

/** All of a team, by name. */
export async function readMcpServers(
  db: Database,
  teamId: string,
  sealing: Sealing,
): Promise<readonly StoredMcpServer[]> {
  const rows = await db.sql<{ id: string; name: string; settings: Buffer }>`
    SELECT id, name, settings FROM mcp_server WHERE team_id = ${teamId} ORDER BY name`;
  return rows.map(({ id, name, settings }) => ({ id, name, ...opened(id, settings, sealing) }));
}

function opened(id: string, sealed: Buffer, sealing: Sealing) {
  try {
    return { settings: JSON.parse(sealing.open(sealed, { table: 'mcp_server', id }).toString()) as unknown };
  } catch (error) {
    if (error instanceof UserError) return { unopened: error.message };
    throw error;
  }
}
