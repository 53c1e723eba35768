import { describe, expect, test } from 'vitest';
import { narrowed, type Profile } from '../../src/core/profile.ts';
import {
  checkRepository,
  isTrustedHost,
  MAX_REF_LENGTH,
  MAX_REPOSITORY_URL,
  type RepositoryPolicy,
  readBeginning,
  readRef,
  readRepositoryUrl,
} from '../../src/core/repository.ts';

function failure(act: () => unknown): { code: string; message: string } {
  try {
    act();
  } catch (error) {
    return error as { code: string; message: string };
  }
  throw new Error('it was accepted');
}

describe('the URL of a repository', () => {
  test.each([
    ['https://host.example/team/app.git', 'https://host.example/team/app.git', 443],
    ['https://HOST.example/app/', 'https://host.example/app', 443],
    ['git+https://host.example/app', 'https://host.example/app', 443],
    ['https://host.example:8443/app', 'https://host.example:8443/app', 8443],
    ['https://host.example/a/../app', 'https://host.example/app', 443],
    ['http://0x7f000001/app', 'http://127.0.0.1/app', 80],
    ['ssh://git@host.example/app.git', 'ssh://git@host.example/app.git', 22],
    ['git+ssh://git@host.example:2222/app', 'ssh://git@host.example:2222/app', 2222],
    ['git@host.example:team/app.git', 'ssh://git@host.example/team/app.git', 22],
    ['file:///srv/git/app.git', 'file:///srv/git/app.git', 0],
  ])('%s is read as %s', (text, url, port) => {
    expect(readRepositoryUrl(text)).toMatchObject({ url, port });
  });

  test.each([
    'ext::sh -c touch% /tmp/x',
    'ext::whoami',
    'git://host.example/app',
    'ftp://host.example/app',
    '--upload-pack=touch /tmp/x',
    '-u./payload',
    '/srv/git/app.git',
    '../app',
    'app',
    '',
    'https://',
    'https://host.example',
    'https://host.example/',
    'https://host.example/-u',
    'https:host.example/app b',
    'https://host.example/a\nb',
    'https://host.example\\@evil.example/app',
    'https://host.example/team%2f..%2fother',
    'https://host.example/a%00b',
    'ssh://git@%2DoProxyCommand=x/app',
    'file://host.example/srv/app',
    'file://',
    'ssh://-oProxyCommand=x/app',
    'git@-oProxyCommand=x:app',
    'https://host.example/app?token=s3cret',
    'https://host.example/app#main',
  ])('%j is none', (text) => {
    const { code, message } = failure(() => readRepositoryUrl(text));
    expect(code).toBe('bad_repository');
    expect(message).toMatch(/^The repository .* expected /);
    expect(message).not.toMatch(/s3cret|\n/);
  });

  test.each([
    'https://ana:s3cret@host.example/app',
    'https://s3cret@host.example/app',
    'ssh://ana:s3cret@host.example/app',
    'https://ana:s3cret@host.example/app b',
    'https://ana:s3cret@/app',
    'quatsch://ana:s3cret@host.example/app',
  ])('%j is refused for its password, which is not repeated', (text) => {
    const { code, message } = failure(() => readRepositoryUrl(text));
    expect(code).toBe('bad_repository');
    expect(message).not.toContain('s3cret');
  });

  test('has a longest length', () => {
    const begin = 'https://host.example/';
    const longest = begin + 'a'.repeat(MAX_REPOSITORY_URL - begin.length);
    expect(readRepositoryUrl(longest).url).toBe(longest);
    expect(failure(() => readRepositoryUrl(`${longest}a`)).message).toContain(
      `at most ${MAX_REPOSITORY_URL}`,
    );
  });
});

