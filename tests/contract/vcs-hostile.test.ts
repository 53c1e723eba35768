import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { filesOfPatch } from '../../src/tools/vcs/patch-files.ts';
import { isInstalled } from '../support/version-controls.ts';
import { KINDS, useWorkspace } from './vcs-harness.ts';

const GIT = 'git init -qb main; git config user.name Person; git config user.email p@example.org';

describe.each(KINDS)('what a repository names, %s', { timeout: 120_000 }, (kind) => {
  const { call, shell, root } = useWorkspace(kind);
  const witness = () => join(root(), 'witness');
  const look = async () => {
    const said: string[] = [];
    for (const tool of ['vcs_status', 'vcs_diff', 'vcs_log']) said.push((await call(tool)).text);
    return said;
  };

  test('in git is not run by one who looks', async () => {
    const evil = `touch ${witness()}; cat`;
    await shell(`${GIT}; echo '*.txt diff=evil' > .gitattributes; echo one > a.txt; git add .; git commit -qm first
git config core.fsmonitor "${evil}"; git config diff.external "${evil}"; git config diff.evil.command "${evil}"
git config diff.evil.textconv "${evil}"; git config core.pager "${evil}"; git config alias.status "!${evil}"; git config gpg.program "${evil}"
git config log.showSignature true; git config log.diffMerges on; git config core.hooksPath .; printf '#!/bin/sh\\n${evil}\\n' > post-index-change; chmod +x post-index-change
echo two > a.txt`);
    const [status, diff, log] = await look();
    expect(status).toContain('\nM a.txt\n');
    expect(diff).toContain('-one\n+two\n');
    expect(log).toMatch(/: first$/);
    expect(existsSync(witness())).toBe(false);
  });

  test('in git as a hook is not run by a look that finds the index out of date', async () => {
    await shell(`${GIT}; echo one > a.txt; git add .; git commit -qm first; mkdir -p .git/hooks
printf '#!/bin/sh\\ntouch ${witness()}\\n' > .git/hooks/post-index-change; chmod +x .git/hooks/post-index-change; touch -d 2001-01-01 a.txt`);
    expect((await look())[1]).toBe('(no difference)');
    expect(existsSync(witness())).toBe(false);
  });

  test('in git as a filter is not run unconfined, and can change nothing where it is confined', async () => {
    await shell(`${GIT}; echo '*.txt filter=evil' > .gitattributes; echo one > a.txt; git add .; git commit -qm first
git config filter.evil.clean "touch ${witness()}; cat"; git config filter.evil.required true; echo two > a.txt`);
    const [status, diff] = await look();
    expect(status).toContain('\nM a.txt');
    expect(diff).toContain('-one\n+two\n');
    expect(existsSync(witness())).toBe(false);
  });

  test('in git as a transport is not run by one who publishes', async () => {
    await shell(
      `${GIT}; echo one > a.txt; git add .; git commit -qm first; git remote add origin "ext::sh -c touch% ${witness()}"`,
    );
    const outcome = await call('vcs_submit');
    expect(outcome.isError).toBe(true);
    expect(outcome.text).toMatch(/transport 'ext' not allowed/);
    expect(existsSync(witness())).toBe(false);
  });

  test.runIf(isInstalled('hg'))('in Mercurial is not run by one who looks', async () => {
    await shell(`hg init; echo one > a.txt; hg commit -qAm first -u me; echo two > a.txt
printf 'import os\\nopen("${witness()}", "w")\\n' > evil.py
printf '[extensions]\\nevil = ./evil.py\\n[hooks]\\npre-status = touch ${witness()}\\n[alias]\\nstatus = !touch ${witness()}\\n' > .hg/hgrc`);
    const [status, diff] = await look();
    expect(status).toContain('\nM a.txt');
    expect(diff).toContain('-one\n+two\n');
    expect(existsSync(witness())).toBe(false);
  });

  test('as a hook runs in a commit, and may refuse it', async () => {
    await shell(
      `${GIT}; echo one > a.txt; mkdir -p .git/hooks; printf '#!/bin/sh\\necho not like this >&2; exit 1\\n' > .git/hooks/commit-msg; chmod +x .git/hooks/commit-msg`,
    );
    const outcome = await call('vcs_commit', { message: 'first' });
    expect(outcome).toEqual({
      isError: true,
      text: 'Error: VcsError: git failed (exit code 1): not like this',
    });
  });
});

