/** What `config set` and `reset` write into the user's own settings. */
import { existsSync, renameSync } from 'node:fs';
import { MAP_KEYS, type MapKey } from '../config/maps.ts';
import { metaOf, parseSetting, SETTING_KEYS, type SettingKey } from '../config/settings.ts';
import { changeUserFile } from '../config/user-file.ts';
import type { LoadedConfig } from '../config.ts';
import { UserError } from '../core/errors.ts';
import type { SettingsPlace } from './provider-settings.ts';

/** No map keeps it: JavaScript means something else by it. */
const UNKEPT = '__proto__';

/** A setting, or one name in a map of names: `model`, `tools.bash.timeout`, `aliases.fast`. Throws `UserError` where it is neither. */
export function settingNamed(name: string): { readonly key: SettingKey; readonly path: readonly string[] } {
  const key = SETTING_KEYS.find((known) => known === name);
  if (key !== undefined) return { key, path: key.split('.') };
  const [map = '', ...rest] = name.split('.');
  const inner = rest.join('.');
  if (map === 'aliases' && inner !== '' && inner !== UNKEPT) return { key: map, path: [map, inner] };
  throw new UserError(
    'unknown_setting',
    `There is no setting ${JSON.stringify(name.slice(0, 80))}: \`capybara config show\` lists them${near(name)}.`,
  );
}

const MOST_SHOWN = 5;

/** Those that have a part of it in their names. */
function near(name: string): string {
  const parts = name
    .toLowerCase()
    .split('.')
    .filter((part) => part.length > 2);
  const alike = SETTING_KEYS.filter((key) => parts.some((part) => key.toLowerCase().includes(part)));
  return alike.length === 0 ? '' : `; some are like it: ${alike.slice(0, MOST_SHOWN).join(', ')}`;
}

export function isSecret(name: string): boolean {
  return metaOf(settingNamed(name).key).secret === true;
}

/**
 * Writes it as the file has it: a number, a text, a map. Throws `UserError` where it is not what the setting takes, or `load` what is wrong
 * with the settings that would come of it, but was not before; then nothing is written.
 */
export function setSetting(
  { file, at }: SettingsPlace,
  { name, text }: { readonly name: string; readonly text: string },
  load: (userText?: string) => unknown,
): void {
  const { key, path } = settingNamed(name);
  const source = { kind: 'flag', name, where: 'command line' } as const;
  const raw = rawOf(key, path, text);
  const whole = path.length > key.split('.').length ? { [path.at(-1) ?? '']: raw } : raw;
  const value = parseSetting(key, whole, source);
  // Maps and lists are kept as they were said: what the schema made of them is for programs.
  const written = isMap(key) || Array.isArray(value) ? raw : value;
  changeUserFile(file, (settings) => settings.set([...at, ...path], written), stillLoads(load));
}

/** Throws what would be wrong with the settings that a text of the user's file makes, and is not wrong already. */
export function stillLoads(load: (userText?: string) => unknown): (userText: string) => void {
  return (userText) => {
    const wrong = wrongWith(() => load(userText));
    // What is wrong already may take more than one change to mend; a profile that is begun is none yet.
    if (wrong === undefined || isWrongAlready(load)) return;
    throw new UserError(wrong.code, `${wrong.message} Nothing was written.`);
  };
}

function isWrongAlready(load: () => unknown): boolean {
  const wrong = wrongWith(load);
  return wrong !== undefined && wrong.code !== 'config_no_profile';
}

function wrongWith(load: () => unknown): UserError | undefined {
  try {
    load();
    return undefined;
  } catch (error) {
    if (error instanceof UserError) return error;
    throw error;
  }
}

function isMap(key: SettingKey): boolean {
  return key === 'permissions' || MAP_KEYS.includes(key as MapKey);
}

function rawOf(key: SettingKey, path: readonly string[], text: string): unknown {
  if (!isMap(key) || path.length > 1) return text;
  try {
    return JSON.parse(text, kept);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(
      'config_invalid',
      `${key} is a map: give it as JSON, such as {"fast": "work/small"}.`,
    );
  }
}

function kept(name: string, value: unknown): unknown {
  if (name !== UNKEPT) return value;
  throw new UserError('config_invalid', `${UNKEPT} is no name in a map: choose another.`);
}

/** Takes it out of the file. False: it was not there. */
export function resetSetting({ file, at }: SettingsPlace, name: string): boolean {
  const { path } = settingNamed(name);
  if (!existsSync(file)) return false;
  let wasThere = false;
  changeUserFile(file, (settings) => {
    wasThere = settings.has([...at, ...path]);
    if (wasThere) settings.remove([...at, ...path]);
  });
  return wasThere;
}

/** Puts the whole file aside; of a profile, takes that one out. Returns what the file is called now, if it was put aside. */
export function resetAll({ file, at }: SettingsPlace, now: Date): string | undefined {
  if (!existsSync(file)) return undefined;
  if (at.length > 0) {
    changeUserFile(file, (settings) => settings.remove(at));
    return undefined;
  }
  const aside = `${file}.${now.toISOString().replaceAll(/[:.]/g, '-')}`;
  renameSync(file, aside);
  return aside;
}

/** Of one that was written: where it is heard in vain, or what else is wrong with the settings. */
export function stillToSay(load: () => LoadedConfig, name: string): string | undefined {
  let heard: string | undefined;
  const wrong = wrongWith(() => {
    heard = heardFirst(load(), name);
  });
  return wrong?.message ?? heard;
}

/** Where it is set otherwise, and heard first. */
export function heardFirst({ sources }: LoadedConfig, name: string): string | undefined {
  const { kind, name: variable, where } = sources[settingNamed(name).key];
  if (kind === 'default' || kind === 'user' || kind === 'profile') return undefined;
  return `${variable} (${where}) is set too, and is heard first.`;
}
