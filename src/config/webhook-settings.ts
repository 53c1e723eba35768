/** What settings say about where webhooks may be sent. */
import { allowedHosts } from './allowed-hosts.ts';

/** Hosts, addresses and ranges that `webhooks.allow` may list. */
export const MAX_WEBHOOKS_ALLOWED = 100;

export const WEBHOOKS_ALLOW = allowedHosts('CAPYBARA_WEBHOOKS_ALLOW', MAX_WEBHOOKS_ALLOWED);

export interface WebhooksConfig {
  /** What webhooks may be sent to though it is private, and without TLS. */
  readonly allow?: readonly string[];
}
