/** The setup wizard: asks, shows, tries, asks whether to save, and only then writes. */
import { resolve } from 'node:path';
import type { Config, LoadedConfig } from '../../config.ts';
import { UserError } from '../../core/errors.ts';
import { refuseForServer, type SettingsPlace, settingsPlace } from '../provider-settings.ts';
import { readKey } from '../secret-input.ts';
import { fields } from '../table.ts';
import { neutralised } from '../untrusted-text.ts';
import { type Answers, summaryOf, TYPE_META } from './answers.ts';
import {
  askAll,
  asksWhether,
  BrokenOff,
  breakable,
  fromFlags,
  type Given,
  type Io,
  leave,
  show,
  unlessBroken,
} from './ask.ts';
import { overwritten, saveEnvFile, saveSettings } from './save.ts';

/** What `model` knows of providers. */
export interface Providers {
  newProvider(name: string, given: { readonly baseUrl: string }): { readonly isLocal: boolean };
  tryProviders(config: Config, named: string): Promise<readonly Tried[]>;
}

interface Tried {
  readonly ok: boolean;
  readonly message: string;
  /** `provider/model` that was asked; null where none was. */
  readonly model: string | null;
}

export interface InitOptions {
  readonly providers: Providers;
  /** The terminal; undefined where nobody can be asked. */
  readonly io: Io | undefined;
  readonly given: Given;
  readonly keyStdin: boolean;
  readonly tries: boolean;
  readonly savesEnv: boolean;
  readonly replaces: boolean;
  /** Saves without asking. */
  readonly agrees: boolean;
  readonly profile: string | undefined;
  /** Only the answer is wanted. */
  readonly isQuiet: boolean;
}

export interface InitOutcome {
  readonly answer: {
    readonly saved: boolean;
    readonly provider: string | null;
    readonly file: string;
    readonly envFile: string | null;
    /** What came of trying it; null where it was not. */
    readonly tried: { readonly ok: boolean; readonly message: string } | null;
  };
  readonly text: string;
  readonly exitCode: number;
}

const ENV_FILE = '.env';
export const BROKEN_OFF = 130;

/** Throws `UserError` where flags are wrong, or would overwrite something unasked; then nothing was written. */
export async function initialise(loaded: LoadedConfig, options: InitOptions): Promise<InitOutcome> {
  const io = options.agrees || options.isQuiet ? undefined : options.io;
  return io ? breakable(io, (asking) => asked(loaded, options, asking)) : asked(loaded, options, undefined);
}

async function asked(loaded: LoadedConfig, options: InitOptions, io: Io | undefined): Promise<InitOutcome> {
  refuseForServer(loaded.config);
  const place = settingsPlace(options.profile);
  const envFile = options.savesEnv ? resolve(ENV_FILE) : undefined;
  const nothing = { ...{ saved: false, provider: null, file: place.file, envFile: null, tried: null } };
  try {
    const answers = await answersOf(options, io);
    const lost = overwritten(answers, { place, envFile });
    if (lost.length > 0 && !options.replaces && io === undefined) throw wouldOverwrite(lost);
    const said = fields([...summaryOf(answers), ...lost.map((what) => ['replaces', what] as const)]);
    if (io) show(io, 'To be saved', said.trimEnd());
    const trying = () => tryOut(options.providers, loaded.config, answers);
    const tried = options.tries ? await unlessBroken(io, trying()) : null;
    const result = tried === null ? '' : `${tried.ok ? '✓' : '✗'} ${neutralised(tried.message)}`;
    if (io && tried !== null) show(io, 'Connection', result);
    const isAgreed = io ? await agreed(io, place, { tried, lost }) : (tried?.ok ?? true);
    const told = {
      ...nothing,
      provider: answers.name,
      tried: tried && { ok: tried.ok, message: tried.message },
    };
    if (!isAgreed) return notSaved(told, io ? 'Nothing was written.' : `${result}\nNothing was written.`);
    const kept = withModel(answers, tried, { place, envFile });
    // The likelier one to be refused first: then nothing was written.
    if (envFile !== undefined) saveEnvFile(kept, envFile);
    saveSettings(kept, place);
    const text = savedText(kept, {
      place,
      envFile,
      said: io ? '' : `${said}${result && `${result}\n`}`,
    });
    return { answer: { ...told, saved: true, envFile: envFile ?? null }, text, exitCode: 0 };
  } catch (error) {
    if (!(error instanceof BrokenOff)) throw error;
    if (options.io) leave(options.io, 'Nothing was written.');
    return { answer: nothing, text: '', exitCode: BROKEN_OFF };
  }
}

