/** What a project is, told from small trees as they are found on disks. */
import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { languageOf, languages } from '../../src/workspace/context/languages.ts';
import { PROJECT_LIMITS, projectLines } from '../../src/workspace/context/project.ts';
import { README_LIMIT_BYTES } from '../../src/workspace/context/readme.ts';
import { projectContext } from '../../src/workspace/context.ts';
import { openLocal } from '../../src/workspace/kinds.ts';

type Tree = Readonly<Record<string, string>>;

async function linesOf(tree: Tree): Promise<string> {
  const lines = await projectLines(Object.keys(tree).sort(), async (path, most) => {
    const text = tree[path] ?? '';
    return text.length > most ? undefined : text;
  });
  return lines.join('\n');
}

const PACKAGE = JSON.stringify({
  name: 'shop',
  scripts: { build: 'tsc', test: 'vitest run' },
  dependencies: { express: '5' },
  devDependencies: { typescript: '7' },
});

const TREES: readonly (readonly [what: string, tree: Tree, lines: readonly string[]])[] = [
  [
    'npm',
    { 'package.json': PACKAGE, 'package-lock.json': '{}' },
    [
      'package.json: Node.js, TypeScript, npm (shop)',
      '  dependencies: express',
      '  for development: typescript',
      '  commands: npm install; npm run build (tsc); npm test (vitest run)',
    ],
  ],
  [
    'pnpm',
    { 'package.json': PACKAGE, 'pnpm-lock.yaml': '' },
    ['pnpm install; pnpm run build (tsc); pnpm test'],
  ],
  ['yarn', { 'package.json': PACKAGE, 'yarn.lock': '' }, ['yarn install; yarn run build']],
  ['bun', { 'package.json': PACKAGE, 'bun.lock': '' }, ['bun run test (vitest run)']],
  [
    'a manager that is asked for before one that left a lockfile',
    { 'package.json': '{"packageManager":"pnpm@9.1.0","scripts":{"a":1}}', 'yarn.lock': '' },
    ['Node.js, pnpm', 'pnpm run a'],
  ],
  [
    'a lockfile above',
    { 'pnpm-lock.yaml': '', 'package.json': '{}', 'packages/a/package.json': PACKAGE },
    ['packages/a/package.json: Node.js, TypeScript, pnpm (shop)'],
  ],
  ['deno', { 'deno.json': '{"tasks":{"dev":"x"}}' }, ['Deno', 'deno test', 'deno task dev']],
  [
    'uv',
    {
      'pyproject.toml':
        '[project]\nname = "api"\ndependencies = ["fastapi[all]>=0.1", "httpx; python_version<\'4\'"]\n[dependency-groups]\ndev = ["pytest", "ruff"]\n[tool.uv]\n',
    },
    ['Python, uv (api)', 'dependencies: fastapi, httpx', 'uv sync; uv run pytest; uv run ruff check'],
  ],
  [
    'poetry',
    {
      'pyproject.toml':
        '[tool.poetry]\nname = "p"\n[tool.poetry.dependencies]\npython = "^3"\nflask = "*"\n[tool.poetry.group.dev.dependencies]\npytest = "*"\n',
    },
    ['Python, poetry (p)', 'dependencies: flask\n', 'poetry install; poetry run pytest'],
  ],
  [
    'requirements and tox',
    { 'requirements.txt': '# c\n-r x\nDjango==5\npytest\n', 'tox.ini': '[tox]\n[testenv:lint]\n' },
    [
      'dependencies: Django, pytest',
      'pip install -r requirements.txt; pytest',
      'tox.ini: tox',
      'tox -e lint',
    ],
  ],
  ['pipenv', { Pipfile: '[packages]\nflask = "*"\n[dev-packages]\npytest = "*"\n' }, ['pipenv run pytest']],
  ['setup.py', { 'setup.py': 'setup(tests_require=["pytest"])' }, ['Python, setuptools', 'pytest']],
  [
    'cargo',
    {
      'Cargo.toml': '[package]\nname = "rip"\n[dependencies]\nserde = "1"\n[dev-dependencies]\ninsta = "1"\n',
    },
    ['Rust, cargo (rip)', 'dependencies: serde', 'for development: insta', 'cargo build; cargo test'],
  ],
  [
    'go',
    {
      'go.mod':
        'module example.com/x\n\ngo 1.23\n\nrequire (\n\tgithub.com/a/b v1.2.3\n\tgithub.com/c/d v0.1.0 // indirect\n)\n',
    },
    ['Go (example.com/x)', 'dependencies: github.com/a/b\n', 'go test ./...'],
  ],
  [
    'maven',
    {
      'pom.xml':
        '<project><parent><artifactId>up</artifactId></parent><artifactId>app</artifactId><dependencies><dependency><groupId>g</groupId><artifactId>junit</artifactId></dependency></dependencies></project>',
      mvnw: '',
    },
    ['Java, Maven (app)', 'dependencies: junit', './mvnw test'],
  ],
  [
    'gradle',
    {
      'build.gradle.kts':
        'plugins { kotlin("jvm") }\ndependencies {\n  implementation("io.ktor:ktor-core:2")\n  testImplementation("org.junit:junit:5")\n}\n',
      gradlew: '',
    },
    ['Kotlin, Gradle (Kotlin DSL)', 'dependencies: io.ktor:ktor-core', './gradlew test'],
  ],
  [
    'composer',
    {
      'composer.json':
        '{"name":"a/b","require":{"php":"8","x/y":"1"},"require-dev":{"phpunit/phpunit":"*"},"scripts":{"lint":"x"}}',
    },
    ['PHP, Composer (a/b)', 'dependencies: x/y\n', 'vendor/bin/phpunit; composer run lint'],
  ],
  [
    'bundler',
    { Gemfile: "source 'x'\ngem 'rails', '~> 7'\n  gem \"rspec-rails\"\n", Rakefile: '' },
    ['Ruby, Bundler, Rails', 'rails, rspec-rails', 'bundle exec rspec; bundle exec rake'],
  ],
  [
    'cmake, of which a directory is a part',
    {
      'CMakeLists.txt':
        'cmake_minimum_required(VERSION 3)\nproject(Engine CXX)\nfind_package(Boost REQUIRED)\nenable_testing()\n',
      'src/CMakeLists.txt': 'add_library(x x.cc)\n',
    },
    ['CMakeLists.txt: C or C++, CMake (Engine)', 'Boost', 'ctest --test-dir build'],
  ],
  [
    'dotnet',
    {
      'App.sln': '',
      'App/App.csproj': '<Project><PackageReference Include="Dapper" Version="2" /></Project>',
    },
    [
      'App.sln: .NET',
      'App/App.csproj: .NET',
      'dependencies: Dapper',
      'dotnet restore; dotnet build; dotnet test',
    ],
  ],
  [
    'make',
    { Makefile: 'X := 1\n.PHONY: test\nall: build\nbuild test: x\n\tcc\n%.o: %.c\nclean:\n' },
    ['Make', 'commands: make all; make clean'],
  ],
  ['just', { justfile: 'x := "1"\ntest arg="a":\n  run\nbuild:\n' }, ['just build']],
  [
    'meson',
    { 'meson.build': "project('m', 'c')\ndep = dependency('glib-2.0')\n" },
    ['Meson (m)', 'glib-2.0'],
  ],
  ['mix', { 'mix.exs': '{:phoenix, "~> 1"}' }, ['Elixir, Mix', 'phoenix', 'mix test']],
  ['dart', { 'pubspec.yaml': 'name: app\n' }, ['Dart (app)', 'dart test']],
  ['swift', { 'Package.swift': 'Package(name: "S")' }, ['Swift (S)', 'swift test']],
];

