import { describe, expect, test } from 'vitest';
import { CO_AUTHOR_TRAILER } from '../../src/core/co-author.ts';
import { everySystem, systems } from '../support/version-controls.ts';
import { KINDS, useWorkspace } from './vcs-harness.ts';

const CASES = everySystem.flatMap((system) => KINDS.map((kind) => ({ ...system, kind })));

/** For what a system does not have: unlike one that is not here, it is not skipped. */
const NO_TEST = (() => {}) as unknown as typeof test;

/** But for what Mercurial remembers of its own: it notes that a file it has just read is what it was, once a second has passed. */
const FILES =
  'find . -type f -not -path "./far/*" -not -path "./.hg/dirstate*" -not -path "./.hg/cache/*" | sort | xargs -d "\\n" cksum';

describe.each(CASES)('$name, $kind', { timeout: 120_000 }, ({ name, kind, branch, begin, message }) => {
  const isHere = systems.some((each) => each.name === name);
  const it = test.runIf(isHere);
  const { call, shell } = useWorkspace(kind);
  const change = `echo more >> a.txt; rm gone.txt; echo new > 'new file.txt'`;
  const text = async (tool: string, args = {}) => {
    const outcome = await call(tool, args);
    return outcome.isError ? `FAILED ${outcome.text}` : outcome.text;
  };
  const isSvn = name === 'svn';
  const itCommits = isSvn ? NO_TEST : it;
  // What a sandbox does to the rest is the same for all.
  const itUnconfined = kind === 'unconfined' ? it : NO_TEST;
  const itCommitsUnconfined = isSvn ? NO_TEST : itUnconfined;
  const isJj = name === 'jj';

  it('shows what is not committed, with the same letters as any other, and changes nothing by it', async () => {
    await shell(begin);
    const head = new RegExp(`^system: ${name}\nbranch: ${branch}\nrevision: \\w+\n`);
    const clean = await text('vcs_status');
    expect(clean).toMatch(head);
    expect(clean).toMatch(/\n\(no changes\)$/);
    await shell(change);
    const before = await shell(FILES);
    const lines = (await text('vcs_status')).split('\n').slice(3);
    expect(lines).toEqual(['M a.txt', 'D gone.txt', `${isJj ? 'A' : '?'} new file.txt`]);
    const after = await shell(FILES);
    expect(after).toBe(before);
  });

  itUnconfined('shows differences as a diff that can be applied, either way', async () => {
    await shell(begin);
    expect(await text('vcs_diff')).toBe('(no difference)');
    await shell(`echo more >> a.txt; printf 'three\\nFOUR\\nfive\\nsix\\n' > dir/old.txt`);
    const diff = await text('vcs_diff');
    expect(diff).toContain('--- a/a.txt\n+++ b/a.txt\n');
    expect(diff).toContain('\n+more\n');
    expect(diff).toContain('--- a/dir/old.txt\n+++ b/dir/old.txt\n');
    const part = await text('vcs_diff', { path: 'dir' });
    expect(part).toContain('\n-four\n+FOUR\n');
    expect(part).not.toContain('more');
    expect(await text('vcs_apply', { patch: diff, reverse: true })).toMatch(
      /^applied to 2 files:\na\.txt \+\d -\d\n/,
    );
    expect(await text('vcs_diff')).toBe('(no difference)');
    await text('vcs_apply', { patch: diff });
    expect(await shell('cat a.txt')).toBe('one\nmore\n');
    expect(await text('vcs_apply', { patch: diff })).toMatch(
      /^FAILED Error: VcsError: git failed .*patch does not apply/s,
    );
  });

  itCommits('commits everything with its co-author, and lists commits', async () => {
    await shell(begin);
    expect(await text('vcs_log')).toMatch(/^\w+ \d{4}-\d\d-\d\dT\S+ .+: first(\n|$)/);
    await shell(change);
    const said = await text('vcs_commit', { message: 'second\n\nIt says why.' });
    expect(said).toMatch(/^committed \w+ \d{4}-\d\d-\d\dT\S+ .+: second/);
    expect(await text('vcs_status')).toMatch(/\n\(no changes\)$/);
    const whole = await shell(message);
    expect(whole.match(/Co-authored-by/g)).toHaveLength(1);
    expect(whole).toContain(CO_AUTHOR_TRAILER);
    const log = (await text('vcs_log', { limit: 2 })).split('\n');
    expect(log.map((line) => line.slice(line.lastIndexOf(': ') + 2).split(' ')[0])).toEqual([
      'second',
      'first',
    ]);
    expect(await text('vcs_log', { limit: 1, path: 'dir' })).toMatch(/: first/);
    expect(await text('vcs_diff', { revision: log[1]?.split(' ')[0] ?? '', path: 'a.txt' })).toContain(
      '\n+more\n',
    );
  });

  itCommitsUnconfined('commits what is named, and nothing else', async () => {
    await shell(`${begin}; ${change}; echo x >> 'ü b@c.txt'`);
    expect(await text('vcs_commit', { message: 'part', paths: ['gone.txt', 'ü b@c.txt'] })).toMatch(
      /^committed /,
    );
    const lines = (await text('vcs_status')).split('\n').slice(3);
    expect(lines).toEqual(['M a.txt', `${isJj ? 'A' : '?'} new file.txt`]);
    expect(await text('vcs_commit', { message: 'none', paths: ['dir'] })).toMatch(/^FAILED /);
  });

  (isSvn ? it : NO_TEST)('submits, with its co-author', async () => {
    await shell(`${begin}; ${change}; echo x >> 'ü b@c.txt'`);
    expect(await text('vcs_commit', { message: 'x' })).toMatch(/^FAILED .*vcs_submit/);
    expect(await text('vcs_submit')).toMatch(/^FAILED .*needs a message/);
    expect(await text('vcs_submit', { message: 'part', paths: ['ü b@c.txt'] })).toContain(
      'Committed revision 4.',
    );
    expect((await text('vcs_status')).split('\n').slice(3)).toEqual([
      'M a.txt',
      'D gone.txt',
      '? new file.txt',
    ]);
    // More than are named to a program at once.
    await shell('for i in $(seq 201); do echo > n$i; done');
    expect(await text('vcs_submit', { message: 'second' })).toContain('Committed revision 5.');
    const whole = await shell(message);
    expect(whole.match(/Co-authored-by/g)).toHaveLength(1);
    expect(whole).toContain(`second\n\n${CO_AUTHOR_TRAILER}\n`);
    expect((await text('vcs_log', { limit: 2 })).split('\n')).toEqual([
      expect.stringMatching(/^5 .*: second$/),
      expect.stringMatching(/^4 .*: part$/),
    ]);
    expect(await text('vcs_status')).toMatch(/\n\(no changes\)$/);
  });

  itUnconfined('lists branches, begins one and switches', async () => {
    await shell(begin);
    expect((await text('vcs_branch')).split('\n')).toContain(`* ${branch}`);
    const began = await text('vcs_branch', { action: 'create', name: 'topic' });
    if (name === 'svn' || name === 'fossil') {
      expect(began).toMatch(/^FAILED Error: VcsError: In (Subversion|Fossil) a branch/);
      if (!isSvn) return;
      expect(await text('vcs_branch', { action: 'switch', name: 'x' })).toBe('switched to branch x');
      expect((await text('vcs_branch')).split('\n')).toEqual(['  trunk', '* x']);
      return;
    }
    expect(began).toBe('began branch topic');
    await shell('echo more >> a.txt');
    expect(await text('vcs_commit', { message: 'on topic' })).toMatch(/^committed /);
    expect(await text('vcs_branch', { action: 'switch', name: branch })).toBe(`switched to branch ${branch}`);
    expect(await shell('cat a.txt')).toBe('one\n');
    expect((await text('vcs_branch')).split('\n')).toEqual([`* ${branch}`, '  topic']);
    expect(await text('vcs_branch', { action: 'switch', name: 'nowhere' })).toMatch(/^FAILED /);
    expect(await text('vcs_branch', { action: 'switch' })).toMatch(/give name/);
  });

  itCommitsUnconfined('submits to a remote that is configured, and to no other', async () => {
    await shell(begin);
    const other = await text('vcs_submit', { remote: 'elsewhere' });
    expect(other).toMatch(/^FAILED .*(has no (remote|path) 'elsewhere'|No git remote)/s);
    if (name === 'fossil') return;
    await shell('echo more >> a.txt');
    await text('vcs_commit', { message: 'second' });
    if (isJj) await shell('jj bookmark move main --to @-');
    expect(await text('vcs_submit', isJj ? { branch: 'main' } : {})).not.toMatch(/^FAILED/);
    const far =
      name === 'hg' ? "hg -R far log -r tip -T '{desc|firstline}'" : 'git -C far log -1 --format=%s main';
    expect((await shell(far)).trim()).toBe('second');
  });

  itUnconfined('refuses names that would be options, and paths outside', async () => {
    await shell(begin);
    for (const [tool, args] of [
      ['vcs_branch', { action: 'create', name: '--force' }],
      ['vcs_branch', { action: 'switch', name: 'a b' }],
      ['vcs_diff', { revision: '--output=x' }],
      ['vcs_submit', { remote: '-x' }],
      ['vcs_submit', { remote: 'ext::sh -c id' }],
      ['vcs_submit', { remote: 'https://example.org/x' }],
      ['vcs_commit', { message: ' \n' }],
    ] as const) {
      expect(await text(tool, args)).toMatch(/^FAILED Error: InvalidArguments/);
    }
    expect(await text('vcs_diff', { path: '../x' })).toMatch(/^FAILED Error: WorkspacePathError/);
    expect(await text('vcs_commit', { message: 'x', paths: ['/etc/passwd'] })).toMatch(/WorkspacePathError/);
    await shell(`echo x > ./--amend; echo y > ./-n`);
    expect(await text('vcs_diff', { path: '--amend' })).not.toMatch(/unrecognized|unknown|option/i);
    if (isSvn) return;
    expect(await text('vcs_commit', { message: 'dashes', paths: ['--amend', '-n'] })).toMatch(
      /^committed .*: dashes/,
    );
    expect(await text('vcs_log', { limit: 1, path: '--amend' })).toMatch(/: dashes/);
  });
});
