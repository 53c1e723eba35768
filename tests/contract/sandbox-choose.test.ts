import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  chooseSandbox,
  decideSandbox,
  type Probe,
  probeBubblewrap,
  sandboxSentence,
} from '../../src/sandbox/choose.ts';
import { bubblewrap } from '../support/bubblewrap.ts';

const works: Probe = { works: true, program: '/usr/bin/bwrap', version: '0.8.0' };
const missing: Probe = { works: false, found: 'there is no bwrap on the PATH', cure: 'install bubblewrap' };

let path: string;
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'capybara-choose-'));
  chmodSync(path, 0o755);
});
afterEach(() => rmSync(path, { recursive: true, force: true }));

/** A bwrap that is not the real one. */
function pretend(script: string): void {
  writeFileSync(join(path, 'bwrap'), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

describe('the choice', () => {
  it('is bubblewrap where it works', () => {
    for (const setting of ['auto', 'bubblewrap'] as const) {
      expect(chooseSandbox(setting, 'strict', works)).toMatchObject({
        name: 'bubblewrap',
        program: '/usr/bin/bwrap',
      });
    }
    expect(sandboxSentence(chooseSandbox('auto', 'local', works))).toBe(
      'Commands run in bubblewrap (local): /usr/bin/bwrap 0.8.0 works here; profile local, that of your own machine.',
    );
  });

  it('is nothing where that was asked for, works or not', async () => {
    expect(chooseSandbox('off', 'strict', works).name).toBe('none');
    expect(sandboxSentence(await decideSandbox('off', 'strict', {}))).toBe(
      'Commands run unconfined: CAPYBARA_SANDBOX is off.',
    );
  });

  it("is nothing on one's own machine without bubblewrap, and says what would help", () => {
    expect(sandboxSentence(chooseSandbox('auto', 'local', missing))).toBe(
      'Commands run unconfined: There is no bwrap on the PATH; to confine commands, install bubblewrap.',
    );
  });

  it('is refused on a server without bubblewrap, and wherever it was asked for', () => {
    expect(() => chooseSandbox('auto', 'strict', missing)).toThrow(
      'Commands of agents must be confined here, but there is no bwrap on the PATH: install bubblewrap, ' +
        'or set CAPYBARA_SANDBOX=off to run them unconfined.',
    );
    expect(() => chooseSandbox('bubblewrap', 'strict', missing)).toThrow('CAPYBARA_SANDBOX=off');
    expect(() => chooseSandbox('bubblewrap', 'local', missing)).toThrow('CAPYBARA_SANDBOX=auto');
  });
});

describe.runIf(process.platform === 'linux')('the probe', () => {
  it('finds none where there is none', async () => {
    expect(await probeBubblewrap({ PATH: path })).toMatchObject({
      works: false,
      found: 'there is no bwrap on the PATH',
    });
    expect(await probeBubblewrap({})).toMatchObject({ works: false });
  });

  it('refuses one that is too old', async () => {
    pretend('echo "bubblewrap 0.6.2"');
    expect(await probeBubblewrap({ PATH: path })).toMatchObject({
      works: false,
      found: `${join(path, 'bwrap')} is version 0.6.2`,
      cure: 'install bubblewrap 0.8 or newer (apt install bubblewrap)',
    });
  });

  it('refuses one that cannot make namespaces, with what it said', async () => {
    pretend(
      '[ "$1" = --version ] && echo "bubblewrap 0.11.0" && exit; echo "bwrap: No permissions to create new namespace" >&2; exit 1',
    );
    const probe = await probeBubblewrap({ PATH: path });
    expect(probe).toMatchObject({
      works: false,
      found: `${join(path, 'bwrap')} cannot confine a command (No permissions to create new namespace)`,
      cure: expect.stringContaining('user.max_user_namespaces'),
    });
  });

  it.runIf(bubblewrap !== undefined)('accepts one that does what it should', async () => {
    expect(await probeBubblewrap(process.env)).toMatchObject({ works: true, program: bubblewrap });
  });
});
