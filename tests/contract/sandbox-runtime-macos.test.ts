/**
 * What macOS is told about a command: the profile that the sandbox runtime makes of Capybara's rules, read as sandbox-exec(1) reads it.
 * That the system then holds to it cannot be tried here.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Order, Setup, Told } from '../../src/sandbox/runtime-process.ts';
import { fileRules } from '../../src/sandbox/runtime-view.ts';
import type { Profile } from '../../src/sandbox/view.ts';
import { allows, rulesOf } from '../support/seatbelt.ts';

const WRAPPER = fileURLToPath(new URL('../../src/sandbox/runtime-process.ts', import.meta.url));
const AS_MACOS = `data:text/javascript,${encodeURIComponent(
  "Object.defineProperty(process, 'platform', { value: 'darwin' });",
)}`;
const PORT = 45_678;

/** A host: a person's home, Capybara's data in it, the workspace of a session, and another's. */
const root = realpathSync(mkdtempSync(join(tmpdir(), 'capybara-macos-')));
const at = (path: string) => join(root, path);
const FILES = [
  ...[
    'home/.ssh/id',
    'home/.netrc',
    'home/.cargo/bin/cargo',
    'home/.cargo/credentials.toml',
    'home/notes.txt',
  ],
  ...['home/Library/Keychains/login.keychain-db', 'home/Library/Python/lib.py', 'home/code/project/file'],
  ...['home/code/project/.git/config', 'home/code/project/.git/HEAD', 'home/.local/share/capybara/api-key'],
  ...['home/.local/share/capybara/workspaces/mine/file', 'home/.local/share/capybara/workspaces/other/file'],
  ...['home/.local/share/capybara/scratch/mine/tmp/file', 'home/.local/bin/tool', 'shared/readable'],
];

