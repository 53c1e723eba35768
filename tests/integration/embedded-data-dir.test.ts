import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  lockDataDir,
  openDataDir,
  readServerInfo,
  removeServerInfo,
  writeServerInfo,
} from '../../src/embedded/data-dir.ts';
import { hasOrdinaryUser, ordinaryUser } from '../support/ordinary-user.ts';

const MODULE = join(import.meta.dirname, '..', '..', 'src', 'embedded', 'data-dir.ts');
const isRoot = process.getuid?.() === 0;
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'capybara-data-dir-'));
});
afterEach(() => {
  chmodSync(directory, 0o700);
  rmSync(directory, { recursive: true });
});

const refused = (message: RegExp) =>
  expect.objectContaining({ code: 'data_dir', exitCode: 3, message: expect.stringMatching(message) });

function thrownBy(act: () => unknown): unknown {
  try {
    act();
  } catch (error) {
    return error;
  }
  return undefined;
}

describe('opening', () => {
  test('creates the directory and those above it for this user alone, and takes it again', () => {
    const path = join(directory, 'a', 'b');
    openDataDir(path);
    openDataDir(path);
    expect(statSync(path).mode & 0o777).toBe(0o700);
  });

  test.runIf(process.platform === 'linux')(
    'a place that the system does not let anyone make is refused, at once',
    () => {
      expect(thrownBy(() => openDataDir('/proc/capybara/data'))).toEqual(
        refused(/cannot be created \(ENOENT/),
      );
    },
  );

  test('refuses a path below a file', () => {
    writeFileSync(join(directory, 'file'), '');
    expect(thrownBy(() => openDataDir(join(directory, 'file', 'data')))).toEqual(
      refused(/cannot be created/),
    );
  });

  test("refuses another user's directory", () => {
    const path = isRoot ? directory : '/';
    if (isRoot) chownSync(path, 12345, 12345);
    expect(thrownBy(() => openDataDir(path))).toEqual(
      refused(/belongs to another user \(uid \d+, this process/),
    );
    if (isRoot) chownSync(path, 0, 0);
  });

  test.runIf(hasOrdinaryUser)('refuses a directory that is not writable', () => {
    const code = `import(${JSON.stringify(MODULE)}).then((m) => m.openDataDir(${JSON.stringify(directory)})).catch((e) => console.log(e.message))`;
    if (isRoot) chownSync(directory, 65534, 65534);
    chmodSync(directory, 0o500);
    const said = execFileSync(process.execPath, ['-e', code], {
      encoding: 'utf8',
      ...ordinaryUser,
    });
    expect(said).toMatch(/^The data directory .* is not writable: use one of your own/);
  });
});

describe('the lock', () => {
  test('is held by one process at a time, and given up by release', () => {
    const lock = lockDataDir(directory);
    expect(lock).toBeDefined();
    expect(lockDataDir(directory)).toBeUndefined();
    lock?.release();
    const again = lockDataDir(directory);
    expect(again).toBeDefined();
    again?.release();
  });

  test('ends with a process that is killed, and warns of nothing', async () => {
    const code = `const { lockDataDir } = await import(${JSON.stringify(MODULE)}); lockDataDir(${JSON.stringify(directory)}); process.stdout.write('held'); setInterval(() => {}, 1000);`;
    const holder = spawn(process.execPath, ['--input-type=module', '-e', code], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let warned = '';
    holder.stderr.on('data', (chunk) => {
      warned += chunk;
    });
    await once(holder.stdout, 'data');
    expect(lockDataDir(directory)).toBeUndefined();
    holder.kill('SIGKILL');
    await once(holder, 'close');
    const lock = lockDataDir(directory);
    expect(lock).toBeDefined();
    lock?.release();
    expect(warned).toBe('');
  });

  test('says what is wrong where there can be none', () => {
    mkdirSync(join(directory, 'lock'));
    expect(thrownBy(() => lockDataDir(directory))).toEqual(
      refused(/cannot be locked \(.*\): check the file "lock" in it\.$/),
    );
  });
});

describe('server.json', () => {
  const info = { url: 'http://127.0.0.1:7070', pid: 4711, apiKeyFile: '/data/key' };

  test('is read as it was written, by its owner alone, and nothing lies beside it', () => {
    writeServerInfo(directory, { ...info, pid: 1 });
    writeServerInfo(directory, info);
    expect(readServerInfo(directory)).toEqual(info);
    expect(statSync(join(directory, 'server.json')).mode & 0o777).toBe(0o600);
    expect(readdirSync(directory)).toEqual(['server.json']);
  });

  test('is undefined where there is none, or no longer one', () => {
    expect(readServerInfo(directory)).toBeUndefined();
    writeServerInfo(directory, info);
    removeServerInfo(directory);
    removeServerInfo(directory);
    expect(readServerInfo(directory)).toBeUndefined();
    expect(existsSync(join(directory, 'server.json'))).toBe(false);
  });

  test.each(['', '{"url":1}', '[]'])('is refused when it holds %j', (text) => {
    writeFileSync(join(directory, 'server.json'), text);
    expect(thrownBy(() => readServerInfo(directory))).toEqual(
      refused(/has a damaged server.json: delete that file\.$/),
    );
  });
});
