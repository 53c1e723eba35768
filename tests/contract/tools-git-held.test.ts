import { execFileSync } from 'node:child_process';
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
import type { ToolContext } from '../../src/tools/tool.ts';
import { openLocal } from '../../src/workspace/kinds.ts';
import { createSeenFiles } from '../../src/workspace/seen-files.ts';
import { bubblewrap } from '../support/bubblewrap.ts';

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
