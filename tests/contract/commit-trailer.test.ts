import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { CO_AUTHOR_TRAILER, withCoAuthor } from '../../src/core/co-author.ts';
import { createBubblewrapSandbox } from '../../src/sandbox/bubblewrap.ts';
import { type GitSetup, gitVariables, installGitSetup } from '../../src/sandbox/git-setup.ts';
import type { Command, LeasedSandbox } from '../../src/sandbox/sandbox.ts';
import { createUnconfinedSandbox } from '../../src/sandbox/unconfined.ts';
import { bubblewrap, makePlace, type SandboxPlace } from '../support/bubblewrap.ts';

/** What a shell does after a first commit that a person made; its commits must all name their co-author. */
const COMMITS: Readonly<Record<string, string>> = {
  '-m': 'git commit -qm one',
  '-m with paragraphs': 'git commit -qm one -m "two: three"',
  'a subject that looks like a comment': 'git commit -qm "#123 mends it"',
  'a subject that looks like a trailer': 'git commit -qm "fix: it"',
  '-F': 'printf "one\\n\\nbody\\n" > m; git commit -qF m',
  '-F from a pipe': 'echo one | git commit -qF -',
  'an editor that writes': `GIT_EDITOR='sh -c "echo edited > \\$0"' git commit -q`,
  'an editor that writes, with -v': `GIT_EDITOR='sed -i 1s/^/edited/' git commit -qv`,
  'an editor that writes, with --no-verify': `GIT_EDITOR='sh -c "echo edited > \\$0"' git commit -q --no-verify`,
  'an editor, after -m': `GIT_EDITOR='sh -c "echo edited > \\$0"' git commit -qem one`,
  '--amend -m': 'git commit -qm one; git commit -q --amend -m two',
  '--amend --no-edit of what a person made': 'git commit -q --amend --no-edit',
  'many amends': 'git commit -qm one; for i in 1 2 3; do git commit -q --amend --no-edit; done',
  '--no-verify': 'git commit -qnm one; git commit -q --allow-empty --no-verify -m two',
  'other trailers': 'git commit -qsm one --trailer "Co-authored-by: A <a@example.org>"',
  'the trailer in its own spelling': `git commit -qm one -m "Co-Authored-By: Capybara Vibe <agent@capybara.ai>"`,
  'an empty message': "git commit -q --allow-empty-message -m ''",
  '-C of what a person made': 'git commit -q -C HEAD',
  '--fixup and autosquash':
    'git commit -qm one; echo >> b; git add .; git commit -q --fixup HEAD; GIT_EDITOR=true git rebase -qi --autosquash HEAD~2',
  '--squash and autosquash':
    'git commit -qm one; echo >> b; git add .; git commit -q --squash HEAD -m more; GIT_EDITOR=true git rebase -qi --autosquash HEAD~2',
  'a merge':
    'git commit -qm one; git switch -qc x HEAD~; git commit -q --allow-empty -m two; git merge -q --no-edit main',
  'a merge with --no-verify':
    'git commit -qm one; git switch -qc x HEAD~; git commit -q --allow-empty -m two; git merge -q --no-verify --no-edit main',
  'a merge without fast-forward, with -m':
    'git commit -qm one; git switch -qc x HEAD~; git merge -q --no-ff -m two main',
  'a merge with a conflict':
    'git commit -qm one; git switch -qc x HEAD~; echo x > b; git add .; git commit -qm two; git merge -q main; echo y > b; git add .; git commit -q --no-edit',
  'a squash merge':
    'git commit -qm one; git switch -qc x HEAD~; git merge -q --squash main > /dev/null; git commit -q --no-edit',
  'a cherry-pick':
    'git commit -qm one; git switch -qc x HEAD~; git commit -q --allow-empty -m two; git cherry-pick main > /dev/null',
  'a cherry-pick of what a person made':
    'git switch -qc x; git commit -qm one; git rm -q a; git commit -qm gone; git cherry-pick theirs > /dev/null',
  'a revert': 'git commit -qm one; git revert --no-edit HEAD > /dev/null',
  'a rebase':
    'git commit -qm one; git switch -qc x HEAD~; git commit -q --allow-empty -m two; git rebase -q main',
  'a rebase of what a person made, by patches':
    'git commit -qm one; git switch -q theirs; git rebase -q --apply main',
  'a patch from a mail':
    'git commit -qm one; git format-patch -q -1 -o p; git switch -qc x HEAD~; git am -q p/*.patch',
  'a worktree': 'git worktree add -q inner 2> /dev/null; cd inner; git commit -q --allow-empty -m one',
  'a repository of its own in it': 'git init -q sub; cd sub; echo > a; git add .; git commit -qm one',
  'a submodule':
    'git init -q sub; git -C sub commit -q --allow-empty -m one; git submodule --quiet add ./sub; git commit -qm two; cd sub; git commit -q --allow-empty -m three',
};

