/**
 * An upload that is refused: `code` is stable, the message one sentence for a person.
 *
 * `too_large` (a limit was passed), `malformed` (it is no snapshot), `incomplete` (it names what was neither sent nor is in the upload before),
 * `cut_off` (it ended, or stood still, in the middle), `busy` (others are being taken in; later it may be taken).
 */
export class UploadError extends Error {
  override readonly name = 'UploadError';
  readonly code: UploadCode;
  constructor(code: UploadCode, message: string) {
    super(message);
    this.code = code;
  }
}

export type UploadCode = 'too_large' | 'malformed' | 'incomplete' | 'cut_off' | 'busy';

export function malformed(found: string): UploadError {
  return new UploadError(
    'malformed',
    `The upload is no snapshot of a directory (${found}): send it with \`capybara run\` or \`submit\` of this version.`,
  );
}

export function tooLarge(what: string, limit: number): UploadError {
  return new UploadError(
    'too_large',
    `The upload ${what}; up to ${limit.toLocaleString('en-US')} are taken: ignore what is generated (.gitignore), or have the server take more.`,
  );
}
