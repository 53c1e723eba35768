/** Remotes that are not what they should be: each a clear failure within its limits, and no harm to the next clone. */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, test } from 'vitest';
import { readBeginning } from '../../src/core/repository.ts';
import { readKeys } from '../../src/workspace/git/credentials.ts';
import { openGateway, systemReach } from '../../src/workspace/git/gateway.ts';
import { bareOf, commit, git, startGitServer } from '../support/git-server.ts';
import { useGitWorld } from './git-harness.ts';

const world = useGitWorld();
const isPack = ({ method }: IncomingMessage) => method === 'POST';
const clones = () => world.clone({}, ({ commit: at }) => at);

function answers(status: number, headers: Record<string, string> = {}, body = '') {
  return (_: IncomingMessage, answer: ServerResponse) => {
    answer.writeHead(status, headers).end(body);
    return true;
  };
}

/** A clone asks for the refs twice, then for the pack. */
function onThird(isOne: (asked: IncomingMessage) => boolean, act: (answer: ServerResponse) => void) {
  let count = 0;
  return (asked: IncomingMessage, answer: ServerResponse) => {
    if (!isOne(asked)) return false;
    count += 1;
    if (count < 3) return false;
    act(answer);
    return true;
  };
}

function begin(answer: ServerResponse): void {
  answer.writeHead(200, { 'content-type': 'application/x-git-upload-pack-result' });
  answer.write('000dpackfile\n');
}

/** A line of the protocol: its length in four hexadecimal digits, the band of the pack, the bytes. */
function inBand(bytes: Buffer): Buffer {
  const length = (bytes.length + 5).toString(16).padStart(4, '0');
  return Buffer.concat([Buffer.from(`${length}\x01`), bytes]);
}

/** One blob of two GiB, not compressed (gitformat-pack(5), RFC 1950 and 1951): its head, and a block of it. */
const ENDLESS_PACK = Buffer.from('5041434b0000000200000001b0808080407801', 'hex');
const ENDLESS_BLOCK = Buffer.concat([Buffer.from('0000f0ff0f', 'hex'), Buffer.alloc(0xf000)]);

