import { Client } from 'pg';
import { expect, test } from 'vitest';
import { createTestDatabase } from '../support/database.ts';

test('a test database is a copy of the migrated template', async () => {
  const database = await createTestDatabase();
  const client = new Client(database.url);
  await client.connect();
  const { rows } = await client.query('SELECT migration_name FROM _prisma_migrations');
  expect(rows.length).toBeGreaterThanOrEqual(0);
  await client.end();
  await database.drop();
});
