/** How long a host keeps what nobody uses, in days: settings that belong together. */
import type { Limit } from './command-settings.ts';

const TEN_YEARS = 3_650;

export const KEEP = {
  /** Working directories of sessions. */
  filesDays: { env: 'CAPYBARA_KEEP_FILES_DAYS', least: 1, most: TEN_YEARS, usual: 14 },
  /** Uploads that no session began with. */
  uploadsDays: { env: 'CAPYBARA_KEEP_UPLOADS_DAYS', least: 1, most: TEN_YEARS, usual: 30 },
  /** The audit trail. */
  auditDays: { env: 'CAPYBARA_KEEP_AUDIT_DAYS', least: 1, most: TEN_YEARS, usual: 365 },
  /** Deliveries of webhooks that have ended. */
  deliveriesDays: { env: 'CAPYBARA_KEEP_DELIVERIES_DAYS', least: 1, most: TEN_YEARS, usual: 30 },
} as const satisfies Record<string, Limit>;
