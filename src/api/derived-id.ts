import { createHash } from 'node:crypto';

/** One id per scope and idempotency key: the row's own id makes it so. */
export function derivedId(scope: string, key: string): string {
  const digits = createHash('sha256').update(`${scope}\n${key}`).digest('hex').slice(0, 32);
  return digits.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12})$/, '$1-$2-8$3-8$4-$5');
}
