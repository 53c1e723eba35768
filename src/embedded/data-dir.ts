/**
 * The directory of an embedded Capybara: whose it is, who uses it now, and where its server listens.
 */
import { accessSync, constants, mkdirSync, statSync } from 'node:fs';
import { messageOf, UserError } from '../core/errors.ts';

/**
 * Creates the directory (mode 0700) where it is absent, and checks that this user owns it and may write in it.
 *
 * @throws UserError `data_dir`, exit code 3.
 */
export function openDataDir(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw dataDirError(path, `cannot be created (${messageOf(error)})`);
  }
  checkOwner(path);
  try {
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch {
    throw dataDirError(path, 'is not writable');
  }
}

function checkOwner(path: string): void {
  const uid = process.getuid?.();
  const owner = statSync(path).uid;
  if (uid === undefined || owner === uid) return;
  throw dataDirError(path, `belongs to another user (uid ${owner}, this process is uid ${uid})`);
}

/** One sentence about a data directory that cannot be used. */
export function dataDirError(path: string, found: string): UserError {
  return new UserError(
    'data_dir',
    `The data directory ${path} ${found}: use one of your own with --data-dir or CAPYBARA_DATA_DIR.`,
    3,
  );
}
