/** Signatures as Standard Webhooks 1.0 have them: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md */
import { createHmac, randomBytes } from 'node:crypto';

/** That specification asks for 24 to 64. */
const SECRET_BYTES = 32;

export function mintSecret(): Buffer {
  return randomBytes(SECRET_BYTES);
}

/** As receivers are told it, once. */
export function sayWebhookSecret(secret: Uint8Array): string {
  return `whsec_${Buffer.from(secret).toString('base64')}`;
}

export interface Signed {
  /** The same for each try: by it a receiver drops repeats. */
  readonly id: string;
  /** When it is sent, in seconds since the epoch. */
  readonly seconds: number;
  readonly body: string;
}

export function signatureHeaders({ id, seconds, body }: Signed, secret: Uint8Array): Record<string, string> {
  const signature = createHmac('sha256', secret).update(`${id}.${seconds}.${body}`).digest('base64');
  return {
    'webhook-id': id,
    'webhook-timestamp': String(seconds),
    'webhook-signature': `v1,${signature}`,
  };
}