const KINDS = ['unconfined', ...(bubblewrap === undefined ? [] : (['strict', 'local'] as const))] as const;

/** What a person has made before. */
const BEGIN = `git init -qb main; git config user.name Person; git config user.email p@example.org
echo > a; git add a; git commit -qm theirs
git switch -qc theirs; echo >> c; git add c; git commit -qm "theirs too"; git switch -q main; echo > b; git add b`;
const OK = '{"type":"exit","code":0}';

describe.each(KINDS)('commits of commands, %s', (kind) => {
  const profile = kind === 'strict' ? 'strict' : 'local';
  let begun: SandboxPlace;
  let setup: GitSetup;
  let sandbox: LeasedSandbox;
  let place: SandboxPlace;
  beforeAll(async () => {
    begun = makePlace(profile);
    setup = installGitSetup(join(begun.path, 'git'));
    const shared = {
      environment: { PATH: process.env.PATH, HOME: begun.path, TMPDIR: begun.path },
      git: setup,
    };
    sandbox =
      kind === 'unconfined'
        ? createUnconfinedSandbox(shared)
        : createBubblewrapSandbox({ ...shared, profile, program: bubblewrap ?? '', home: begun.path });
    expect(await runIn(begun, `unset GIT_CONFIG_COUNT\n${BEGIN}`)).toContain(OK);
  });
  afterAll(async () => {
    await sandbox.close();
    rmSync(begun.path, { recursive: true, force: true });
  });
  beforeEach(() => {
    place = makePlace(profile);
  });
  afterEach(() => rmSync(place.path, { recursive: true, force: true }));

  async function runIn(at: SandboxPlace, script: string, more: Partial<Command> = {}): Promise<string> {
    const { workspace: root, scratch } = at;
    mkdirSync(join(scratch, 'tmp'), { recursive: true });
    const command = {
      script,
      cwd: root,
      writable: [root],
      scratch,
      timeoutMs: 60_000,
    };
    const env = kind === 'unconfined' ? { TMPDIR: join(scratch, 'tmp') } : {};
    const { output, end } = await sandbox.run({ ...command, env, ...more }, new AbortController().signal);
    return `${output}${JSON.stringify(end)}`;
  }

  /** In a copy of what a person has begun. */
  function run(script: string, more: Partial<Command> = {}): Promise<string> {
    return runIn(place, `{ [ -e .git ] || cp -a ${begun.workspace}/. .; } && ${script}`, {
      readable: [begun.workspace],
      ...more,
    });
  }

  function git(...args: string[]): string {
    return execFileSync('git', ['-c', 'safe.directory=*', ...args], {
      cwd: place.workspace,
      encoding: 'utf8',
    });
  }

  /** What was committed in a repository and is not the person's. */
  function messagesIn(name: string): string[] {
    const theirs = execFileSync('git', ['-c', 'safe.directory=*', 'rev-list', '--all'], {
      cwd: begun.workspace,
    });
    const known = new Set(theirs.toString().split('\n'));
    const log = git('-C', name, 'log', '--all', '--format=%H%x01%B%x02').split('\x02').slice(0, -1);
    const commits = log.map((record) => record.trim().split('\x01'));
    return commits.filter(([sha = '']) => !known.has(sha)).map(([, message = '']) => message);
  }

  const all = Object.keys(COMMITS);
  const some = ['-m', '--amend --no-edit of what a person made', 'a worktree', 'a submodule'];

  test.each(kind === 'unconfined' ? all : some)('%s', async (name) => {
    expect(await run(COMMITS[name] ?? '')).toContain(OK);
    const places = ['.', 'inner', 'sub'].filter((each) => existsSync(join(place.workspace, each, '.git')));
    const messages = places.flatMap((each) => messagesIn(each));
    expect(messages.length).toBeGreaterThan(0);
    for (const message of messages) {
      expect(message.match(/capybara vibe/gi), message).toHaveLength(1);
      expect(message.trimEnd().split(/\n\n/).at(-1), message).toMatch(TRAILERS);
    }
  });

  test('have the trailer of core, once, whatever was there', () => {
    const hook = readFileSync(join(setup.hooks, 'commit-msg'), 'utf8');
    expect(hook).toContain(`trailer='${CO_AUTHOR_TRAILER}'\n`);
  });

  test('run the hooks of the repository, with their arguments, input, words and right to refuse', async () => {
    const hooks = [
      'mkdir -p .git/hooks',
      `printf '#!/bin/sh\\necho "pre-commit ran"; test ! -e forbidden' > .git/hooks/pre-commit`,
      `printf '#!/bin/sh\\nsed -i "1s/^/[$2] /" "$1"' > .git/hooks/prepare-commit-msg`,
      `printf '#!/bin/sh\\ngrep -q Capybara "$1" || exit 9; echo "Change-Id: I1" >> "$1"' > .git/hooks/commit-msg`,
      `printf '#!/bin/sh\\necho "post-commit ran"' > .git/hooks/post-commit`,
      `printf '#!/bin/sh\\necho "pushes $1: $(cut -d " " -f 1 | tr "\\\\n" " ")"' > .git/hooks/pre-push`,
      `printf '#!/bin/sh\\nexit 7' > .git/hooks/post-checkout`,
      'chmod +x .git/hooks/*; chmod -x .git/hooks/post-checkout',
    ].join('\n');
    const acts = [
      'git commit -m one; git switch -q theirs && git switch -q main',
      'git init -q --bare far.git; git push far.git main 2>&1; git -C far.git log -1 --format=%s',
      'touch forbidden; git commit --allow-empty -m two; echo "refused: $?"',
      'git log -1 --format=%B',
    ].join('\n');
    const said = await run(`{ ${hooks}\n${acts}\n}`);
    expect(said).toContain('pre-commit ran\n');
    expect(said).toContain('post-commit ran\n');
    expect(said).toMatch(/pushes far\.git: refs\/heads\/main/);
    expect(said).toContain('refused: 1\n');
    expect(said).toContain(`[message] one\n\nChange-Id: I1\n${CO_AUTHOR_TRAILER}\n`);
    expect(readFileSync(join(place.workspace, '.git/hooks/pre-commit'), 'utf8')).toContain('pre-commit ran');
  });

  test('run hooks from where the repository keeps them, also in its worktrees', async () => {
    const hooks = `mkdir -p tools/hooks; printf '#!/bin/sh\\necho "ran in \${PWD##*/}"' > tools/hooks/pre-commit; chmod +x tools/hooks/*`;
    const acts = `git config core.hooksPath tools/hooks; git add .; git commit -m one; git worktree add -q inner -b x; cd inner; git commit --allow-empty -m two`;
    const said = await run(`{ ${hooks}; ${acts}; }`);
    expect(said.match(/ran in \w+/g)).toEqual(['ran in workspace', 'ran in inner']);
    expect(messagesIn('.')).toHaveLength(2);
  });

  test('leave nothing behind that a person would have in their own', async () => {
    await run('git commit -qm one');
    expect(git('config', '--list', '--local')).not.toContain('hookspath');
    // Theirs, afterwards.
    const person = { env: { GIT_CONFIG_COUNT: '0' } };
    expect(await runIn(place, 'git commit -q --allow-empty -m mine; git log -1 --format=%B', person)).toMatch(
      /^mine\n\n\{/,
    );
  });

  test('have an author where nobody configured one, and otherwise who is configured', async () => {
    const show = 'git log -1 "--format=%an <%ae>, %cn <%ce>"';
    const commit = `git commit -q --allow-empty -m x; ${show}`;
    const none = 'git config --unset user.name; git config --unset user.email';
    const me = 'Capybara Vibe <agent@capybara.ai>';
    expect(await run(commit)).toContain('Person <p@example.org>, Person <p@example.org>\n');
    expect(await run(`{ ${none}; ${commit}; }`)).toContain(`${me}, ${me}\n`);
    const gitSettings = { 'user.name': 'User', 'user.email': 'u@example.org' };
    expect(await run(`{ ${none}; ${commit}; }`, { gitSettings })).toContain(
      'User <u@example.org>, User <u@example.org>\n',
    );
    const told = `git -c user.name=A -c user.email=a@b commit -q --allow-empty -m x; ${show}`;
    expect(await run(told, { gitSettings })).toContain('A <a@b>, A <a@b>\n');
    expect(messagesIn('.').every((message) => message.includes(CO_AUTHOR_TRAILER))).toBe(true);
  });

  test('stay empty where an editor is given nothing and writes nothing', async () => {
    expect(await run('GIT_EDITOR=true git commit --allow-empty; echo "exit $?"')).toMatch(
      /empty commit message[\s\S]*exit 1/,
    );
  });

  test('do not pass by hooks where they are made without: that is said in git-setup.ts', async () => {
    const said = await run('git log -1 --format=%B $(git commit-tree -m low HEAD^{tree})');
    expect(said).toMatch(/^low\n\n\{/);
  });
});

/** The last paragraph is of trailers, ours the last of them. */
const TRAILERS = /^([\w-]+: .*\n|\(cherry picked .*\n)*Co-authored-by: Capybara Vibe <agent@capybara\.ai>$/;

describe('withCoAuthor', () => {
  test.each([
    ['one', 'one\n\n<T>\n'],
    ['one\n\nbody\n', 'one\n\nbody\n\n<T>\n'],
    ['fix: it', 'fix: it\n\n<T>\n'],
    ['one\n\nSigned-off-by: A <a@b>\n', 'one\n\nSigned-off-by: A <a@b>\n<T>\n'],
    ['one\n\n<T>', 'one\n\n<T>\n'],
    ['one\r\n\r\n<T>\r\nSigned-off-by: A <a@b>\r\n', 'one\n\nSigned-off-by: A <a@b>\n<T>\n'],
    [
      'one\n\nco-authored-by: capybara vibe <AGENT@capybara.ai>\n\nmore: it\nand so on',
      'one\n\nmore: it\nand so on\n\n<T>\n',
    ],
    ['', '<T>\n'],
  ])('of %j', (message, expected) => {
    const full = (text: string) => text.replaceAll('<T>', CO_AUTHOR_TRAILER);
    expect(withCoAuthor(full(message))).toBe(full(expected));
    expect(withCoAuthor(full(expected))).toBe(full(expected));
  });
});

describe('gitVariables', () => {
  test('are none where there is nothing to say', () => {
    expect(gitVariables(undefined)).toEqual({});
    expect(gitVariables(undefined, { 'user.name': 'A' })).toEqual({
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: 'user.name',
      GIT_CONFIG_VALUE_0: 'A',
    });
  });

  test('need no git, and can be set up twice', () => {
    const place = makePlace('local');
    try {
      const first = installGitSetup(join(place.path, 'git'));
      expect(installGitSetup(join(place.path, 'git'))).toEqual(first);
      expect(gitVariables(first)).toMatchObject({
        GIT_CONFIG_SYSTEM: first.config,
        GIT_CONFIG_VALUE_0: first.hooks,
      });
    } finally {
      rmSync(place.path, { recursive: true });
    }
  });
});
