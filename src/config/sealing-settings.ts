/** What settings say about how secrets are kept in the database. */
import { z } from 'zod';

/** Keys at a time: the one that seals, and those of before. */
export const MAX_ENCRYPTION_KEYS = 10;

const split = (raw: unknown) => (typeof raw === 'string' ? raw.split(',').map((each) => each.trim()) : raw);

/** 32 bytes; what is left over of the last digit is nothing. */
const key = z.string().regex(/^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/);

export const ENCRYPTION_KEY = {
  schema: z.preprocess(split, z.array(key).min(1).max(MAX_ENCRYPTION_KEYS)),
  meta: {
    env: 'CAPYBARA_ENCRYPTION_KEY',
    secret: true,
    expected: `what \`openssl rand -base64 32\` prints (32 bytes in base64), or at most ${MAX_ENCRYPTION_KEYS} of them with commas between them`,
  },
} as const;
