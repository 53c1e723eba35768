import { createHash } from 'node:crypto';
import type { Profile } from '../core/profile.ts';

/** What a profile is kept by: the SHA-256 of its JSON, hexadecimal. */
export function profileHash(profile: Profile): string {
  return createHash('sha256').update(JSON.stringify(profile)).digest('hex');
}
