/** The map of a project's source that an agent is told at the beginning of a session. */
import type { Limit } from './command-settings.ts';

export const PROJECT_MAP = {
  /** That it may take; 0: none is made. */
  tokens: { env: 'CAPYBARA_PROJECT_MAP_TOKENS', least: 0, most: 20_000, usual: 2_000 },
} as const satisfies Record<string, Limit>;
