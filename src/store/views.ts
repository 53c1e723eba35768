/**
 * What the API reads, as rows: ids are UUIDs, times are dates. Ordinary reads go through Prisma, over the pool that
 * everything uses; those with computed columns, and those of a stream, are SQL.
 */
import { type Database, DatabaseUnavailable } from './database.ts';
import type { PrismaClient } from './generated/client.ts';

const clients = new WeakMap<Database, Promise<PrismaClient>>();

/** Loaded when first needed: it takes longer to load than everything else in the API. */
function prismaOf(db: Database): Promise<PrismaClient> {
  const known = clients.get(db);
  if (known !== undefined) return known;
  const client = load(db);
  clients.set(db, client);
  return client;
}

async function load(db: Database): Promise<PrismaClient> {
  const [{ PrismaClient }, { PrismaPg }] = await Promise.all([
    import('./generated/client.ts'),
    import('@prisma/adapter-pg'),
  ]);
  return new PrismaClient({ adapter: new PrismaPg(db.pool) });
}

/** Prisma's codes for a Postgres that is away: unreachable, timed out, closed the connection, has none to spare. */
const UNAVAILABLE = /^(P1001|P1002|P1008|P1017|P2024|P2037)$/;

/**
 * A read through Prisma, repeated once: a pool finds out that a connection is gone by using it. Throws `DatabaseUnavailable`
 * where Postgres does not answer.
 */
export async function readWithPrisma<Found>(
  db: Database,
  read: (prisma: PrismaClient) => Promise<Found>,
): Promise<Found> {
  const prisma = await prismaOf(db);
  try {
    return await read(prisma).catch((error: unknown) => {
      if (!isAway(error)) throw error;
      return read(prisma);
    });
  } catch (error) {
    throw isAway(error) ? new DatabaseUnavailable(error) : error;
  }
}

function isAway(error: unknown): boolean {
  const { code, message = '' } = error as { code?: string; message?: string };
  return UNAVAILABLE.test(code ?? '') || /connection terminated|timeout exceeded when trying/i.test(message);
}

/** A page of rows: `limit` at most, and whether more follow. Queries ask for one more than they hand on. */
export interface Rows<Row> {
  readonly rows: readonly Row[];
  readonly more: boolean;
}

export function cut<Row>(rows: readonly Row[], limit: number): Rows<Row> {
  return { rows: rows.slice(0, limit), more: rows.length > limit };
}
