/** What `providers add`, `use` and `remove` write into the user's own settings. */
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import { hostOf } from '../client/server.ts';
import { userConfigFile } from '../config/layers.ts';
import { MAPS } from '../config/maps.ts';
import { changeUserFile, type Settings } from '../config/user-file.ts';
import { type Config, commandEnvironment, type LoadedConfig } from '../config.ts';
import { UserError } from '../core/errors.ts';

/** Where it is written: into the chosen profile, where there is one. */
export interface SettingsPlace {
  readonly file: string;
  readonly at: readonly string[];
}

const PROFILE = /^[\p{L}\p{N}][\p{L}\p{N} ._@-]{0,63}$/u;

export function settingsPlace(profile: string | undefined): SettingsPlace {
  const file = userConfigFile({ env: commandEnvironment(), home: homedir() });
  if (profile !== undefined && !PROFILE.test(profile))
    throw new UserError(
      'profile_name',
      `--profile ${JSON.stringify(profile)} is no name of a profile: expected letters and digits, then also spaces, dots, dashes, at most 64.`,
    );
  return { file, at: profile === undefined ? [] : ['profiles', profile] };
}

/** A server's own are set where it runs. */
export function refuseForServer({ url }: Pick<Config, 'url'>): void {
  if (url === undefined) return;
  const message =
    `${hostOf({ url })} is what commands talk to here (CAPYBARA_URL), and its providers belong to it: set them where it runs, ` +
    'or unset CAPYBARA_URL for those of this machine.';
  throw new UserError('providers_of_server', message);
}

export interface AddedProvider {
  readonly kind?: string | undefined;
  readonly baseUrl?: string | undefined;
  readonly file?: string | undefined;
  readonly apiKey?: string | undefined;
  readonly apiKeyVariable?: string | undefined;
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

export function checkName(name: string): void {
  if (name === 'env')
    throw new UserError('provider_name', 'The provider env is CAPYBARA_MODEL_ENDPOINT: choose another name.');
  if (NAME.test(name)) return;
  const message = `${JSON.stringify(name)} is no name of a provider: expected letters, digits, dots, dashes, at most 64.`;
  throw new UserError('provider_name', message);
}

/** What one of kind replay plays, wherever Capybara runs. Throws `UserError` where it is missing, or nobody would play it. */
export function recordingOf(kind: string, file: string | undefined): string | undefined {
  if (kind === 'replay' && file !== undefined) return resolve(file);
  if (kind !== 'replay' && file === undefined) return undefined;
  const message =
    kind === 'replay'
      ? 'Nothing says what it plays: pass --file FILE, as `capybara run --record FILE` writes it.'
      : `--file is the recording of a provider of kind replay; this one is of kind ${kind}.`;
  throw new UserError('recording_file', message);
}

/** Throws `UserError` where there is one of that name already, unless it may be replaced. */
export function addProvider(
  { file, at }: SettingsPlace,
  name: string,
  { provider, replace }: { readonly provider: AddedProvider; readonly replace: boolean },
): void {
  const value = Object.fromEntries(Object.entries(provider).filter(([, field]) => field !== undefined));
  const wrong = MAPS.providers.safeParse({ [name]: value }).error?.issues[0];
  // Values are not quoted: one of them may be a key.
  if (wrong !== undefined)
    throw new UserError(
      'provider_invalid',
      `${wrong.path.slice(1).join('.') || 'It'} is wrong: ${wrong.message}.`,
    );
  changeUserFile(file, (settings) => {
    const path = [...at, 'providers', name];
    if (settings.has(path) && !replace) throw exists(name, file);
    settings.set(path, value);
  });
}

export function useModel({ file, at }: SettingsPlace, model: string): void {
  changeUserFile(file, (settings) => settings.set([...at, 'model'], model));
}

/** Returns the configured model where it was one of that provider's. Throws `UserError` where the file has no such provider. */
export function removeProvider(
  { file, at }: SettingsPlace,
  name: string,
  { sources }: Pick<LoadedConfig, 'sources'>,
): string | undefined {
  let model: unknown;
  changeUserFile(file, (settings: Settings) => {
    const path = [...at, 'providers', name];
    if (!settings.has(path)) throw notInFile(name, file, sources);
    settings.remove(path);
    model = settings.get([...at, 'model']);
  });
  return typeof model === 'string' && model.startsWith(`${name}/`) ? model : undefined;
}

function exists(name: string, file: string): UserError {
  const message = `There is a provider ${name} in ${file} already: pass --replace, or take another name.`;
  return new UserError('provider_exists', message);
}

/** Of those that have variables, which one is set. */
function notInFile(name: string, file: string, sources: LoadedConfig['sources']): UserError {
  const elsewhere = (['apiKey', 'baseUrl'] as const)
    .map((field) => sources[`providers.${name}.${field}` as keyof typeof sources])
    .find((source) => source !== undefined && source.kind !== 'default' && source.kind !== 'user');
  const where =
    elsewhere === undefined
      ? '`capybara providers list` has those there are'
      : `it comes from ${elsewhere.name} (${elsewhere.where}), unset that`;
  return new UserError('unknown_provider', `There is no provider ${name} in ${file}: ${where}.`);
}

/** What says something else than the user's own settings, and is heard first. */
export function overruling({ sources, config }: LoadedConfig, model: string): string | undefined {
  const { kind, name, where } = sources.model;
  if (kind === 'default' || kind === 'user' || config.model === model) return undefined;
  return `${name} (${where}) says ${config.model}, and is heard first.`;
}