beforeAll(() => {
  for (const path of FILES) {
    mkdirSync(dirname(at(path)), { recursive: true });
    writeFileSync(at(path), 'x');
  }
  chmodSync(root, 0o755);
  symlinkSync(at('home/.ssh'), at('home/keys'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const data = at('home/.local/share/capybara');

interface Given {
  readonly profile: Profile;
  readonly workspace?: string;
  readonly readable?: readonly string[];
  readonly proxyPort?: number;
}

/** The profile for one command, and the words that it is given in. */
async function profileFor(given: Given): Promise<{ profile: string; words: string }> {
  const { workspace = at('home/code/project'), readable = [], proxyPort } = given;
  const view = { platform: 'darwin', home: at('home'), hidden: [data], readable: [], profile: given.profile };
  const files = fileRules(view, { writable: [workspace], readable, scratch: join(data, 'scratch/mine') });
  const words = await wrapped(
    { text: 'exec true', files },
    { programs: { rg: 'rg' }, ...(proxyPort && { proxyPort }) },
  );
  const [, profile = ''] = /sandbox-exec -p '((?:[^']|'"'"')*)'/.exec(words) ?? [];
  return { profile: profile.replaceAll(`'"'"'`, "'"), words };
}

/** What the library answers, in a process that takes itself for one on macOS. */
async function wrapped(order: Order, setup: Setup): Promise<string> {
  const place = mkdtempSync(join(root, 'place-'));
  const child = spawn(process.execPath, ['--import', AS_MACOS, WRAPPER], {
    cwd: place,
    env: { PATH: process.env.PATH, HOME: place, TMPDIR: place },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.stdin.end(`${JSON.stringify(setup)}\n${JSON.stringify(order)}\n`);
  const exit = once(child, 'exit');
  const answers: Told[] = [];
  for await (const line of createInterface({ input: child.stdout })) answers.push(JSON.parse(line) as Told);
  await exit;
  expect(answers).toEqual([
    { version: expect.any(String) },
    { argv: [expect.any(String), '-c', expect.any(String)] },
  ]);
  return answers[1]?.argv?.[2] ?? '';
}

describe.each<Profile>(['local', 'strict'])('a %s command', (kind) => {
  let profile: string;
  beforeAll(async () => {
    ({ profile } = await profileFor({ profile: kind, readable: [at('home/code/project/.git/config')] }));
  });
  const reads = (path: string) => allows(profile, { operation: 'file-read-data', path: at(path) });
  const writes = (path: string) => allows(profile, { operation: 'file-write-data', path: at(path) });

  it('reads and changes its workspace and its scratch directory', () => {
    const own = ['home/code/project/file', 'home/.local/share/capybara/scratch/mine/tmp/file'];
    expect(own.map((path) => [reads(path), writes(path)])).toEqual([
      [true, true],
      [true, true],
    ]);
    expect(allows(profile, { operation: 'file-write-unlink', path: at('home/code/project/file') })).toBe(
      true,
    );
  });

  it('changes nothing else', () => {
    const others = [...FILES.filter((path) => !/project|mine/.test(path)), 'home/new', 'new'];
    expect(others.filter(writes)).toEqual([]);
    const elsewhere = [
      '/etc/hosts',
      '/usr/local/bin/x',
      '/tmp/x',
      '/tmp/claude/x',
      '/private/tmp/claude/x',
      '/var/x',
    ];
    expect(elsewhere.filter((path) => allows(profile, { operation: 'file-write-create', path }))).toEqual([]);
  });

  it('reads, and does not change, what it is to look at only', () => {
    expect([reads('home/code/project/.git/config'), writes('home/code/project/.git/config')]).toEqual([
      true,
      false,
    ]);
    expect([reads('home/code/project/.git/HEAD'), writes('home/code/project/.git/HEAD')]).toEqual([
      true,
      true,
    ]);
    const unlink = { operation: 'file-write-unlink', path: at('home/code/project/.git/config') };
    expect(allows(profile, unlink)).toBe(false);
  });

  it('reads no secret, and nothing of another session', () => {
    const secrets = [
      ...['home/.ssh/id', 'home/.netrc', 'home/.cargo/credentials.toml', 'home/keys', 'home/.unheard-of'],
      ...['home/Library/Keychains/login.keychain-db', 'home/Library/Cookies/x'],
      ...['home/.local/share/capybara/api-key', 'home/.local/share/capybara/workspaces/other/file'],
      'home/.local/share/capybara/scratch/other/tmp/file',
    ];
    expect(secrets.filter(reads)).toEqual([]);
  });

  it('reads the system, and of its person what the profile says', () => {
    for (const path of ['/usr/bin/git', '/System/Library/x', '/opt/homebrew/bin/node', '/'])
      expect(allows(profile, { operation: 'file-read-data', path })).toBe(true);
    const persons = [
      'home/notes.txt',
      'home/.cargo/bin/cargo',
      'home/.local/bin/tool',
      'home/Library/Python/lib.py',
    ];
    expect(persons.map(reads)).toEqual(persons.map(() => kind === 'local'));
  });

  it('may ask where a directory is on its way, which it may not list', () => {
    const path = at('home/.local/share');
    expect(allows(profile, { operation: 'file-read-metadata', path, isDirectory: true })).toBe(true);
    expect(allows(profile, { operation: 'file-read-data', path, isDirectory: true })).toBe(false);
  });

  it('reaches nothing', () => {
    for (const operation of ['network-outbound', 'network-bind', 'network-inbound'])
      expect(rulesOf(profile, operation).filter((rule) => rule.startsWith('(allow'))).toEqual([]);
    expect(rulesOf(profile, 'appleevent-send').filter((rule) => rule.startsWith('(allow'))).toEqual([]);
    expect(rulesOf(profile, 'signal')).toContain('(allow signal (target same-sandbox))');
  });
});

describe('a command of a session that Capybara keeps', () => {
  it('reads and changes its workspace in the hidden data directory', async () => {
    const workspace = join(data, 'workspaces/mine');
    const { profile } = await profileFor({ profile: 'strict', workspace });
    for (const operation of ['file-read-data', 'file-write-data', 'file-write-create', 'file-write-unlink'])
      expect(allows(profile, { operation, path: join(workspace, 'file') }), operation).toBe(true);
    expect(allows(profile, { operation: 'file-read-data', path: join(data, 'api-key') })).toBe(false);
  });
});

describe('a command that may reach hosts', () => {
  it('reaches the port of the proxy, and no other', async () => {
    const { profile } = await profileFor({ profile: 'local', proxyPort: PORT });
    const outbound = rulesOf(profile, 'network-outbound').filter((rule) => rule.startsWith('(allow'));
    expect(outbound).toEqual([`(allow network-outbound (remote ip localhost:${PORT}))`]);
  });
});
