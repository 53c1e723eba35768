/**
 * What the API reads, as rows: ids are UUIDs, times are dates. Ordinary reads go through Prisma, over the pool that
 * everything uses; those with computed columns, and those of a stream, are SQL.
 */
import { type Database, ForeignError } from './database.ts';
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

/** The SQLSTATE behind Prisma's own codes for a Postgres that is away: unreachable, timed out, closed the connection; has none to spare. */
const SQLSTATE_OF: Readonly<Record<string, string>> = {
  ...{ P1001: '08001', P1002: '08001', P1008: '08006', P1017: '08006' },
  ...{ P2024: '53300', P2037: '53300' },
};

/** A read through Prisma. Throws `DatabaseUnavailable` where Postgres does not answer. */
export async function readWithPrisma<Found>(
  db: Database,
  read: (prisma: PrismaClient) => Promise<Found>,
): Promise<Found> {
  const prisma = await prismaOf(db);
  return db.repeat(() =>
    read(prisma).catch((error: Error & PrismaError) => {
      const code = sqlStateOf(error);
      throw code === undefined ? error : new ForeignError(code, error);
    }),
  );
}

interface PrismaError {
  readonly code?: string;
  readonly meta?: { readonly driverAdapterError?: { readonly cause?: { readonly originalCode?: string } } };
}

/** What is not Prisma's own is thrown as `pg` threw it. */
function sqlStateOf({ code = '', meta }: PrismaError): string | undefined {
  return meta?.driverAdapterError?.cause?.originalCode ?? SQLSTATE_OF[code];
}

/** A page of rows: `limit` at most, and whether more follow. Queries ask for one more than they hand on. */
export interface Rows<Row> {
  readonly rows: readonly Row[];
  readonly more: boolean;
}

export function cut<Row>(rows: readonly Row[], limit: number): Rows<Row> {
  return { rows: rows.slice(0, limit), more: rows.length > limit };
}
