import type { Database } from '../../src/store/database.ts';
import { findBrokenInvariants, type InvariantOptions } from '../../src/store/invariants.ts';

/** Every invariant that is broken, each in a line: nothing where all is well. */
export async function checkWitnesses(db: Database, options: InvariantOptions = {}): Promise<string[]> {
  const broken = await findBrokenInvariants(plannedOnce(db), options);
  return broken.map(({ invariant, id, found }) => `${invariant}: ${id} (${found})`);
}

/** To plan the query takes five times as long as to run it on the few rows of a test. */
function plannedOnce(db: Database): Database {
  return { ...db, read: (text, ...values) => db.planned('every_invariant', text, ...values) };
}