describe('a working copy', { timeout: 120_000 }, () => {
  const { call, shell, enter, root, base } = useWorkspace('unconfined');
  const text = async (tool: string, args = {}) => (await call(tool, args)).text;

  test('is none', async () => {
    expect(await text('vcs_status')).toMatch(
      /^Error: VcsError: The workspace is under no version control; known here are Git, /,
    );
  });

  test('says which program is missing', async () => {
    mkdirSync(join(root(), '.jj'));
    if (isInstalled('jj')) return;
    expect(await text('vcs_status')).toBe(
      'Error: VcsError: jj is not installed here, and the project is under Jujutsu. Go on without it, and say so when the task is done.',
    );
  });

  test('may be larger than the workspace, which sees its own part', async () => {
    await shell(
      `${GIT}; mkdir part other; echo one | tee part/a.txt other/b.txt > c.txt; git add .; git commit -qm first; echo two | tee part/a.txt other/b.txt > c.txt; git mv c.txt part/c.txt`,
    );
    await enter('part');
    expect((await text('vcs_status')).split('\n').slice(3)).toEqual(['M a.txt', 'A c.txt']);
    expect(await text('vcs_diff')).not.toContain('other');
    expect(await text('vcs_diff', { path: 'a.txt' })).toContain('--- a/a.txt\n+++ b/a.txt\n');
    expect(await text('vcs_commit', { message: 'part' })).toMatch(/^committed .*: part$/);
    expect(await shell('git status --short')).toBe(' D c.txt\n M other/b.txt\n'.replace(' D', 'D '));
  });

  test('may have no commit, no branch, or a conflict', async () => {
    await shell(`${GIT}; echo one > a.txt; git add .`);
    expect(await text('vcs_status')).toBe('system: git\nbranch: main\nrevision: (no commit yet)\nA a.txt');
    expect(await text('vcs_log')).toBe('(no commits)');
    expect(await text('vcs_diff')).toContain('--- /dev/null\n+++ b/a.txt\n');
    expect(await text('vcs_branch')).toBe('* main');
    await shell(
      'git commit -qm first; git switch -qc x; echo x > a.txt; git commit -qam x; git switch -q main; echo y > a.txt; git commit -qam y; git merge -q x || true',
    );
    expect(await text('vcs_status')).toMatch(/\nU a\.txt$/);
    await shell('git merge --abort; git switch -q --detach; git mv a.txt b.txt');
    expect(await text('vcs_status')).toMatch(
      /^system: git\nbranch: \(none\)\nrevision: \w+\nR a\.txt -> b\.txt$/,
    );
    expect(await text('vcs_branch')).toBe('  main\n  x');
    expect(await text('vcs_submit')).toMatch(/has no remote 'origin': it has none/);
  });

  test('may be a worktree or a submodule', async () => {
    await shell(
      `${GIT}; echo one > a.txt; git add .; git commit -qm first; git worktree add -q tree 2> /dev/null; echo two > tree/a.txt`,
    );
    await enter('tree');
    expect(await text('vcs_status')).toMatch(/branch: tree\nrevision: \w+\nM a\.txt$/);
    expect(await text('vcs_commit', { message: 'there' })).toMatch(/: there$/);
  });

  test('shows a name with a line break on one line, and a link as itself', async () => {
    await shell(`${GIT}; echo one > a.txt; git add .; git commit -qm first; echo > $'x\\ny'`);
    symlinkSync('a.txt', join(root(), 'link'));
    expect((await text('vcs_status')).split('\n').slice(3)).toEqual(['? link', '? x\\ny']);
    expect(await text('vcs_commit', { message: 'link', paths: ['link'] })).toMatch(/: link$/);
    expect(await shell('git ls-tree --name-only HEAD link; git status --short')).toMatch(/^link\n\?\? /);
    expect(await text('vcs_diff', { path: 'x\ny' })).toContain('line break');
  });

  test('names at most 1,000 changed files and 500 branches, and counts the others', async () => {
    await shell(
      `${GIT}; for i in $(seq 1000); do echo > f$i; done; git add .; git commit -qm first; for i in $(seq 1000); do echo x > f$i; done`,
    );
    const all = (await text('vcs_status')).split('\n');
    expect([all.length, all.at(-1)?.startsWith('M f')]).toEqual([1003, true]);
    await shell('echo > extra');
    expect((await text('vcs_status')).split('\n').at(-1)).toBe('(1 more changed files)');
    await shell('for i in $(seq 499); do echo "create refs/heads/b$i HEAD"; done | git update-ref --stdin');
    expect((await text('vcs_branch')).split('\n')).toHaveLength(500);
    await shell('git branch one-more');
    expect((await text('vcs_branch')).split('\n').at(-1)).toBe('(1 more branches)');
  });

  test('takes what is as long as a limit, and nothing longer', async () => {
    await shell(`${GIT}; echo one > a.txt; git add .; git commit -qm first`);
    const cases = [
      ['vcs_log', (limit: number) => ({ limit }), 500],
      [
        'vcs_branch',
        (length: number) => ({ action: 'create', name: `${'x/'.repeat(99)}${'y'.repeat(length - 198)}` }),
        200,
      ],
      ['vcs_commit', (length: number) => ({ message: 'm'.repeat(length) }), 20_000],
      ['vcs_commit', (length: number) => ({ message: 'm', paths: Array(length).fill('a.txt') }), 200],
    ] as const;
    for (const [tool, args, limit] of cases) {
      await shell('echo more >> a.txt');
      expect(await text(tool, args(limit))).not.toContain('InvalidArguments');
      expect(await text(tool, args(limit + 1))).toContain('InvalidArguments');
    }
    expect(await text('vcs_log', { limit: 0 })).toContain('InvalidArguments');
  });

  test('is left alone by a patch that leads elsewhere, into it, or does not fit', async () => {
    await shell(`${GIT}; echo one > a.txt; git add .; git commit -qm first`);
    const add = (path: string) => `--- /dev/null\n+++ b/${path}\n@@ -0,0 +1 @@\n+x\n`;
    writeFileSync(join(base(), 'outside'), 'kept');
    symlinkSync(base(), join(root(), 'away'));
    for (const path of ['../outside', '.git/hooks/post-commit', 'sub/.hg/hgrc', '/etc/x', 'away/outside']) {
      const outcome = await call('vcs_apply', { patch: add('new') + add(path) });
      expect([path, outcome.isError]).toEqual([path, true]);
    }
    expect((await call('vcs_apply', { patch: 'no patch' })).text).toContain('names no file');
    expect(
      (await call('vcs_apply', { patch: `${add('new')}--- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-two\n+x\n` }))
        .isError,
    ).toBe(true);
    expect(existsSync(join(root(), 'new'))).toBe(false);
    expect(readFileSync(join(base(), 'outside'), 'utf8')).toBe('kept');
    expect(await text('vcs_apply', { patch: add('new file').trimEnd() })).toBe(
      'applied to 1 file:\nnew file +1 -0',
    );
  });

  test('gives a diff up to what the sandbox keeps of an output, and says where there is more', async () => {
    await shell(`${GIT}; touch a.txt; git add .; git commit -qm first; yes | head -c 2000000 > a.txt`);
    const whole = await call('vcs_diff');
    expect([whole.isError, whole.text.length > 3_000_000]).toEqual([undefined, true]);
    await shell('yes | head -c 8000000 > a.txt');
    expect(await text('vcs_diff')).toMatch(
      /^Error: VcsError: git said more than can be kept \(\d+ bytes more\); name a path\.$/,
    );
  });

  test('stops when the call does', async () => {
    await shell(
      `${GIT}; echo one > a.txt; mkdir -p .git/hooks; printf '#!/bin/sh\\nsleep 100\\n' > .git/hooks/pre-commit; chmod +x .git/hooks/pre-commit`,
    );
    const outcome = await call('vcs_commit', { message: 'x' }, AbortSignal.timeout(1_000));
    expect(outcome.text).toContain('git was stopped before it ended.');
  });
});