describe('a remote', () => {
  test.each([
    ['is away for now', answers(503), 'retryable', 'repository_unreachable'],
    ['has too much to do', answers(429), 'retryable', 'repository_unreachable'],
    ['wants a key', answers(401, { 'www-authenticate': 'Basic realm="x"' }), 'terminal', 'repository_denied'],
    ['forbids it', answers(403), 'terminal', 'repository_denied'],
    ['has no such repository', answers(404), 'terminal', 'repository_denied'],
    [
      'is a web page',
      answers(200, { 'content-type': 'text/html' }, '<html>'),
      'terminal',
      'repository_denied',
    ],
    [
      'speaks nonsense',
      answers(200, { 'content-type': 'application/x-git-upload-pack-advertisement' }, 'zzzz nonsense'),
      'terminal',
      'repository_broken',
    ],
  ])('that %s', async (_, behave, kind, code) => {
    world.server.behave = behave;
    const failure = await world.failure({});
    expect(failure).toMatchObject({ kind, code });
    expect(failure.message).toContain(world.app);
    world.server.behave = () => false;
    expect(await clones()).toBe(world.tip);
  });

  test('that nobody listens at can be tried again', async () => {
    const closed = await startGitServer(world.root);
    await closed.close();
    const policy = { own: true, online: true, allowed: [] };
    expect(await world.failure({ url: closed.url('app.git'), host: { policy } })).toMatchObject({
      kind: 'retryable',
      code: 'repository_unreachable',
      message: expect.stringContaining('ECONNREFUSED'),
    });
  });

  test('whose host has no address can be tried again', async () => {
    const reach = { ...systemReach, resolve: () => Promise.reject(new Error('ENOTFOUND')) };
    const asked = { url: 'https://nowhere.example/app', host: { reach } };
    expect(await world.failure(asked)).toEqual({
      kind: 'retryable',
      code: 'repository_unreachable',
      message: "The host 'nowhere.example' of the repository cannot be reached (ENOTFOUND).",
    });
  });

  test('that says nothing is left after a while', async () => {
    world.server.behave = isPack;
    expect(await world.failure({ host: { idleMs: 300 } })).toEqual({
      kind: 'retryable',
      code: 'repository_unreachable',
      message: 'The host of the repository was silent for 0.3 seconds.',
    });
    world.server.behave = () => false;
    expect(await clones()).toBe(world.tip);
  });

  test('that drips is left at the end of the time', async () => {
    world.server.behave = onThird(isPack, (answer) => {
      begin(answer);
      const timer = setInterval(() => answer.write('0005\x01'), 20);
      answer.once('close', () => clearInterval(timer));
    });
    expect(await world.failure({ host: { timeoutMs: 3_000 } })).toMatchObject({
      kind: 'terminal',
      code: 'repository_timeout',
      message: `${world.app} was not cloned within 3 seconds: CAPYBARA_GIT_SECONDS says what one may take.`,
    });
  });

  test('that dies in the middle of a pack can be tried again, from a cache that is whole', async () => {
    const work = join(world.root, 'noise');
    mkdirSync(work);
    git(work, 'init', '-q', '-b', 'main');
    commit(work, { noise: randomBytes(3_000_000).toString('base64') }, 'noise');
    bareOf(world.root, work, 'noise.git');
    const url = world.server.url('noise.git');
    world.server.behave = (asked, answer) => {
      if (!isPack(asked)) return false;
      const { write } = answer;
      let sent = 0;
      answer.write = ((piece: Buffer, ...rest: unknown[]) => {
        sent += piece.length;
        if (sent > 1_000_000) answer.destroy();
        return Reflect.apply(write, answer, [piece, ...rest]);
      }) as typeof write;
      return false;
    };
    expect(await world.failure({ url })).toMatchObject({ kind: 'retryable', code: 'repository_unreachable' });
    world.server.behave = () => false;
    expect(await world.clone({ url }, ({ directory }) => git(directory, 'fsck', '--full'))).toBe('');
  });

  test('that sends without end is left at the limit', async () => {
    let sent = 0;
    world.server.behave = onThird(isPack, (answer) => {
      begin(answer);
      answer.write(inBand(ENDLESS_PACK));
      const block = inBand(ENDLESS_BLOCK);
      const more = () => {
        for (; sent < 1024 ** 3 && !answer.destroyed; sent += block.length) {
          if (!answer.write(block)) return void answer.once('drain', more);
        }
      };
      more();
    });
    expect(await world.failure({ host: { bytes: 1024 ** 2 } })).toMatchObject({
      kind: 'terminal',
      code: 'repository_too_large',
    });
    expect(sent).toBeLessThan(100 * 1024 ** 2);
    world.server.behave = () => false;
    expect(await clones()).toBe(world.tip);
  });
});

