/**
 * The transition functions (`transitions/*.sql`) live in a Postgres schema that is named after their contents, so that
 * an old and a new version of Capybara each call their own while a deploy is under way.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Client } from 'pg';

const DIRECTORY = fileURLToPath(new URL('./transitions', import.meta.url));

/** The schema with the functions of this code: `capybara_` and 12 hexadecimal digits. */
export function transitionsSchema(directory: string = DIRECTORY): string {
  const hash = createHash('sha256');
  for (const sql of readFiles(directory)) hash.update(sql);
  return `capybara_${hash.digest('hex').slice(0, 12)}`;
}

/**
 * Installs the functions, in one transaction: where the schema exists, it is whole. The caller holds the migration lock.
 */
export async function installTransitions(client: Client, directory: string = DIRECTORY): Promise<void> {
  const schema = transitionsSchema(directory);
  const { rowCount } = await client.query('SELECT FROM pg_namespace WHERE nspname = $1', [schema]);
  if (rowCount !== 0) return;
  await client.query('BEGIN');
  try {
    await client.query(`CREATE SCHEMA ${schema}`);
    await client.query(`SET LOCAL search_path = ${schema}, public`);
    for (const sql of readFiles(directory)) await client.query(sql);
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {});
    throw error;
  }
}

/** In the order of their names. */
function readFiles(directory: string): string[] {
  if (!existsSync(directory)) return [];
  const names = readdirSync(directory).filter((name) => name.endsWith('.sql'));
  return names.sort().map((name) => readFileSync(join(directory, name), 'utf8'));
}
