import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { UserError } from '../../src/core/errors.ts';
import { checkLocalPath, directoryOf, openLocal, scratchOf } from '../../src/workspace/kinds.ts';
import { WorkspacePathError } from '../../src/workspace/workspace.ts';

let base: string;
let dataDir: string;
let project: string;

beforeEach(async () => {
  base = await realpath(await mkdtemp(join(tmpdir(), 'capybara-workspace-')));
  dataDir = join(base, 'data');
  project = join(base, 'project');
  await mkdir(dataDir);
  await mkdir(project);
});

afterEach(() => rm(base, { recursive: true, force: true }));

async function refusal(path: string): Promise<string> {
  const error = await checkLocalPath(path, { dataDir }).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(UserError);
  expect((error as UserError).code).toBe('bad_workspace');
  return (error as UserError).message;
}

describe('a local workspace', () => {
  it('opens an existing directory by its real path', async () => {
    await symlink(project, join(base, 'link'));
    const workspace = await openLocal({ id: 'w1', path: join(base, 'link') }, { dataDir });
    expect(workspace).toMatchObject({ id: 'w1', kind: 'local', root: project });
  });

  it('refuses what is no directory, and a relative path', async () => {
    await writeFile(join(base, 'file'), '');
    expect(await refusal(join(base, 'file'))).toContain('is not a directory');
    expect(await refusal(join(base, 'nothing'))).toContain('cannot be opened');
    expect(await refusal('project')).toContain("is 'project', expected an absolute path");
    expect(await refusal('')).toContain('expected an absolute path');
  });

  it('refuses directories of the system, spelled directly or through a link', async () => {
    for (const path of ['/', '/usr', '/etc', '/var', '/bin', '/sbin', '/tmp', '/usr/', '/usr/../etc']) {
      expect(await refusal(path)).toContain('is a system directory');
    }
    await symlink('/etc', join(base, 'etc'));
    expect(await refusal(join(base, 'etc'))).toContain('/etc is a system directory');
    if (process.platform === 'linux') expect(await refusal('/proc/self/fd')).toContain('system directory');
  });

  it('refuses a home directory', async () => {
    expect(await refusal(homedir())).toMatch(/is a (home|system) directory/);
  });

  it('refuses the data directory, what is in it and what holds it', async () => {
    await mkdir(join(dataDir, 'inside'));
    for (const path of [dataDir, join(dataDir, 'inside'), base]) {
      expect(await refusal(path)).toContain(`overlaps Capybara's own data directory ${dataDir}`);
    }
    expect(await checkLocalPath(project, { dataDir })).toBe(project);
    expect(await checkLocalPath(project, { dataDir: join(base, 'not', 'yet') })).toBe(project);
  });
});

describe('what Capybara keeps of a workspace', () => {
  it('stands under its id, which is no path', () => {
    const id = '0197-ab_C';
    expect([directoryOf(id, { dataDir }), scratchOf(id, { dataDir })]).toEqual([
      join(dataDir, 'workspaces', id),
      join(dataDir, 'scratch', id),
    ]);
    expect(directoryOf('x'.repeat(100), { dataDir })).toBe(join(dataDir, 'workspaces', 'x'.repeat(100)));
    for (const bad of ['../escape', '', '.', 'a/b', 'x'.repeat(101)]) {
      expect(() => directoryOf(bad, { dataDir })).toThrow('The workspace id is');
      expect(() => scratchOf(bad, { dataDir })).toThrow('The workspace id is');
    }
  });
});

describe('resolve', () => {
  const open = () => openLocal({ id: 'w1', path: project }, { dataDir });

  it('takes relative and absolute paths inside the root, existing or not', async () => {
    const workspace = await open();
    expect(await workspace.resolve('')).toBe(project);
    expect(await workspace.resolve('.')).toBe(project);
    expect(await workspace.resolve('new/file.ts')).toBe(join(project, 'new/file.ts'));
    expect(await workspace.resolve('new/../other//./x')).toBe(join(project, 'other/x'));
    expect(await workspace.resolve(join(project, 'a'))).toBe(join(project, 'a'));
    await writeFile(join(project, 'file'), '');
    expect(await workspace.resolve('file/below')).toBe(join(project, 'file/below'));
  });

  it('takes an absolute path that goes through a link to the root', async () => {
    await symlink(base, join(dirname(base), 'capybara-other-name'));
    try {
      const path = join(dirname(base), 'capybara-other-name', 'project', 'a');
      expect(await (await open()).resolve(path)).toBe(join(project, 'a'));
    } finally {
      await rm(join(dirname(base), 'capybara-other-name'));
    }
  });

  it('refuses every way out of the root', async () => {
    await symlink('/etc', join(project, 'absolute'));
    await symlink('../data', join(project, 'relative'));
    await symlink(join(base, 'not-there'), join(project, 'dangling'));
    await symlink('dangling', join(project, 'chain'));
    await mkdir(join(base, 'project-beside'));
    const workspace = await open();
    const ways = [
      '..',
      '../data',
      '/etc/passwd',
      'absolute/passwd',
      'relative',
      'dangling',
      'chain',
      'a/../../data',
    ];
    for (const path of [...ways, `${project}-beside/x`]) {
      await expect(workspace.resolve(path)).rejects.toThrow(`'${path}' is outside the workspace`);
    }
  });

  it('follows links as the kernel does: `..` after a link leaves its target, not its name', async () => {
    await mkdir(join(project, 'deep/er'), { recursive: true });
    await symlink('deep/er', join(project, 'short'));
    expect(await (await open()).resolve('short/../x')).toBe(join(project, 'deep/x'));
  });

  it('refuses loops, NUL characters and names that are too long', async () => {
    await symlink('b', join(project, 'a'));
    await symlink('a', join(project, 'b'));
    const workspace = await open();
    await expect(workspace.resolve('a')).rejects.toThrow('loop of symbolic links');
    await expect(workspace.resolve('a\0b')).rejects.toThrow(WorkspacePathError);
    await expect(workspace.resolve('x'.repeat(5_000))).rejects.toThrow(WorkspacePathError);
  });
});
