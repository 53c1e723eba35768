import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  chooseDocker,
  chooseSandbox,
  decideSandbox,
  isRuntime,
  sandboxSentence,
} from '../../src/sandbox/choose.ts';
import { type DockerSettings, probeDocker } from '../../src/sandbox/docker-probe.ts';
import { type Probe, probeBubblewrap, probeRuntime } from '../../src/sandbox/probes.ts';
import { bubblewrap } from '../support/bubblewrap.ts';
import { docker } from '../support/docker.ts';
import { hasOrdinaryUser, ordinaryUser } from '../support/ordinary-user.ts';
import { runtime } from '../support/runtime.ts';

const works: Probe = { works: true, name: 'bubblewrap', program: '/usr/bin/bwrap', version: '0.8.0' };
const worksOnMac: Probe = {
  ...{ works: true, name: 'runtime', program: '/usr/bin/sandbox-exec', version: '0.0.83' },
  programs: { rg: '/opt/rg' },
};
const missing: Probe = { works: false, found: 'there is no bwrap on the PATH', cure: 'install bubblewrap' };

const here = { profile: 'strict', environment: {}, docker: { program: 'docker' } } as const;

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

  it('is the sandbox runtime on macOS, and wherever it was asked for', () => {
    expect(isRuntime('auto', 'darwin')).toBe(true);
    expect(isRuntime('runtime', 'linux')).toBe(true);
    for (const [setting, platform] of [
      ['auto', 'linux'],
      ['bubblewrap', 'darwin'],
      ['auto', 'freebsd'],
    ] as const)
      expect(isRuntime(setting, platform)).toBe(false);
    const choice = chooseSandbox('auto', 'local', worksOnMac);
    expect(choice).toMatchObject({ name: 'runtime', programs: { rg: '/opt/rg' } });
    expect(sandboxSentence(choice)).toBe(
      'Commands run in the sandbox runtime (local): sandbox-runtime 0.0.83, by /usr/bin/sandbox-exec, works here; ' +
        'profile local, that of your own machine.',
    );
    expect(() => chooseSandbox('runtime', 'local', missing)).toThrow('CAPYBARA_SANDBOX=auto');
  });

  it('is nothing where that was asked for, works or not', async () => {
    expect(chooseSandbox('off', 'strict', works).name).toBe('none');
    expect(sandboxSentence(await decideSandbox('off', here))).toBe(
      'Commands run unconfined: CAPYBARA_SANDBOX is off.',
    );
  });

  it("is nothing on one's own machine without bubblewrap, and says what would help", () => {
    expect(sandboxSentence(chooseSandbox('auto', 'local', missing))).toBe(
      'Commands run unconfined: There is no bwrap on the PATH; to confine commands, install bubblewrap.',
    );
  });

  it('is docker where that was asked for and works, and nothing else where it does not', async () => {
    const engine = { program: '/usr/bin/docker', image: 'node:24' };
    expect(sandboxSentence(chooseDocker('strict', { works: true, engine, version: '28.2' }))).toBe(
      'Commands run in docker: CAPYBARA_SANDBOX is docker, and /usr/bin/docker runs them by engine 28.2, ' +
        'each in a container of node:24.',
    );
    for (const profile of ['strict', 'local'] as const) {
      await expect(decideSandbox('docker', { ...here, profile })).rejects.toThrow(
        'CAPYBARA_SANDBOX is docker, but CAPYBARA_DOCKER_IMAGE is not set: set it to an image that has sh, bash and git, ' +
          'or set CAPYBARA_SANDBOX=auto.',
      );
    }
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

describe.runIf(process.platform === 'linux')('the probe of docker', () => {
  const image = 'capybara-test:some';
  const probe = (settings: Partial<DockerSettings> = {}) =>
    probeDocker({ image, program: 'docker', ...settings }, { environment: { PATH: path } });

  /** A docker that is not the real one. */
  function pretendDocker(script: string): void {
    writeFileSync(join(path, 'docker'), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }

  it('finds none where there is none', async () => {
    expect(await probe()).toMatchObject({ works: false, found: 'there is no docker on the PATH' });
    const absolute = await probe({ program: join(path, 'gone') });
    expect(absolute).toMatchObject({ works: false, found: expect.stringContaining('ENOENT') });
  });

  it('finds an engine that does not answer, with what its client said', async () => {
    pretendDocker('echo "Cannot connect to the Docker daemon." >&2; echo more >&2; exit 1');
    expect(await probe()).toEqual({
      works: false,
      found: `the engine of ${join(path, 'docker')} does not answer (Cannot connect to the Docker daemon.)`,
      cure: expect.stringContaining('systemctl start docker'),
    });
  });

  it('refuses an image with volumes, which nothing limits', async () => {
    pretendDocker(`[ "$1" = version ] && echo 28.2 && exit; echo '{"/data":{}}'`);
    expect(await probe()).toMatchObject({
      found: `the image ${image} declares volumes (/data), which commands could fill without limit`,
    });
  });

  it.each([
    ['sees other files', 'echo something', 'it does not see the files of this host'],
    ['cannot begin', 'echo "docker: no bash" >&2; exit 127', 'docker: no bash'],
  ])('refuses an engine whose container %s', async (_, script, why) => {
    pretendDocker(
      `[ "$1" = version ] && echo 28.2 && exit; [ "$1" = image ] && echo null && exit; ${script}`,
    );
    expect(await probe()).toMatchObject({
      found: `${join(path, 'docker')} cannot run a confined command in ${image} (${why})`,
    });
  });

  it.runIf(docker !== undefined)('finds an image that is not there, and fetches none', async () => {
    const { program, host } = docker ?? expect.unreachable();
    const settings = { program, image: 'capybara-test:none', ...(host === undefined ? {} : { host }) };
    expect(await probeDocker(settings, { environment: {} })).toEqual({
      works: false,
      found: 'there is no image capybara-test:none',
      cure: 'build or pull it (docker pull capybara-test:none): Capybara fetches none',
    });
  });

  it.runIf(docker !== undefined)('accepts one that does what it should', async () => {
    const engine = docker ?? expect.unreachable();
    const settings = {
      ...engine,
      ...(engine.host === undefined ? {} : { host: engine.host }),
    } as DockerSettings;
    expect(await probeDocker(settings, { environment: {}, dataDir: path })).toMatchObject({
      works: true,
      engine,
    });
    expect(readdirSync(path)).toEqual([]);
  });
});

describe.runIf(process.platform === 'linux')('the probe of the runtime', () => {
  /** As somebody who is not root. */
  function probed(path: string): unknown {
    const probes = new URL('../../src/sandbox/probes.ts', import.meta.url).href;
    const script = `console.log(JSON.stringify(await (await import('${probes}')).probeRuntime(process.env)))`;
    const env = { PATH: path, TMPDIR: '/tmp', NODE_NO_WARNINGS: '1' };
    const args = ['--input-type=module', '-e', script];
    return JSON.parse(
      execFileSync(process.execPath, args, { ...ordinaryUser, cwd: '/', env, encoding: 'utf8' }),
    );
  }

  it.runIf(runtime !== undefined && hasOrdinaryUser)('accepts one that does what it should', () => {
    expect(probed(process.env.PATH ?? '')).toMatchObject({
      ...{ works: true, name: 'runtime', program: runtime?.bwrap, programs: runtime },
      version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
    });
  });

  it.runIf(hasOrdinaryUser)('names the program that is missing', () => {
    expect(probed(path)).toMatchObject({ works: false, found: 'there is no bwrap on the PATH' });
    pretend('exit 1');
    expect(probed(path)).toEqual({
      ...{ works: false, found: 'there is no socat on the PATH' },
      cure: 'install what the sandbox runtime needs (apt install bubblewrap socat)',
    });
  });

  it.runIf(hasOrdinaryUser)('refuses one that cannot confine, with what it said', () => {
    pretend('echo "bwrap: No permissions to create new namespace" >&2; exit 1');
    writeFileSync(join(path, 'socat'), '#!/bin/sh', { mode: 0o755 });
    expect(probed(path)).toMatchObject({
      works: false,
      found: `${join(path, 'bwrap')} cannot confine a command (No permissions to create new namespace)`,
    });
  });

  it('refuses root, as whom commands would run, and systems that it does not know', async () => {
    if (process.getuid?.() === 0) {
      expect(await probeRuntime(process.env)).toMatchObject({
        works: false,
        found: 'the sandbox runtime would run commands as root',
      });
    } else {
      expect(await probeRuntime(process.env, 'freebsd')).toMatchObject({
        works: false,
        found: 'the sandbox runtime needs macOS or Linux',
      });
    }
  });
});