describe('what comes of a repository', () => {
  const noise = (name: string, bytes: number) => {
    const work = join(world.root, name);
    mkdirSync(work);
    git(work, 'init', '-q', '-b', 'main');
    writeFileSync(join(work, '.gitignore'), '');
    writeFileSync(join(work, 'noise'), randomBytes(bytes));
    commit(work, {}, 'noise');
    bareOf(world.root, work, `${name}.git`);
    const packs = join(world.root, `${name}.git`, 'objects', 'pack');
    git(join(world.root, `${name}.git`), 'gc', '-q');
    const pack = readdirSync(packs).find((each) => each.endsWith('.pack')) ?? '';
    return { url: world.server.url(`${name}.git`), pack: readFileSync(join(packs, pack)).length };
  };

  test('may be as large as the limit, and no larger', async () => {
    const { url, pack } = noise('large', 600_000);
    const blocks = Math.ceil(pack / 512);
    const reads = { url, host: { bytes: blocks * 512 } };
    expect(await world.clone(reads, ({ directory }) => readFileSync(join(directory, 'noise')).length)).toBe(
      600_000,
    );
    const failure = await world.failure({ url, teamId: 'fresh', host: { bytes: (blocks - 1) * 512 } });
    expect(failure).toMatchObject({ kind: 'terminal', code: 'repository_too_large' });
    expect(failure.message).toContain('CAPYBARA_GIT_MIB');
  });

  test('may have files as large together as the limit, and no larger', async () => {
    const work = join(world.root, 'zeros');
    mkdirSync(work);
    git(work, 'init', '-q', '-b', 'main');
    const half = '0'.repeat(500_000);
    commit(work, { a: half, b: half }, 'zeros');
    bareOf(world.root, work, 'zeros.git');
    const url = world.server.url('zeros.git');
    expect(await world.clone({ url, host: { bytes: 1_000_000 } }, ({ commit: at }) => typeof at)).toBe(
      'string',
    );
    expect(await world.failure({ url, host: { bytes: 999_999 } })).toMatchObject({
      kind: 'terminal',
      code: 'repository_too_large',
    });
  });

  test('is counted as it comes, whatever is made of it', async () => {
    const { policy } = world.host();
    const gateway = await openGateway({ policy, bytes: 100, idleMs: 5_000, reach: systemReach });
    const [, key = '', port = ''] =
      /git:(\w+)@127\.0\.0\.1:(\d+)/.exec(gateway.settings['http.proxy'] ?? '') ?? [];
    const ask = async (size: number) => {
      world.server.behave = answers(200, { 'content-length': `${size}` }, 'x'.repeat(size));
      const socket = connect(Number(port), '127.0.0.1');
      const authorization = Buffer.from(`git:${key}`).toString('base64');
      socket.on('error', () => undefined);
      socket.write(
        `GET ${world.app} HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic ${authorization}\r\nConnection: close\r\n\r\n`,
      );
      let text = '';
      for await (const piece of socket) text += piece;
      return text;
    };
    expect(await ask(100)).toContain('x'.repeat(100));
    expect(gateway.refusal).toBeUndefined();
    await ask(1).catch(() => '');
    expect(gateway.refusal?.failure).toMatchObject({ kind: 'terminal', code: 'repository_too_large' });
    await gateway.close();
  });
});

