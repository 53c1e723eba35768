import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { messageOf, UserError } from '../core/errors.ts';
import { type AgentConfig, MAX_MAP_TEXT } from './maps.ts';
import type { Source } from './settings.ts';

type AgentMap = Readonly<Record<string, AgentConfig>>;

/**
 * The agents of one place with the prompts that its files have: beside the settings file that names them, or in the working
 * directory where a variable does. They are read with the settings, so that a task has what they said when Capybara started.
 */
export function withPrompts(agents: AgentMap, source: Source, cwd: string): AgentMap {
  const [, file] = /^(.*), line \d+$/.exec(source.where) ?? [];
  const place = file === undefined ? cwd : dirname(file);
  return Object.fromEntries(
    Object.entries(agents).map(([name, agent]) => [name, withPrompt(agent, { name, place, source })]),
  );
}

interface Named {
  readonly name: string;
  readonly place: string;
  readonly source: Source;
}

function withPrompt({ promptFile, ...agent }: AgentConfig, { name, place, source }: Named): AgentConfig {
  if (promptFile === undefined) return agent;
  const key = `agents.${name}.promptFile (${source.where})`;
  if (agent.prompt !== undefined)
    throw new UserError(
      'config_invalid',
      `${key} and agents.${name}.prompt both say the prompt: leave one out.`,
    );
  return { ...agent, prompt: readPrompt(resolve(place, promptFile), key) };
}

function readPrompt(file: string, key: string): string {
  const bad = (found: string) =>
    new UserError(
      'config_invalid',
      `${key} must name a file with a prompt of at most ${MAX_MAP_TEXT} bytes; ${file} ${found}.`,
    );
  try {
    const stats = statSync(file);
    if (!stats.isFile()) throw bad('is no file');
    if (stats.size > MAX_MAP_TEXT) throw bad(`has ${stats.size}`);
    const text = readFileSync(file, 'utf8').trimEnd();
    if (text === '') throw bad('is empty');
    return text;
  } catch (error) {
    throw error instanceof UserError ? error : bad(`cannot be read (${messageOf(error)})`);
  }
}
