import type { Database } from '../../src/store/database.ts';
import { findBrokenInvariants, type InvariantOptions } from '../../src/store/invariants.ts';

/** Every invariant that is broken, each in a line: nothing where all is well. */
export async function checkWitnesses(db: Database, options: InvariantOptions = {}): Promise<string[]> {
  const broken = await findBrokenInvariants(db, options);
  return broken.map(({ invariant, id, found }) => `${invariant}: ${id} (${found})`);
}
