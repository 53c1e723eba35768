/** Profiles of Oracle's command line: `~/.oci/config`, the keys and tokens that it names. */
import { createPrivateKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, resolve } from 'node:path';
import type { OciOptions } from './connection.ts';
import type { OciSdk } from './oci-sdk.ts';
import { fields, KnownFailure } from './report.ts';

export const DEFAULT_OCI_CONFIG = '~/.oci/config';
const DEFAULT_PROFILE = 'DEFAULT';

/** What a profile says, its key read and opened. */
export interface OciProfile {
  /** `profile NAME in FILE`, for people. */
  readonly shown: string;
  readonly region: string | undefined;
  readonly tenancy: string;
  readonly user: string | undefined;
  readonly fingerprint: string | undefined;
  /** PEM without a passphrase. */
  readonly privateKey: string;
  readonly token: string | undefined;
}

/** Reads it anew: keys and tokens are replaced while workers run. Throws `KnownFailure`. */
export async function readProfile(sdk: OciSdk, options: OciOptions): Promise<OciProfile> {
  const file = expanded(options.ociConfig ?? DEFAULT_OCI_CONFIG);
  const profile = options.ociProfile ?? DEFAULT_PROFILE;
  const shown = `profile ${profile} in ${file}`;
  const text = await contentOf(
    file,
    'the file of profiles',
    'make it with `oci setup config`, or set ociConfig',
  );
  const get = getterOf(sdk, text, { profile, file, shown });
  const needed = (key: string): string => {
    const value = get(key);
    if (value === undefined) throw unusable(`${shown} has no ${key}`, 'add it');
    return value;
  };
  const beside = (path: string) => resolve(dirname(file), expanded(path));
  const tokenFile = get('security_token_file');
  return {
    shown,
    region: get('region'),
    tenancy: needed('tenancy'),
    user: get('user'),
    fingerprint: get('fingerprint'),
    privateKey: await keyOf(beside(needed('key_file')), get('pass_phrase'), shown),
    token: tokenFile === undefined ? undefined : await tokenIn(beside(tokenFile), shown),
  };
}

function getterOf(
  sdk: OciSdk,
  text: string,
  { profile, file, shown }: { readonly profile: string; readonly file: string; readonly shown: string },
): (key: string) => string | undefined {
  try {
    // It complains of a file without this section, also where the profile is another.
    const found = sdk.ConfigFileReader.parse(`${text}\n[${DEFAULT_PROFILE}]\n`, profile);
    return (key) => found.get(key)?.trim() || undefined;
  } catch (error) {
    // Its message quotes the line, which may hold a passphrase.
    if (/No profile named/.test(String(fields(error).message)))
      throw unusable(`${shown} does not exist`, 'set ociProfile to one that does');
    throw unusable(`${file} has a line that is neither [PROFILE] nor KEY=VALUE`, 'mend it');
  }
}

async function tokenIn(file: string, shown: string): Promise<string> {
  return (await contentOf(file, `the security token of ${shown}`, 'run `oci session authenticate`')).trim();
}

async function keyOf(file: string, passphrase: string | undefined, shown: string): Promise<string> {
  const pem = await contentOf(file, `the private key of ${shown}`, 'correct key_file');
  try {
    const key = createPrivateKey({ key: pem, ...(passphrase === undefined ? {} : { passphrase }) });
    if (key.asymmetricKeyType !== 'rsa')
      throw unusable(`the private key ${file} is not of RSA`, 'make one that is');
    return key.export({ type: 'pkcs1', format: 'pem' }).toString();
  } catch (error) {
    if (error instanceof KnownFailure) throw error;
    throw unusable(...keyTrouble(file, /ENCRYPTED/.test(pem), passphrase !== undefined));
  }
}

function keyTrouble(file: string, isEncrypted: boolean, hasPassphrase: boolean): [string, string] {
  if (!isEncrypted) return [`the private key ${file} is no PEM that can be read`, 'make it anew'];
  if (hasPassphrase) return [`the private key ${file} does not open with pass_phrase`, 'correct it'];
  return [`the private key ${file} wants a passphrase`, 'add pass_phrase to the profile'];
}

async function contentOf(file: string, what: string, remedy: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw unusable(`${what}, ${file}, cannot be read (${String(fields(error).code)})`, remedy);
  }
}

function expanded(path: string): string {
  return path.replace(/^~(?=\/|$)/, homedir());
}

/** Nobody was asked: what a person has to mend stands in the sentence. */
export function unusable(what: string, remedy: string): KnownFailure {
  const message = `Oracle's cloud cannot be signed in to: ${what}; ${remedy}.`;
  return new KnownFailure({ kind: 'terminal', code: 'provider_auth', message });
}
