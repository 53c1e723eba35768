/**
 * Secrets as Postgres keeps them: sealed by AES-256-GCM, so that whoever has the database, or a copy of it, has none of them.
 *
 * Format (1 byte) · id of the key (8) · nonce (12) · tag (16) · ciphertext. What stands before the nonce is authenticated, and so is the place:
 * what is moved to another row does not open there. Nonces are random, which is for up to 2^32 secrets of one key (NIST SP 800-38D, 8.3).
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { UserError } from '../core/errors.ts';
import { toPublicId } from '../core/id.ts';

const CIPHER = 'aes-256-gcm';
const FORMAT = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** Where in what is sealed the id of its key stands, for SQL too. */
export const KEY_ID = { from: 1, bytes: 8 } as const;
const HEADER_BYTES = KEY_ID.from + KEY_ID.bytes;

/** What a secret belongs to: a row of a table, or what was asked for and is not kept at all (`mcp_login`). */
export interface SealedPlace {
  readonly table: keyof typeof SEALED_IN;
  /** A UUID. */
  readonly id: string;
}

/** As a person is told of one. */
const SEALED_IN = {
  webhook: ({ id }) => `The secret of the webhook ${toPublicId('webhook', id)}`,
  mcp_server: () => 'The settings of an MCP server of the team',
  mcp_sign_in: () => 'What the team has signed in with at an MCP server',
  mcp_login: () => 'A sign-in at an MCP server that was begun',
} as const satisfies Record<string, (place: { readonly id: string }) => string>;

interface SealingKey {
  readonly id: string;
  readonly bytes: Buffer;
}

export class Sealing {
  readonly #keys: readonly SealingKey[];

  /** `keys`: each 32 bytes in base64. The first one seals, all of them open. */
  constructor(keys: readonly string[]) {
    this.#keys = keys.map((key) => {
      const bytes = Buffer.from(key, 'base64');
      return { bytes, id: idOf(bytes) };
    });
  }

  get canSeal(): boolean {
    return this.#keys.length > 0;
  }

  /** Of the one that seals, in hexadecimal; undefined where there is none. */
  get keyId(): string | undefined {
    return this.#keys[0]?.id;
  }

  hasKey(id: string): boolean {
    return this.#keys.some((key) => key.id === id);
  }

  /** Throws `UserError` `no_encryption_key`. */
  seal(secret: Uint8Array, place: SealedPlace): Buffer {
    const [key] = this.#keys;
    if (key === undefined) throw noEncryptionKey();
    const header = Buffer.concat([Buffer.of(FORMAT), Buffer.from(key.id, 'hex')]);
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(CIPHER, key.bytes, nonce).setAAD(authenticated(header, place));
    const sealed = Buffer.concat([cipher.update(secret), cipher.final()]);
    return Buffer.concat([header, nonce, cipher.getAuthTag(), sealed]);
  }

  /** Throws `UserError`: `no_encryption_key`, `wrong_encryption_key`, or `seal_broken` where it was changed, or sealed for another place. */
  open(sealed: Buffer, place: SealedPlace): Buffer {
    if (!this.canSeal) throw noEncryptionKey();
    const header = sealed.subarray(0, HEADER_BYTES);
    const id = header.subarray(KEY_ID.from).toString('hex');
    const key = this.#keys.find((each) => each.id === id);
    if (header[0] !== FORMAT) throw broken(place);
    if (key === undefined) throw wrongEncryptionKey(`${sayPlace(place)} is`, id);
    const nonce = sealed.subarray(HEADER_BYTES, HEADER_BYTES + NONCE_BYTES);
    const tag = sealed.subarray(HEADER_BYTES + NONCE_BYTES, HEADER_BYTES + NONCE_BYTES + TAG_BYTES);
    try {
      const cipher = createDecipheriv(CIPHER, key.bytes, nonce, { authTagLength: TAG_BYTES });
      cipher.setAAD(authenticated(header, place)).setAuthTag(tag);
      const rest = sealed.subarray(HEADER_BYTES + NONCE_BYTES + TAG_BYTES);
      return Buffer.concat([cipher.update(rest), cipher.final()]);
    } catch {
      throw broken(place);
    }
  }
}

/** Tells keys apart, and says nothing of them: each is random. */
function idOf(key: Buffer): string {
  return createHash('sha256')
    .update('capybara sealing key')
    .update(key)
    .digest('hex')
    .slice(0, 2 * KEY_ID.bytes);
}

function authenticated(header: Buffer, { table, id }: SealedPlace): Buffer {
  return Buffer.concat([header, Buffer.from(`${table}/${id}`)]);
}

function sayPlace(place: SealedPlace): string {
  return SEALED_IN[place.table](place);
}

function noEncryptionKey(): UserError {
  return new UserError(
    'no_encryption_key',
    'Nothing can be kept secret in the database here: set CAPYBARA_ENCRYPTION_KEY on every API and worker, to what `openssl rand -base64 32` prints.',
    3,
  );
}

/** `what`: what is sealed, with its verb. */
export function wrongEncryptionKey(what: string, keyId: string): UserError {
  return new UserError(
    'wrong_encryption_key',
    `${what} sealed with a key that is not in CAPYBARA_ENCRYPTION_KEY (its id is ${keyId}): set the one that was used, or add it behind the first with a comma.`,
    3,
  );
}

function broken(place: SealedPlace): UserError {
  return new UserError(
    'seal_broken',
    `${sayPlace(place)} does not open with the key it names: it was changed, or sealed for another row.`,
    3,
  );
}
