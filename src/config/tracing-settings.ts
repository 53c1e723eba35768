/** Where traces go: settings that belong together. */
import { z } from 'zod';

const HEADERS = /^[\x21-\x2b\x2d-\x3c\x3e-\x7e ]+=[\x20-\x7e]*$/;

export const TRACING = {
  headers: {
    schema: z.string().max(4_096).regex(HEADERS),
    meta: {
      env: 'OTEL_EXPORTER_OTLP_HEADERS',
      secret: true,
      expected: 'name=value, with commas between several',
    },
  },
  service: {
    schema: z.string().regex(/^[\w.-]{1,100}$/),
    meta: {
      env: 'OTEL_SERVICE_NAME',
      expected: 'a name of letters, digits, dots, dashes and underscores, at most 100',
    },
  },
} as const;

export interface TracingConfig {
  /** Where an OTLP receiver takes HTTP. Without one nothing is traced. */
  readonly endpoint?: string;
  readonly headers?: string;
  /** What this Capybara is called there. */
  readonly service?: string;
}
