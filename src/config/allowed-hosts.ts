/** Settings that list what may be reached though it is private. */
import { z } from 'zod';

const split = (raw: unknown) => (typeof raw === 'string' ? raw.split(',').map((each) => each.trim()) : raw);

const host = z
  .string()
  .regex(/^(?![\d.]+$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$/i);

/** Hosts, addresses and ranges of addresses, at most so many. */
export function allowedHosts(env: string, most: number) {
  const entries = z.array(z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6(), host]));
  return {
    schema: z.preprocess(split, entries.min(1).max(most)),
    meta: {
      env,
      expected: `at most ${most} hosts, addresses or ranges of addresses such as ci.internal or 10.0.0.0/8, with commas between them`,
    },
  };
}
