/** What `providers add` writes: how a provider is spoken to, and where its key is. */
import type { Config } from '../config.ts';
import { UserError } from '../core/errors.ts';
import { addProvider, checkName, recordingOf, refuseForServer, settingsPlace } from './provider-settings.ts';
import { askKey, readKey } from './secret-input.ts';

interface Typed {
  readonly profile?: string | undefined;
  readonly kind?: string | undefined;
  readonly url?: string | undefined;
  readonly file?: string | undefined;
  readonly 'key-stdin': boolean;
  readonly 'key-variable'?: string | undefined;
  readonly 'no-key': boolean;
  readonly replace: boolean;
}

export interface AddedAnswer {
  readonly provider: string;
  readonly kind: string;
  readonly baseUrl: string | null;
  readonly key: 'set' | 'variable' | 'none';
  /** The settings that it was written to. */
  readonly file: string;
}

/** How a provider of that name is spoken to. Throws `UserError` where that cannot be told. */
export type NewProvider = (
  name: string,
  given: { readonly kind: string | undefined; readonly baseUrl: string | undefined },
) => { readonly kind: string; readonly baseUrl?: string | undefined; readonly isLocal: boolean };

/** Undefined where the person left when the key was asked for: nothing was written. Throws `UserError` for what is wrong. */
export async function addTypedProvider(
  name: string,
  flags: Typed,
  { config, newProvider }: { readonly config: Config; readonly newProvider: NewProvider },
): Promise<AddedAnswer | undefined> {
  refuseForServer(config);
  checkName(name);
  const place = settingsPlace(flags.profile);
  const named = flags.kind ?? (flags.file === undefined ? undefined : 'replay');
  const { kind, baseUrl, isLocal } = newProvider(name, { kind: named, baseUrl: flags.url });
  const file = recordingOf(kind, flags.file);
  const key = await keyOf(name, flags, !isLocal && kind !== 'oci' && kind !== 'replay');
  if (key === undefined) return undefined;
  const provider = {
    kind: named ?? (baseUrl === undefined ? kindToWrite(name, kind) : undefined),
    ...{ baseUrl, file, ...key },
  };
  addProvider(place, name, { provider, replace: flags.replace });
  const state = 'apiKey' in key ? 'set' : 'apiKeyVariable' in key ? 'variable' : 'none';
  return { provider: name, kind, baseUrl: baseUrl ?? null, key: state, file: place.file };
}

async function keyOf(
  name: string,
  flags: Typed,
  needsKey: boolean,
): Promise<{ apiKey: string } | { apiKeyVariable: string } | Record<never, never> | undefined> {
  const { stdin: input, stderr: output } = process;
  if (flags['key-stdin']) return { apiKey: await readKey(input) };
  if (flags['key-variable'] !== undefined) return { apiKeyVariable: flags['key-variable'] };
  if (flags['no-key'] || !needsKey) return {};
  if (!input.isTTY)
    throw new UserError(
      'key_missing',
      `No key was given for ${name}: pass --key-stdin, --key-variable NAME, or --no-key where it wants none.`,
    );
  const key = await askKey({ input, output }, `Key of ${name} (not shown): `);
  return key === undefined ? undefined : { apiKey: key };
}

/** Of those whose name says it, nothing has to be written. */
function kindToWrite(name: string, kind: string): string | undefined {
  return name === kind ? undefined : kind;
}
