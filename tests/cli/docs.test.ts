/** What README.md, docs/ and examples/README.md say exists: commands with their arguments and flags, routes, variables, settings. Nothing is run. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Command, Parser } from '@oclif/core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ApiDeps, routesOf } from '../../src/api/app.ts';
import type { Metrics } from '../../src/api/metrics.ts';
import type { TailHub } from '../../src/api/tails.ts';
import { metaOf, SETTING_KEYS } from '../../src/config/settings.ts';
import { loadConfig } from '../../src/config.ts';
import { createModels } from '../../src/model/providers.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const COMMANDS = join(ROOT, 'src', 'cli', 'commands');
const PAGES = [
  'README.md',
  'examples/README.md',
  ...readdirSync(join(ROOT, 'docs')).map((name) => `docs/${name}`),
];

interface Block {
  readonly page: string;
  readonly language: string;
  readonly text: string;
}

const read = (page: string) => readFileSync(join(ROOT, page), 'utf8');

function blocks(...languages: readonly string[]): Block[] {
  return PAGES.flatMap((page) =>
    [...read(page).matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(([, language = '', text = '']) => ({
      ...{ page, language, text },
    })),
  ).filter(({ language }) => languages.includes(language));
}

/** The lines that a person would type. */
function typed({ language, text }: Block): string[] {
  const lines = text.replace(/\\\n\s*/g, ' ').split('\n');
  return language === 'console'
    ? lines.filter((line) => line.startsWith('$ ')).map((l) => l.slice(2))
    : lines;
}