async function answersOf({ given, keyStdin, providers }: InitOptions, io: Io | undefined): Promise<Answers> {
  const isLocal = (baseUrl: string) => providers.newProvider('custom', { baseUrl }).isLocal;
  const all = keyStdin ? { ...given, apiKey: await readKey(process.stdin) } : given;
  return io ? askAll(io, all, isLocal) : fromFlags(all, isLocal);
}

function agreed(
  io: Io,
  { file }: SettingsPlace,
  { tried, lost }: { readonly tried: { readonly ok: boolean } | null; readonly lost: readonly string[] },
): Promise<boolean> {
  const isFine = tried?.ok !== false && lost.length === 0;
  const replacing =
    lost.length === 0 ? '' : `, and replace ${lost.length === 1 ? 'what is' : 'the settings that are'} there`;
  return asksWhether(
    io,
    `${tried?.ok === false ? 'Save it even so' : 'Save it'} to ${file}${replacing}?`,
    isFine,
  );
}

/** Where none was named: the one that has just answered, unless the person's settings name one already. */
function withModel(
  answers: Answers,
  tried: Tried | null,
  places: Parameters<typeof overwritten>[1],
): Answers {
  if (answers.model !== undefined || !tried?.ok || tried.model === null) return answers;
  const named = { ...answers, model: tried.model.slice(answers.name.length + 1) };
  return overwritten(named, places).length > overwritten(answers, places).length ? answers : named;
}

/** As a task would use it, without a word of it being written. */
async function tryOut({ tryProviders }: Providers, config: Config, answers: Answers): Promise<Tried> {
  const { name, type, endpoint, apiKey, model } = answers;
  const { kind } = TYPE_META[type];
  const provider = {
    ...(kind === undefined ? {} : { kind }),
    baseUrl: endpoint,
    ...(apiKey === undefined ? {} : { apiKey }),
  };
  const { model: _, ...rest } = config;
  const tried = await tryProviders(
    { ...rest, providers: { ...config.providers, [name]: provider } },
    model === undefined ? name : `${name}/${model}`,
  );
  return tried[0] ?? { ok: false, message: 'It was not tried.', model: null };
}

function wouldOverwrite(lost: readonly string[]): UserError {
  const what = lost.join(', ');
  return new UserError(
    'would_overwrite',
    `This would replace ${what}: pass --replace, or take another --name.`,
  );
}

function notSaved(answer: InitOutcome['answer'], text: string): InitOutcome {
  return { answer, text: `${text}\n`, exitCode: 1 };
}

function savedText(
  { name, type, model }: Answers,
  { place, envFile, said }: { place: SettingsPlace; envFile: string | undefined; said: string },
): string {
  const env =
    envFile === undefined
      ? ''
      : `Written to ${envFile}, too: it has your key, so do not commit it (add .env to .gitignore).\n`;
  const hasOwn = type === 'openai' || type === 'anthropic';
  const choose =
    model !== undefined || hasOwn
      ? ''
      : `Where no model is named yet: capybara providers use ${name}/MODEL (capybara models list shows which there are)\n`;
  const saved = model === undefined ? name : `${name}, with the model ${neutralised(model)},`;
  return `${said}${saved} is saved in ${place.file}.\n${env}${choose}Next: capybara run "What you want done"\n`;
}
