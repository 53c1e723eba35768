/** The theme that a person chose last, kept beside what they typed. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { stateDirectory } from '../config/layers.ts';
import { commandEnvironment } from '../config.ts';
import { isTheme, type ThemeName } from './themes.ts';

export function personalDirectory(): string {
  return stateDirectory({ env: commandEnvironment(), home: homedir() });
}

/** The colours that were chosen last; of no consequence where they cannot be read or kept. */
export function keptTheme(directory: string): ThemeName {
  try {
    const name = readFileSync(join(directory, 'theme'), 'utf8').trim();
    return isTheme(name) ? name : 'terminal';
  } catch {
    return 'terminal';
  }
}

export function keepTheme(directory: string, name: ThemeName): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    writeFileSync(join(directory, 'theme'), `${name}\n`, { mode: 0o600 });
  } catch {
    // It holds for this chat.
  }
}