/** The words of each simple command in a line of shell, without comments, variables and redirections. */
function commandsIn(line: string): string[][] {
  const tokens = line.match(/#.*$|&&|\|\||[|;&()<>]|(?:"[^"]*"|'[^']*'|[^\s"'|;&()<>#]|(?<=\S)#)+/g) ?? [];
  const commands: string[][] = [[]];
  let isTarget = false;
  for (const token of tokens) {
    if (token.startsWith('#')) break;
    if (/^[<>]$/.test(token)) isTarget = true;
    else if (/^[|;&()]+$/.test(token)) commands.push([]);
    else if (isTarget) isTarget = false;
    else commands.at(-1)?.push(token.replaceAll(/["']/g, ''));
  }
  return commands.map((words) => words.slice(words.findIndex((word) => !/^([A-Z_]+=|export$)/.test(word))));
}

const ids = new Set(
  readdirSync(COMMANDS, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .map((path) => path.replace(/\.ts$/, '').replaceAll('/', ' ')),
);

/** The command that words begin with; undefined where there is none. */
function commandOf(words: readonly string[]): string | undefined {
  return [2, 1].map((count) => words.slice(0, count).join(' ')).find((id) => ids.has(id));
}

const isTopic = (word: string) => [...ids].some((id) => id.startsWith(`${word} `));

async function flagsAndArgs(id: string) {
  const { default: command }: { default: Command.Class } = await import(
    `${COMMANDS}/${id.replaceAll(' ', '/')}.ts`
  );
  const { flags, baseFlags, args, strict } = command;
  return { flags: { ...baseFlags, ...flags }, args, strict };
}

describe('each command that is shown', () => {
  const shown = blocks('console', 'bash', 'sh').flatMap((block) =>
    typed(block)
      .flatMap(commandsIn)
      .filter(([program]) => program === 'capybara')
      .map((words) => ({ page: block.page, words: words.slice(1) })),
  );

  test('is there, with its flags and arguments', async () => {
    expect(shown.length).toBeGreaterThan(50);
    const wrong: string[] = [];
    for (const { page, words } of shown) {
      const id = commandOf(words);
      const argv = words.slice(id?.split(' ').length ?? 0);
      const problem =
        id === undefined
          ? 'there is no such command'
          : await Parser.parse(argv, await flagsAndArgs(id)).then(
              () => undefined,
              (error: Error) => error.message,
            );
      if (problem !== undefined) wrong.push(`${page}: capybara ${words.join(' ')}: ${problem}`);
    }
    expect(wrong).toEqual([]);
  });

  test('in a sentence, too, with its flags', async () => {
    const spans = PAGES.flatMap((page) =>
      [...read(page).matchAll(/`capybara ([^`]+)`/g)].map(([, text = '']) => ({ page, text })),
    );
    const wrong: string[] = [];
    for (const { page, text } of spans) {
      const words = commandsIn(text)[0] ?? [];
      const id = commandOf(words);
      const isKnown = words.length === 1 && isTopic(words[0] ?? '');
      const flags = id === undefined ? {} : (await flagsAndArgs(id)).flags;
      const unknown = words.filter(
        (word) => word.startsWith('--') && !Object.hasOwn(flags, word.slice(2).replace(/^no-/, '')),
      );
      if ((id === undefined && !isKnown) || unknown.length > 0) wrong.push(`${page}: ${text}`);
    }
    expect(wrong).toEqual([]);
  });
});

test('each route that is named is one of the API', () => {
  // No route looks at what it is given before it is asked for something.
  const routes = routesOf({} as ApiDeps, {} as TailHub, {} as Metrics);
  const served = routes.map(({ method, path }) => ({ method, pattern: patternOf(path) }));
  const named = PAGES.flatMap((page) =>
    [...read(page).matchAll(/(?:\b(GET|POST|PATCH|DELETE) )?\/v1\/[\w/:$-]+(?:_…)?/g)].map(
      ([text, method]) => ({ page, text, method, path: text.slice(text.indexOf('/')) }),
    ),
  );
  expect(named.length).toBeGreaterThan(40);
  const wrong = named.filter(
    ({ method, path }) =>
      !served.some(
        (each) => each.pattern.test(path) && (method === undefined || each.method === method.toLowerCase()),
      ),
  );
  expect(wrong).toEqual([]);
});

/** `/v1/tasks/:id` → also what stands for the id on a page: `task_…`, `ID`, `$TASK`. */
function patternOf(path: string): RegExp {
  return RegExp(`^${path.replaceAll(/:\w+/g, '(:id|ID|NAME|\\$[A-Z]*|[a-z]+_\\w*…?)')}$`);
}

test('each variable that is named is a setting, or one of the containers', () => {
  const known = new Set([...SETTING_KEYS.map((key) => metaOf(key).env), ...ofContainers()]);
  const named = PAGES.flatMap((page) =>
    [...read(page).matchAll(/\bCAPYBARA_(?!TEST_)[A-Z_]*[A-Z]\b/g)].map(([name]) => ({ page, name })),
  );
  expect(named.length).toBeGreaterThan(30);
  expect(named.filter(({ name }) => !known.has(name))).toEqual([]);
});

/** What Compose and the image take themselves. */
function ofContainers(): readonly string[] {
  const files = ['docker-compose.yml', 'Dockerfile'].filter((file) => existsSync(join(ROOT, file)));
  return files.flatMap((file) => read(file).match(/\bCAPYBARA_\w+/g) ?? []);
}

describe('each configuration that is shown', () => {
  let home: string;
  beforeAll(() => {
    home = mkdtempSync(join(tmpdir(), 'capybara-docs-'));
    mkdirSync(join(home, '.config', 'capybara'), { recursive: true });
  });
  afterAll(() => rmSync(home, { recursive: true }));

  // Beside those there are Compose's.
  const shown = blocks('yaml').filter(({ text }) => !text.startsWith('services:'));

  test.each(shown)('can be used: $page, %#', ({ text }) => {
    writeFileSync(join(home, '.config', 'capybara', 'config.yaml'), text, { mode: 0o600 });
    writeFileSync(join(home, '.config', 'capybara', 'docs-prompt.md'), 'You write docs.');
    const keys = [...text.matchAll(/apiKeyVariable: (\w+)/g)].map(([, name = '']) => [name, 'k'.repeat(20)]);
    const [, profile] = /^profiles:\n {2}(\w+):/m.exec(text) ?? [];
    const { config } = loadConfig({
      env: Object.fromEntries(keys),
      cwd: home,
      home,
      ...(profile && { profile }),
    });
    const { providers, model, aliases } = config;
    if (/^model:/m.test(text))
      expect(() => createModels(providers, { model, aliases }).resolve()).not.toThrow();
  });
});