describe('projectLines', () => {
  it.each(TREES)('tells %s', async (_what, tree, lines) => {
    const text = `${await linesOf(tree)}\n`;
    for (const line of lines) expect(text).toContain(line);
  });

  it('does not take a part of a CMake project, or nothing, for a project', async () => {
    expect(await linesOf({ 'src/CMakeLists.txt': 'add_library(x x.cc)' })).toBe('');
    expect(await linesOf({ 'notes.txt': 'project(x)' })).toBe('');
  });

  it('says what is wrong with a file that cannot be read, and goes on', async () => {
    const text = await linesOf({ 'package.json': '{"a":', 'Cargo.toml': '= x', 'go.mod': 'module m\n' });
    expect(text).toMatch(/^package\.json: cannot be read: /);
    expect(text).toMatch(/\nCargo\.toml: cannot be read: /);
    expect(text).toContain('go.mod: Go (m)');
    for (const json of ['null', '[]', '{"scripts":[1],"dependencies":"x","name":{}}'])
      expect(await linesOf({ 'package.json': json })).toContain('package.json: Node.js, npm\n');
  });

  it('reads no more of a file, and no more files, than is allowed', async () => {
    const large = (bytes: number) => `{"name":"${'x'.repeat(bytes - 11)}"}`;
    expect(await linesOf({ 'package.json': large(PROJECT_LIMITS.bytes) })).toContain('Node.js');
    expect(await linesOf({ 'package.json': large(PROJECT_LIMITS.bytes + 1) })).toContain(
      `has more than ${PROJECT_LIMITS.bytes} bytes`,
    );
    const many = Array.from({ length: PROJECT_LIMITS.manifests + 1 }, (_, index) => `d${index + 10}/go.mod`);
    const text = await linesOf(Object.fromEntries(many.map((path) => [path, 'module m\n'])));
    expect(text.match(/: Go/g)).toHaveLength(PROJECT_LIMITS.manifests);
    expect(await linesOf({ 'a/b/c/go.mod': 'module m\n' })).toContain('a/b/c/go.mod');
    expect(await linesOf({ 'a/b/c/d/go.mod': 'module m\n' })).toBe('');
  });

  it('lists no more than is allowed, and says how many it left out', async () => {
    const dependencies = (many: number) =>
      JSON.stringify({
        dependencies: Object.fromEntries(Array.from({ length: many }, (_, index) => [`d${index}`, '1'])),
      });
    const most = PROJECT_LIMITS.dependencies;
    expect(await linesOf({ 'package.json': dependencies(most) })).not.toContain('more');
    expect(await linesOf({ 'package.json': dependencies(most + 2) })).toContain(', and 2 more');
  });

  it('makes control characters visible, and cuts what is long', async () => {
    const name = `a\u001b[31m\n${'x'.repeat(500)}`;
    const text = await linesOf({ 'package.json': JSON.stringify({ name }) });
    expect(text.split('\n')[0]).toContain('(a\\u001b[31m\\nx');
    expect(text.split('\n')[0]?.length).toBeLessThan(PROJECT_LIMITS.chars + 60);
  });

  it('takes no longer for files that are made to be slow', async () => {
    const most = PROJECT_LIMITS.bytes;
    const fill = (piece: string) => piece.repeat(Math.floor(most / piece.length));
    const began = performance.now();
    for (const piece of ['\n', ' ', '<dependency>', '\n  gem (', 'project(\n', 'a ', 'dependency(  ', '[['])
      for (const name of [
        'pom.xml',
        'Gemfile',
        'CMakeLists.txt',
        'go.mod',
        'Makefile',
        'justfile',
        'build.gradle',
      ])
        await linesOf({ [name]: fill(piece) });
    expect(performance.now() - began).toBeLessThan(20_000);
  });
});