describe('an address', () => {
  const unlisted = { policy: { own: false, online: true, allowed: [] } };

  test.each([
    ['https://127.0.0.1/app', "'127.0.0.1', which belongs to this machine"],
    ['https://[::1]/app', "'::1', which belongs to this machine, a private network or another special range"],
    [
      'https://169.254.169.254/app',
      "'169.254.169.254', which belongs to the local link, or the metadata of a cloud",
    ],
    ['https://2130706433/app', "'127.0.0.1', which belongs to this machine"],
  ])('%s is not connected to', async (url, why) => {
    const failure = await world.failure({ url, host: unlisted });
    expect(failure).toMatchObject({ kind: 'terminal', code: 'repository_refused' });
    expect(failure.message).toContain(why);
  });

  test('that a name leads to is checked when it is connected to', async () => {
    const asked: string[] = [];
    const reach = {
      resolve: async () => ['93.184.216.34', '10.0.0.1'],
      connect: (target: { host: string; port: number }) => {
        asked.push(target.host);
        return connect(1, '127.0.0.1');
      },
    };
    const failure = await world.failure({ url: 'https://two.example/app', host: { ...unlisted, reach } });
    expect(failure).toMatchObject({ code: 'repository_refused' });
    expect(asked).toEqual([]);
  });

  test('that a redirect leads to is checked as well', async () => {
    const inside = await startGitServer(world.root);
    world.server.behave = ({ url }, answer) => {
      answer.writeHead(302, { location: inside.url(`app.git${url?.slice('/app.git'.length)}`) }).end();
      return true;
    };
    const failure = await world.failure({});
    expect(failure).toMatchObject({ kind: 'terminal', code: 'repository_refused' });
    expect(inside.requests).toEqual([]);
    await inside.close();
  });

  test('that a redirect leads to is followed where it may be', async () => {
    world.server.behave = ({ url = '' }, answer) => {
      if (!url.startsWith('/old.git')) return false;
      answer.writeHead(301, { location: world.server.url(url.slice(1).replace('old', 'app')) }).end();
      return true;
    };
    expect(await world.clone({ url: world.server.url('old.git') }, ({ commit: at }) => at)).toBe(world.tip);
  });

  test('that nobody listed is refused offline', async () => {
    const policy = { own: false, online: false, allowed: [] };
    await expect(world.failure({ url: 'https://git.example/app', host: { policy } })).rejects.toMatchObject({
      code: 'repository_not_allowed',
    });
  });

  test.each(['https://git.example/app', 'ssh://git@git.example/app'])(
    'that is listed and public is refused offline: %s',
    async (url) => {
      const policy = {
        own: true,
        online: false,
        allowed: [readBeginning(url)].flatMap((each) => each ?? []),
      };
      const reach = { ...systemReach, resolve: async () => ['10.0.0.1', '93.184.215.14'] };
      expect(await world.failure({ url, host: { policy, reach } })).toMatchObject({
        code: 'repository_refused',
        message:
          "The repository's host 'git.example' has a public address, and offline only loopback and private addresses are contacted: leave out --offline (CAPYBARA_OFFLINE), or clone from a private one.",
      });
    },
  );

  test('is reached through the gateway by who has its key alone', async () => {
    const gateway = await openGateway({
      policy: world.host().policy,
      bytes: 1e6,
      idleMs: 5_000,
      reach: systemReach,
    });
    const [, port = ''] = /:(\d+)$/.exec(gateway.settings['http.proxy'] ?? '') ?? [];
    const before = world.server.requests.length;
    const socket = connect(Number(port), '127.0.0.1');
    socket.write(`GET ${world.app} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    let text = '';
    for await (const piece of socket) text += piece;
    expect(text).toContain('403');
    expect(world.server.requests.length).toBe(before);
    await gateway.close();
  });
});

describe('a key', () => {
  const SECRET = 'tok-Q7secretQ7';
  const wants = (expected: string) => (asked: IncomingMessage, answer: ServerResponse) => {
    if (asked.headers.authorization === `Basic ${Buffer.from(expected).toString('base64')}`) return false;
    answer.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
    return true;
  };
  const keysFor = (path = '') => readKeys(`127.0.0.1:${world.server.port}${path}=${SECRET}`);

  test('is sent to the host that it is set for, and stands nowhere in the clone', async () => {
    world.server.behave = wants(`x-access-token:${SECRET}`);
    const found = await world.clone({ host: { keys: keysFor() } }, ({ directory, commit: at }) => ({
      at,
      text: readdirSync(directory, { recursive: true, withFileTypes: true, encoding: 'utf8' })
        .filter((entry) => entry.isFile())
        .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'))
        .join('\n'),
    }));
    expect(found.at).toBe(world.tip);
    expect(found.text).not.toContain(SECRET);
    expect(found.text).not.toContain(Buffer.from(`x-access-token:${SECRET}`).toString('base64'));
  });

  test('for another path is not sent', async () => {
    world.server.behave = wants(`x-access-token:${SECRET}`);
    const before = world.server.authorizations.length;
    expect(await world.failure({ host: { keys: keysFor('/other') } })).toMatchObject({
      code: 'repository_denied',
    });
    expect(world.server.authorizations.slice(before).filter((each) => each !== undefined)).toEqual([]);
  });

  test('that is refused is not told', async () => {
    world.server.behave = wants('somebody:else');
    const failure = await world.failure({ host: { keys: keysFor() } });
    expect(failure).toMatchObject({ kind: 'terminal', code: 'repository_denied' });
    expect(failure.message).toContain('CAPYBARA_GIT_CREDENTIALS');
    expect(failure.message).not.toContain(SECRET);
  });

  test('follows no redirect', async () => {
    const other = await startGitServer(world.root);
    const policy = { own: true, online: true, allowed: [] };
    world.server.behave = (asked, answer) => {
      answer.writeHead(302, { location: `http://127.0.0.1:${other.port}${asked.url}` }).end();
      return true;
    };
    expect(await world.failure({ host: { policy, keys: keysFor() } })).toMatchObject({
      kind: 'terminal',
      code: 'repository_moved',
    });
    expect(other.requests).toEqual([]);
    await other.close();
  });
});

