/** What the API of a server lets in: settings that belong together. */
import { z } from 'zod';
import type { Limit } from './command-settings.ts';

export const API = {
  /** Of one key, to one API process; 0: as many as it likes. */
  requestsPerMinute: { env: 'CAPYBARA_API_REQUESTS_PER_MINUTE', least: 0, most: 1_000_000, usual: 6_000 },
  /** From one address, to one API process; 0: as many as it likes. */
  wrongKeysPerMinute: { env: 'CAPYBARA_API_WRONG_KEYS_PER_MINUTE', least: 0, most: 1_000_000, usual: 60 },
} as const satisfies Record<string, Limit>;

/** What hands in tasks again and again. */
export const SCHEDULES = {
  /** Those of one team. */
  perTeam: { env: 'CAPYBARA_SCHEDULES_PER_TEAM', least: 0, most: 10_000, usual: 100 },
  /** Between two times that one is due. */
  shortestSeconds: { env: 'CAPYBARA_SCHEDULES_SHORTEST_SECONDS', least: 1, most: 31_622_400, usual: 60 },
} as const satisfies Record<string, Limit>;

const MAX_ORIGINS = 50;

const split = (raw: unknown) => (typeof raw === 'string' ? raw.split(',').map((each) => each.trim()) : raw);

/** `https://tools.example, http://localhost:3000`: exactly as a browser says it. */
const origin = z.string().refine((text) => URL.canParse(text) && new URL(text).origin === text);

export const CORS_ORIGINS = {
  schema: z.preprocess(split, z.array(origin).min(1).max(MAX_ORIGINS)),
  meta: {
    env: 'CAPYBARA_API_CORS_ORIGINS',
    expected: `at most ${MAX_ORIGINS} origins such as https://tools.example, with commas between them`,
  },
};

export interface ApiConfig {
  /** Requests a minute that one key may send to one API process; 0: as many as it likes. */
  readonly requestsPerMinute: number;
  /** Wrong keys a minute that may come from one address to one API process; 0: as many as it likes. */
  readonly wrongKeysPerMinute: number;
  /** Origins of pages that browsers may let use the API; none where left out. */
  readonly corsOrigins?: readonly string[];
}

/** What is counted of all teams together, for those who run this Capybara. */
export interface MetricsConfig {
  /** Whether whoever reaches the API may read them without a key; else only from its own machine. */
  readonly open: boolean;
}
