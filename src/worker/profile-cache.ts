import type { Profile } from '../core/profile.ts';
import type { Database } from '../store/database.ts';
import { readProfile } from '../store/session-log.ts';

const PROFILES = 1_000;

/** Profiles by hash: immutable, so what is here is right for ever. */
export class ProfileCache {
  readonly #profiles = new Map<string, Profile>();

  async read(db: Database, hash: string): Promise<Profile> {
    const known = this.#profiles.get(hash) ?? (await readProfile(db, hash));
    if (known === undefined) throw new Error(`profile ${hash} is not in the database`);
    if (this.#profiles.size >= PROFILES) this.#profiles.clear();
    this.#profiles.set(hash, known);
    return known;
  }
}