describe('a directory of this machine', () => {
  const listed = (path: string) => ({
    policy: {
      own: false,
      online: true,
      allowed: [readBeginning(pathToFileURL(path).href)].flatMap((each) => each ?? []),
    },
  });
  const urlOf = (path: string) => pathToFileURL(path).href;

  test('is cloned where it is listed', async () => {
    const url = urlOf(join(world.root, 'app.git'));
    expect(await world.clone({ url, host: listed(world.root) }, ({ commit: at }) => at)).toBe(world.tip);
  });

  test('is not cloned where it is not, whatever a link says', async () => {
    const listedRoot = join(world.root, 'listed');
    mkdirSync(listedRoot);
    symlinkSync(join(world.root, 'app.git'), join(listedRoot, 'link.git'));
    const asks = (url: string) => world.clone({ url, host: listed(listedRoot) }, () => undefined);
    for (const url of [urlOf(join(world.root, 'app.git')), urlOf(join(listedRoot, 'link.git'))]) {
      await expect(asks(url)).rejects.toMatchObject({ code: 'repository_not_allowed' });
    }
    expect(existsSync(join(world.dataDir, 'repositories'))).toBe(false);
  });

  test('of one’s own is cloned, and is no system directory', async () => {
    const host = { policy: { own: true, online: true, allowed: [] } };
    const url = urlOf(join(world.root, 'app.git'));
    expect(await world.clone({ url, host }, ({ commit: at }) => at)).toBe(world.tip);
    await expect(world.clone({ url: 'file:///etc', host }, () => undefined)).rejects.toMatchObject({
      code: 'bad_workspace',
    });
  });
});

describe('ssh', () => {
  /** In the place of ssh: does on this machine what it is to do there, and keeps what it was told. */
  function fakeSsh(directory: string): string {
    const bin = join(directory, 'bin');
    mkdirSync(bin);
    const script = '#!/bin/sh\nprintf "%s\\n" "$@" > "$0.told"\nfor last; do :; done\nexec sh -c "$last"\n';
    writeFileSync(join(bin, 'ssh'), script, { mode: 0o755 });
    return bin;
  }

  test('asks nobody, trusts no host that is not known, and uses the key that is set', async () => {
    const bin = fakeSsh(world.dataDir);
    const url = `ssh://git@127.0.0.1${join(world.root, 'app.git')}`;
    const host = {
      policy: { own: true, online: true, allowed: [] },
      searchPath: `${bin}:${process.env.PATH}`,
      sshKey: "/etc/a key'; touch /tmp/no",
    };
    expect(await world.clone({ url, host }, ({ commit: at }) => at)).toBe(world.tip);
    const told = readFileSync(join(bin, 'ssh.told'), 'utf8').split('\n');
    expect(told).toEqual(
      expect.arrayContaining([
        'BatchMode=yes',
        'StrictHostKeyChecking=yes',
        "/etc/a key'; touch /tmp/no",
        'git@127.0.0.1',
      ]),
    );
  });

  test('that fails says why in its own words, not in the advice that git adds', async () => {
    const bin = fakeSsh(world.dataDir);
    writeFileSync(
      join(bin, 'ssh'),
      '#!/bin/sh\necho "ssh: Could not resolve hostname forge.example" >&2\nexit 255\n',
    );
    const host = {
      policy: { own: true, online: true, allowed: [] },
      searchPath: `${bin}:${process.env.PATH}`,
    };
    const failure = await world.failure({ url: 'ssh://git@forge.example/app', host });
    expect(failure).toMatchObject({
      code: 'repository_unreachable',
      message:
        'ssh://git@forge.example/app cannot be reached, or broke off. Git says: ' +
        'ssh: Could not resolve hostname forge.example; fatal: Could not read from remote repository.',
    });
  });

  test('is refused where it is not listed', async () => {
    const url = 'ssh://git@forge.example/app';
    await expect(world.clone({ url }, () => undefined)).rejects.toMatchObject({
      code: 'repository_not_allowed',
    });
  });
});
