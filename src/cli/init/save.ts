/** What `init` writes, and what stands there already. */
import {
  chmodSync,
  existsSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { parseEnv } from 'node:util';
import { withFileLock } from '../../config/file-lock.ts';
import { readEnvFile } from '../../config/files.ts';
import { changeUserFile, type Settings } from '../../config/user-file.ts';
import { messageOf, UserError } from '../../core/errors.ts';
import type { SettingsPlace } from '../provider-settings.ts';
import { type Answers, settingsOf, variablesOf } from './answers.ts';

const OWNER_ONLY = 0o600;

/** What would be lost: settings and variables that say something else now. In the words of the files that they are in. */
export function overwritten(
  answers: Answers,
  { place, envFile }: { readonly place: SettingsPlace; readonly envFile: string | undefined },
): string[] {
  const lost: string[] = [];
  readSettings(place, (settings) => {
    for (const [path, value] of settingsOf(answers)) {
      const there = settings.get([...place.at, ...path]);
      const isSame = JSON.stringify(there) === JSON.stringify(value);
      if (there !== undefined && there !== null && !isSame) lost.push(`${path.join('.')} in ${place.file}`);
    }
  });
  if (envFile === undefined) return lost;
  const variables = readEnvFile(envFile) ?? {};
  for (const [name, value] of Object.entries(variablesOf(answers)))
    if (variables[name] && variables[name] !== value) lost.push(`${name} in ${envFile}`);
  return lost;
}

/** Thrown to leave the file as it is. */
class OnlyLooked extends Error {}

function readSettings({ file }: SettingsPlace, look: (settings: Settings) => void): void {
  if (!existsSync(file)) return;
  try {
    changeUserFile(file, (settings) => {
      look(settings);
      throw new OnlyLooked();
    });
  } catch (error) {
    if (!(error instanceof OnlyLooked)) throw error;
  }
}

/** All of it in one change. The file is its owner's alone where it has a key. */
export function saveSettings(answers: Answers, { file, at }: SettingsPlace): void {
  changeUserFile(file, (settings) => {
    for (const [path, value] of settingsOf(answers)) settings.set([...at, ...path], value);
  });
}

/** Adds the variables to `.env`, in place of what they were there; the rest of it stays. Its owner's alone, as it has a key. */
export function saveEnvFile(answers: Answers, file: string): void {
  // A link stays one: people keep such files elsewhere.
  const target = existsSync(file) ? realpathSync(file) : file;
  if (statSync(target, { throwIfNoEntry: false })?.isDirectory()) throw notWritten(file, 'it is a directory');
  withFileLock(target, () => {
    // Says what is wrong with it before anything is written.
    readEnvFile(target);
    const before = existsSync(target) ? readFileSync(target, 'utf8') : '';
    const variables = variablesOf(answers);
    const text = withVariables(before, variables);
    refuseMisread(file, text, variables);
    replace(file, target, text);
  });
}

function replace(file: string, target: string, text: string): void {
  const written = join(dirname(target), `.env.${process.pid}.new`);
  try {
    writeFileSync(written, text, { mode: OWNER_ONLY, flag: 'wx' });
    chmodSync(written, existsSync(target) ? statSync(target).mode & OWNER_ONLY : OWNER_ONLY);
    renameSync(written, target);
  } catch (error) {
    throw notWritten(file, messageOf(error));
  } finally {
    rmSync(written, { force: true });
  }
}

/** A value that no quotes hold, or that a quote which nobody closed above takes in. */
function refuseMisread(file: string, text: string, variables: Readonly<Record<string, string>>): void {
  const read = parseEnv(text);
  const misread = Object.keys(variables).find((name) => read[name] !== variables[name]);
  if (misread === undefined) return;
  throw notWritten(
    file,
    `${misread} would be read back as something else: it has all kinds of quotes, or a quote above it is not closed`,
  );
}

function notWritten(file: string, why: string): UserError {
  return new UserError('env_not_written', `${file} cannot be written (${why}): it is as it was.`, 1);
}

/** Lines of `NAME=` are replaced where they stand, the first by the new value; others of that name go. */
export function withVariables(before: string, variables: Readonly<Record<string, string>>): string {
  const left = new Map(Object.entries(variables));
  const lines = before === '' ? [] : before.replace(/\n$/, '').split('\n');
  const kept = lines.flatMap((line) => {
    const [, name = ''] = /^\s*(?:export\s+)?([\w.-]+)\s*=/.exec(line) ?? [];
    if (!(name in variables)) return [line];
    const value = left.get(name);
    left.delete(name);
    return value === undefined ? [] : [`${name}=${quoted(value)}`];
  });
  const added = [...left].map(([name, value]) => `${name}=${quoted(value)}`);
  return `${[...kept, ...added].join('\n')}\n`;
}

/** In quotes that are not in it, where it has what files of variables mean something by; single ones first, in which nothing is. */
function quoted(value: string): string {
  if (/^[\w./:@+=,-]*$/.test(value)) return value;
  const quote = ["'", '`', '"'].find((each) => !value.includes(each)) ?? '';
  return `${quote}${value}${quote}`;
}
