import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { BackgroundProcesses } from '../../src/sandbox/background.ts';
import { createBubblewrapSandbox } from '../../src/sandbox/bubblewrap.ts';
import { bashTool } from '../../src/tools/bash.ts';
import { commandPlaces } from '../../src/tools/command-places.ts';
import type { ToolContext } from '../../src/tools/tool.ts';
import { openLocal } from '../../src/workspace/kinds.ts';
import { createSeenFiles } from '../../src/workspace/seen-files.ts';
import { bubblewrap, openBubblewrap } from '../support/bubblewrap.ts';

test.runIf(bubblewrap !== undefined)(
  'a confined command in the user’s own repository commits, and changes nothing that their git or hg would run',
  async () => {
    const base = realpathSync(mkdtempSync(join(tmpdir(), 'capybara-held-')));
    const [project, data] = [join(base, 'project'), join(base, 'data')];
    mkdirSync(project);
    execFileSync('git', ['init', '-q', project]);
    mkdirSync(join(project, '.hg'));
    writeFileSync(join(project, '.hg/hgrc'), '[paths]\n');
    const config = readFileSync(join(project, '.git/config'), 'utf8');
    const program = bubblewrap ?? '';
    const sandbox = createBubblewrapSandbox({
      environment: process.env,
      profile: 'local',
      program,
      hidden: [data],
    });
    const workspace = await openLocal({ id: 'w', path: project }, { dataDir: data });
    const context: ToolContext = {
      ...{ workspace, sandbox, seen: createSeenFiles(), signal: new AbortController().signal },
      onOutput: () => {},
      readOutput: async () => undefined,
      background: new BackgroundProcesses(sandbox),
    };
    const tried = [
      'git config core.fsmonitor evil',
      'echo x > .git/hooks/pre-commit',
      'mv .git moved; cp -r moved .git; echo "[core]" > .git/config',
      'rm -rf .git/config .git/hooks',
      'echo "[hooks]" >> .hg/hgrc; mv .hg moved; rm -rf .hg/hgrc',
      'touch a && git add a && git -c user.name=a -c user.email=b commit -qm a && git log --format=%s',
    ];
    try {
      const outcome = await bashTool.execute({ command: tried.join('\n') }, context);
      expect(outcome.text).toMatch(/\na\n/);
      expect(readFileSync(join(project, '.git/config'), 'utf8')).toBe(config);
      expect(existsSync(join(project, '.git/hooks/pre-commit'))).toBe(false);
      expect(readFileSync(join(project, '.hg/hgrc'), 'utf8')).toBe('[paths]\n');
      expect(existsSync(join(project, '.git/hooks'))).toBe(true);
    } finally {
      await sandbox.close();
      rmSync(base, { recursive: true, force: true });
    }
  },
);

interface Trial {
  /** Run by the user, in the project. */
  readonly before: string;
  /** By the agent. `$EVIL` is a command. */
  readonly attack: string;
  /** By the user again. */
  readonly after: string;
}

const GIT =
  'git init -q . && git config user.name a && git config user.email b && echo 1 > f && git add f && git commit -qm 1';
const HG = 'hg init . && echo 1 > f && hg add -q f && hg commit -m 1 -u a';

const TRIALS: Readonly<Record<string, Trial>> = {
  'hooks where there were none': {
    before: `${GIT}; rm -rf .git/hooks`,
    attack:
      'mkdir .git/hooks; printf "#!/bin/sh\\n$EVIL\\n" > .git/hooks/pre-commit; chmod +x .git/hooks/pre-commit',
    after: 'echo 2 > f; git commit -qam 2',
  },
  'another common directory': {
    before: GIT,
    attack: 'cp -r .git x; git --git-dir=x config core.fsmonitor "$EVIL; false"; echo ../x > .git/commondir',
    after: 'git status',
  },
  'another repository in the place of a worktree’s': {
    before: `mkdir ../main; cd ../main; ${GIT}; git worktree add -q ../w; mv ../w/.git ../project/.git; cd ../project`,
    attack: 'rm -f .git; git init -q .; git config core.fsmonitor "$EVIL; false"',
    after: 'git status',
  },
  'settings of a worktree': {
    before: `${GIT}; git config extensions.worktreeConfig true`,
    attack: 'git config --worktree core.fsmonitor "$EVIL; false"',
    after: 'git status',
  },
  'an hgrc where there was none': {
    before: `${HG}; rm -f .hg/hgrc`,
    attack: 'printf "[hooks]\\npre-status = $EVIL\\n" > .hg/hgrc',
    after: 'hg status',
  },
  'a shared repository': {
    before: HG,
    attack:
      'cp -r .hg x; printf "[hooks]\\npre-status = $EVIL\\n" > x/hgrc; printf "$PWD/x" > .hg/sharedpath; echo shared >> .hg/requires',
    after: 'hg status',
  },
  'an hgrc that is not shared': {
    before: HG,
    attack: 'printf "[hooks]\\npre-status = $EVIL\\n" > .hg/hgrc-not-shared; echo share-safe >> .hg/requires',
    after: 'hg status',
  },
};

test.runIf(bubblewrap !== undefined).each(Object.entries(TRIALS))(
  'the next command of a user runs nothing by %s',
  async (_, { before, attack, after }) => {
    const base = realpathSync(mkdtempSync(join(tmpdir(), 'capybara-held-')));
    const project = join(base, 'project');
    const proof = join(base, 'proof');
    mkdirSync(project);
    const user = (script: string) => {
      const env = { PATH: process.env.PATH, HOME: base, HGUSER: 'a' };
      return spawnSync('bash', ['-c', script], { cwd: project, env, encoding: 'utf8' });
    };
    const sandbox = openBubblewrap();
    try {
      if (before.startsWith('hg') && user('hg --version').status !== 0) return;
      expect(user(before)).toMatchObject({ status: 0 });
      const workspace = await openLocal({ id: 'w', path: project }, { dataDir: join(base, 'data') });
      const places = await commandPlaces(workspace, sandbox);
      const script = `EVIL='touch ${proof}'\n${attack}`;
      await sandbox.run({ ...places, script, timeoutMs: 20_000 }, new AbortController().signal);
      user(after);
      expect(existsSync(proof)).toBe(false);
    } finally {
      await sandbox.close();
      rmSync(base, { recursive: true, force: true });
    }
  },
);