describe('a policy', () => {
  const policyOf = (more: Partial<RepositoryPolicy>, ...allowed: string[]): RepositoryPolicy => ({
    ...{ own: false, online: true },
    allowed: allowed.flatMap((text) => readBeginning(text) ?? []),
    ...more,
  });
  const server = policyOf({}, 'http://git.internal:3000/team', 'ssh://git@forge.example', 'file:///srv/git');
  const allows = (policy: RepositoryPolicy, url: string) => {
    try {
      checkRepository(url, policy);
      return true;
    } catch (error) {
      expect(error).toMatchObject({ code: 'repository_not_allowed' });
      return false;
    }
  };

  test.each([
    ['https://host.example/app', true],
    ['http://host.example/app', false],
    ['http://git.internal:3000/team/app', true],
    ['http://git.internal:3000/team', true],
    ['http://git.internal:3000/teammates/app', false],
    ['http://git.internal:3000/team/../other/app', false],
    ['http://git.internal/team/app', false],
    ['https://git.internal:3000/team/app', true],
    ['git@forge.example:any/app', true],
    ['ssh://git@other.example/app', false],
    ['file:///srv/git/app.git', true],
    ['file:///srv/gitter/app.git', false],
    ['file:///etc', false],
  ])('of a server, for %s: %s', (url, expected) => {
    expect(allows(server, url)).toBe(expected);
  });

  test('of one’s own machine allows all that is a repository; offline, its own directories and what is listed', () => {
    const own = policyOf({ own: true });
    for (const url of ['http://10.0.0.1/app', 'file:///home/ana/app', 'git@host.example:app']) {
      expect(allows(own, url)).toBe(true);
    }
    const offline = policyOf({ own: true, online: false }, 'https://git.internal');
    expect(allows(offline, 'file:///home/ana/app')).toBe(true);
    expect(allows(offline, 'https://git.internal/app')).toBe(true);
    expect(allows(offline, 'https://host.example/app')).toBe(false);
  });

  test('trusts the hosts that are listed, by their port', () => {
    expect(isTrustedHost(server, { host: 'git.internal', port: 3000 })).toBe(true);
    expect(isTrustedHost(server, { host: 'git.internal', port: 80 })).toBe(false);
    expect(isTrustedHost(policyOf({ own: true }), { host: 'x', port: 1 })).toBe(true);
    expect(isTrustedHost(policyOf({ own: true, online: false }), { host: 'x', port: 1 })).toBe(false);
  });
});

describe('a ref', () => {
  test.each(['main', 'feature/one', 'v1.2.3', 'refs/pull/1/head', 'a'.repeat(40), 'Ümläut', 'a@b', '@x'])(
    '%s may be one',
    (ref) => expect(readRef(ref)).toBe(ref),
  );

  test.each([undefined, null, 'HEAD'])('%s is the default', (ref) => expect(readRef(ref)).toBeNull());

  test.each([
    ...['', '-u', '--upload-pack=x', 'a b', 'a..b', 'main~1', 'main^', 'a:b', 'a?', 'a*', 'a[', 'a\\b', '@'],
    ...['@{-1}', 'a@{1}', '/a', 'a/', 'a//b', '.a', 'a/.b', 'a.lock', 'a.lock/b', 'a.', 'a\nb', '\ud800'],
  ])('%j is none', (ref) => {
    expect(failure(() => readRef(ref))).toMatchObject({ code: 'bad_ref' });
  });

  test('has a longest length', () => {
    expect(readRef('a'.repeat(MAX_REF_LENGTH))).toHaveLength(MAX_REF_LENGTH);
    expect(failure(() => readRef('a'.repeat(MAX_REF_LENGTH + 1))).code).toBe('bad_ref');
  });
});

test('a profile is narrowed by rules for its agent and for all, and keeps what it has', () => {
  const profile: Profile = {
    ...{ agent: 'build', prompt: 'p', tools: [], model: 'm', mode: 'auto' },
    permissions: { allowedPaths: ['src'], restrictions: [{ decision: 'deny', tool: 'a' }] },
  };
  expect(narrowed(profile, [])).toBe(profile);
  expect(narrowed(profile, [{ decision: 'deny', tool: 'x', agent: 'plan' }])).toBe(profile);
  const rules = [
    { decision: 'ask', tool: 'b' },
    { decision: 'deny', tool: 'c', pattern: 'd', agent: 'build' },
  ] as const;
  expect(narrowed(profile, rules).permissions).toEqual({
    allowedPaths: ['src'],
    restrictions: [
      { decision: 'deny', tool: 'a' },
      { decision: 'ask', tool: 'b' },
      { decision: 'deny', tool: 'c', pattern: 'd' },
    ],
  });
});
