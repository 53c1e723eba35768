/** What settings say about where webhooks may be sent. */
import { z } from 'zod';

/** Hosts, addresses and ranges that `webhooks.allow` may list. */
export const MAX_WEBHOOKS_ALLOWED = 100;

const split = (raw: unknown) => (typeof raw === 'string' ? raw.split(',').map((each) => each.trim()) : raw);

const host = z
  .string()
  .regex(/^(?![\d.]+$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$/i);

export const WEBHOOKS_ALLOW = {
  schema: z.preprocess(
    split,
    z
      .array(z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6(), host]))
      .min(1)
      .max(MAX_WEBHOOKS_ALLOWED),
  ),
  meta: {
    env: 'CAPYBARA_WEBHOOKS_ALLOW',
    expected: `at most ${MAX_WEBHOOKS_ALLOWED} hosts, addresses or ranges of addresses such as ci.internal or 10.0.0.0/8, with commas between them`,
  },
};

export interface WebhooksConfig {
  /** What webhooks may be sent to though it is private, and without TLS. */
  readonly allow?: readonly string[];
}
