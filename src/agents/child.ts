import { readFileSync } from 'node:fs';
import type { Profile } from '../core/profile.ts';

const PROMPT = readFileSync(new URL('./child.md', import.meta.url), 'utf8').trimEnd();

/** An agent as one that is delegated to: it reports to another, and not to a person. */
export function asChild(profile: Profile): Profile {
  return { ...profile, prompt: `${profile.prompt}\n\n${PROMPT}` };
}
