import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { applyPatch, changesIn, patchText } from '../../src/cli/patch.ts';
import { createStyle } from '../../src/cli/terminal.ts';

let place: string;
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'capybara-patch-'));
});
afterEach(() => rmSync(place, { recursive: true }));

const plain = createStyle({ isTty: false, noColor: true });
const coloured = createStyle({ isTty: true, noColor: false });
const PATCH = Buffer.from(
  ['diff --git a/a b/a', '--- a/a', '+++ b/a', '@@ -1,2 +1,2 @@', ' one', '-two', '+three', ''].join('\n'),
);

describe('a patch on a terminal', () => {
  test('is painted by line, and cannot move the cursor', () => {
    expect(patchText(PATCH, plain)).toBe(PATCH.toString());
    expect(patchText(PATCH, coloured)).toContain('\u001b[31m-two\u001b[39m\n\u001b[32m+three\u001b[39m\n');
    expect(patchText(Buffer.from('+\u001b[2Jgone\u0007\n'), plain)).toBe('+gone\u2407\n');
    expect(patchText(Buffer.alloc(0), coloured)).toBe('No changes.\n');
  });
});

describe('applying a patch', () => {
  test('changes the files, also in a part of a repository, and only there', async () => {
    execFileSync('git', ['init', '-q', place]);
    const part = join(place, 'part');
    mkdirSync(part);
    for (const directory of [place, part]) writeFileSync(join(directory, 'a'), 'one\ntwo\n');
    await applyPatch(PATCH, part);
    expect(readFileSync(join(part, 'a'), 'utf8')).toBe('one\nthree\n');
    expect(readFileSync(join(place, 'a'), 'utf8')).toBe('one\ntwo\n');
  });

  test('changes the bytes that it says, whatever attributes say of line ends and filters', async () => {
    execFileSync('git', ['init', '-q', place]);
    execFileSync('git', ['config', 'filter.x.smudge', 'sed s/three/four/'], { cwd: place });
    writeFileSync(join(place, '.gitattributes'), 'a text eol=crlf filter=x\n');
    writeFileSync(join(place, 'a'), 'one\ntwo\n');
    await applyPatch(PATCH, place);
    expect(readFileSync(join(place, 'a'), 'utf8')).toBe('one\nthree\n');
  });

  test('refuses whole what does not fit, and says what', async () => {
    writeFileSync(join(place, 'a'), 'one\nmine\n');
    const more = Buffer.from(
      'diff --git a/new b/new\nnew file mode 100644\n--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+new\n',
    );
    const refused = applyPatch(Buffer.concat([more, PATCH]), place);
    await expect(refused).rejects.toMatchObject({
      code: 'apply_refused',
      exitCode: 1,
      message: [
        'Nothing was applied: files here are not what the changes begin with. Compare with `capybara diff`.',
        '  patch failed: a:1',
        '  a: patch does not apply',
      ].join('\n'),
    });
    expect(readFileSync(join(place, 'a'), 'utf8')).toBe('one\nmine\n');
    expect(() => readFileSync(join(place, 'new'))).toThrow();
  });

  test('leaves all as it was where a file cannot be written', async () => {
    writeFileSync(join(place, 'a'), 'one\ntwo\n', { mode: 0o640 });
    writeFileSync(join(place, 'd'), 'a file');
    const below = (name: string) =>
      Buffer.from(
        `diff --git a/${name} b/${name}\nnew file mode 100644\n--- /dev/null\n+++ b/${name}\n@@ -0,0 +1 @@\n+x\n`,
      );
    const failed = applyPatch(Buffer.concat([PATCH, below('c'), below('d/x')]), place);
    await expect(failed).rejects.toMatchObject({
      code: 'apply_failed',
      message: expect.stringMatching(/^Nothing was applied: a file could not be written/),
    });
    expect(readFileSync(join(place, 'a'), 'utf8')).toBe('one\ntwo\n');
    expect(statSync(join(place, 'a')).mode & 0o777).toBe(0o640);
    expect(existsSync(join(place, 'c'))).toBe(false);
    expect(readFileSync(join(place, 'd'), 'utf8')).toBe('a file');
  });

  test('does not overwrite a file that has come to be where one is added', async () => {
    writeFileSync(join(place, 'new'), 'mine\n');
    const added = Buffer.from(
      'diff --git a/new b/new\nnew file mode 100644\n--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+new\n',
    );
    await expect(applyPatch(added, place)).rejects.toThrow('new: already exists in working directory');
    expect(readFileSync(join(place, 'new'), 'utf8')).toBe('mine\n');
  });

  test('writes nothing outside the directory, whatever the patch says', async () => {
    const inner = join(place, 'inner');
    mkdirSync(inner);
    for (const path of ['../out', '/tmp/capybara-out', '.git/hooks/x']) {
      const evil = Buffer.from(
        `diff --git a/${path} b/${path}\nnew file mode 100644\n--- /dev/null\n+++ b/${path}\n@@ -0,0 +1 @@\n+x\n`,
      );
      await expect(applyPatch(evil, inner)).rejects.toMatchObject({ code: 'apply_refused' });
    }
  });

  test('counts files, and has nothing to do where the session worked', () => {
    const local = { kind: 'local' as const, path: place };
    expect(changesIn(PATCH, { workspace: { kind: 'empty', path: null }, directory: place })).toBe(1);
    expect(changesIn(Buffer.alloc(0), { workspace: local, directory: tmpdir() })).toBe(0);
    expect(() => changesIn(PATCH, { workspace: local, directory: place })).toThrow(
      'its changes are there already',
    );
  });
});
