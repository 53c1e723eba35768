/** How much of a session's log a request holds: settings that belong together. */
import { z } from 'zod';
import { DEFAULT_CONTEXT } from '../core/profile.ts';
import type { Limit } from './command-settings.ts';

/** Fewer leave no room for a system prompt and the tools. */
export const LEAST_CONTEXT_TOKENS = 1_000;
export const MOST_CONTEXT_TOKENS = 10_000_000;
export const MOST_CONTEXT_MESSAGES = 100_000;
/** Below it a compaction would leave little, and above it there is no room for what one turn adds. */
export const COMPACT_AT = { least: 0.3, most: 0.95 } as const;

const NO_NUMBER = ['none', 'null'];

function parseNumber(raw: unknown): unknown {
  return typeof raw === 'string' && /^\d+(\.\d+)?$/.test(raw) ? Number(raw) : raw;
}

/** In YAML `null` is what is not set, so that there is a word for it. */
function parseMessages(raw: unknown): unknown {
  return typeof raw === 'string' && NO_NUMBER.includes(raw) ? null : parseNumber(raw);
}

export const CONTEXT = {
  strategy: {
    schema: z.enum(['compact', 'window']),
    meta: { env: 'CAPYBARA_CONTEXT_STRATEGY', expected: '"compact" or "window"' },
  },
  maxTokens: {
    env: 'CAPYBARA_CONTEXT_MAX_TOKENS',
    least: LEAST_CONTEXT_TOKENS,
    most: MOST_CONTEXT_TOKENS,
    usual: DEFAULT_CONTEXT.maxTokens,
  } satisfies Limit,
  maxMessages: {
    schema: z.preprocess(parseMessages, z.int().min(2).max(MOST_CONTEXT_MESSAGES).nullable()),
    meta: {
      env: 'CAPYBARA_CONTEXT_MAX_MESSAGES',
      expected: `a whole number from 2 to ${MOST_CONTEXT_MESSAGES}, or "none"`,
    },
  },
  compactAt: {
    schema: z.preprocess(parseNumber, z.number().min(COMPACT_AT.least).max(COMPACT_AT.most)),
    meta: {
      env: 'CAPYBARA_CONTEXT_COMPACT_AT',
      expected: `a number from ${COMPACT_AT.least} to ${COMPACT_AT.most}`,
    },
  },
};