describe('filesOfPatch', () => {
  const files = (patch: string) => filesOfPatch(patch);

  test('reads every kind of header, and none inside a hunk', () => {
    const hunk = '@@ -1,2 +1,2 @@\n ctx\n--- a/not\n+++ b/not\n';
    expect(files(`--- a/x y\t2026\n+++ b/x y\n${hunk}`)).toEqual({ paths: ['x y'], strip: 1 });
    expect(files(`--- x\n+++ x\n${hunk}`)).toEqual({ paths: ['x'], strip: 0 });
    expect(files('diff --git a/x b/x\nold mode 100644\nnew mode 100755\n').paths).toEqual(['x']);
    const renamed = 'diff --git a/x b/y\nsimilarity index 100%\nrename from x\nrename to y\n';
    expect(files(renamed)).toEqual({ paths: ['x', 'y'], strip: 1 });
    expect(
      files('diff --git "a/\\303\\274" "b/\\303\\274"\n--- "a/\\303\\274"\n+++ /dev/null\n').paths,
    ).toEqual(['ü']);
  });

  test('refuses what names none', () => {
    for (const patch of ['', 'x', '@@ -1 +1 @@\n-a\n+b\n', '--- /dev/null\n+++ /dev/null\n'])
      expect(() => files(patch)).toThrow('names no file');
  });
});