describe('a directory', () => {
  let root = '';
  beforeAll(async () => {
    root = await realpath(await mkdtemp(join(tmpdir(), 'capybara-project-')));
  });
  afterAll(() => rm(root, { recursive: true, force: true }));

  async function put(path: string, text: string): Promise<void> {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }

  it('shows its languages, build files and README in the context', async () => {
    await put('p/package.json', PACKAGE);
    await put('p/src/a.ts', 'x'.repeat(2_500));
    await put('p/b.py', 'x');
    await put('p/README.md', `# Shop\n${'y'.repeat(README_LIMIT_BYTES)}`);
    await put('p/lib/README.md', 'not this');
    await symlink('a.ts', join(root, 'p/src/link.ts'));
    const workspace = await openLocal({ id: 'w', path: join(root, 'p') }, { dataDir: join(root, 'data') });
    const text = await projectContext(workspace, { platform: 'linux', date: '2026-11-21' });
    expect(text).toContain('\nLanguages: TypeScript: 1 file, 3 kB; Python: 1 file, 1 B\n');
    expect(text).toContain(
      '<untrusted source="build files: what they say the project is">\npackage.json: Node.js',
    );
    expect(text).toContain('<untrusted source="README.md">\n# Shop\ny');
    expect(text).toContain(`(cut at ${README_LIMIT_BYTES} bytes; read_file shows the rest)`);
    expect(text).not.toContain('not this');
  });

  it('counts the languages of as many files as are allowed, in the time that is', async () => {
    for (const name of ['a.go', 'b.go', 'c.go']) await put(`g/${name}`, '12345');
    const paths = ['a.go', 'b.go', 'c.go', 'gone.go', 'x.unknown', '.go'];
    expect(await languages(join(root, 'g'), paths)).toBe('Go: 3 files, 15 B');
    expect(await languages(join(root, 'g'), paths, { maxFiles: 2 })).toBe(
      'Go: 2 files, 10 B; (of the first 2 files)',
    );
    expect(await languages(join(root, 'g'), paths, { timeoutMs: 0 })).toBe('(of the first 0 files)');
    expect(['A.TS', 'a.constructor', 'noext', 'd.d/x'].map(languageOf)).toEqual([
      ...['TypeScript', undefined, undefined, undefined],
    ]);
  });
});
