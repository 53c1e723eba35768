/** Which sandbox is in force here, and why, in words for `capybara doctor` and the log. */
import { execFile } from 'node:child_process';
import { messageOf, UserError } from '../core/errors.ts';
import { NAMESPACES } from './bubblewrap.ts';
import type { DockerEngine } from './docker-arguments.ts';
import { type DockerProbe, type DockerSettings, probeDocker } from './docker-probe.ts';
import type { Environment } from './environment.ts';
import { findProgram } from './program.ts';
import { type Runner, UNPRIVILEGED } from './runner.ts';
import type { Profile } from './view.ts';

/** `CAPYBARA_SANDBOX`. */
export type SandboxSetting = 'auto' | 'bubblewrap' | 'docker' | 'off';

export interface SandboxChoice {
  readonly name: 'bubblewrap' | 'docker' | 'none';
  readonly profile: Profile;
  /** A sentence: why this one. */
  readonly reason: string;
  /** Where `name` is `bubblewrap`. */
  readonly program?: string;
  readonly version?: string;
  /** Where `name` is `docker`. */
  readonly engine?: DockerEngine;
}

export type Probe =
  | { readonly works: true; readonly program: string; readonly version: string }
  | { readonly works: false; readonly found: string; readonly cure: string };

/** `--size`, without which a command could fill the memory with files, and `--disable-userns`. */
const OLDEST = [0, 8] as const;
const PROBE_TIMEOUT_MS = 10_000;
const INSTALL = 'install bubblewrap 0.8 or newer (apt install bubblewrap)';
const ALLOW_NAMESPACES =
  'let its users make user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone=1, ' +
  'kernel.apparmor_restrict_unprivileged_userns=0; in a container, a seccomp and AppArmor profile that allow them)';

/** Whether bubblewrap can confine commands here: a confined `true` is really run, as whoever commands would run as. */
export async function probeBubblewrap(
  environment: Environment,
  unprivileged: Runner = UNPRIVILEGED,
): Promise<Probe> {
  if (process.platform !== 'linux') {
    return {
      works: false,
      found: 'bubblewrap needs Linux',
      cure: 'run Capybara on Linux, or in a container',
    };
  }
  const program = await findProgram('bwrap', environment.PATH ?? '');
  if (program === undefined) return { works: false, found: 'there is no bwrap on the PATH', cure: INSTALL };
  try {
    const version = (await run(program, ['--version'])).replace(/^bubblewrap\s+/, '').trim();
    if (!isNewEnough(version))
      return { works: false, found: `${program} is version ${version}`, cure: INSTALL };
    const sandbox = [
      ...NAMESPACES,
      '--ro-bind',
      '/',
      '/',
      '--dev',
      '/dev',
      '--proc',
      '/proc',
      '--',
      '/bin/true',
    ];
    await run(program, sandbox, process.getuid?.() === 0 ? unprivileged : {});
    return { works: true, program, version };
  } catch (error) {
    return {
      works: false,
      found: `${program} cannot confine a command (${complaint(error)})`,
      cure: ALLOW_NAMESPACES,
    };
  }
}

/**
 * A server (`strict`) confines commands or is told not to; one's own Capybara (`local`) does where it can.
 *
 * @throws UserError `sandbox_missing` where commands must be confined and cannot be.
 */
export function chooseSandbox(
  setting: Exclude<SandboxSetting, 'docker'>,
  profile: Profile,
  probe: Probe,
): SandboxChoice {
  if (setting === 'off') return { name: 'none', profile, reason: 'CAPYBARA_SANDBOX is off.' };
  if (probe.works) {
    const { program, version } = probe;
    const whose = profile === 'strict' ? 'of a server' : 'of your own machine';
    const reason = `${program} ${version} works here; profile ${profile}, that ${whose}.`;
    return { name: 'bubblewrap', profile, reason, program, version };
  }
  const { found, cure } = probe;
  if (setting === 'auto' && profile === 'local') {
    return { name: 'none', profile, reason: `${capitalised(found)}; to confine commands, ${cure}.` };
  }
  const instead = profile === 'strict' ? ' or set CAPYBARA_SANDBOX=off to run them unconfined' : '';
  throw new UserError(
    'sandbox_missing',
    `Commands of agents must be confined here, but ${found}: ${cure},${instead || ' or set CAPYBARA_SANDBOX=auto'}.`,
    3,
  );
}

/**
 * Containers are for who asks for them: nothing else takes their place where they cannot be had.
 *
 * @throws UserError `sandbox_missing`.
 */
export function chooseDocker(profile: Profile, probe: DockerProbe): SandboxChoice {
  if (!probe.works) {
    const { found, cure } = probe;
    throw new UserError(
      'sandbox_missing',
      `CAPYBARA_SANDBOX is docker, but ${found}: ${cure}, or set CAPYBARA_SANDBOX=auto.`,
      3,
    );
  }
  const { engine, version } = probe;
  const reason = `CAPYBARA_SANDBOX is docker, and ${engine.program} runs them by engine ${version}, each in a container of ${engine.image}.`;
  return { name: 'docker', profile, reason, engine, version };
}

const NOT_ASKED: Probe = { works: false, found: 'nobody asked', cure: 'ask' };

export interface Here {
  readonly profile: Profile;
  readonly environment: Environment;
  readonly unprivileged?: Runner | undefined;
  readonly docker: DockerSettings;
  /** Where the files of commands are kept. */
  readonly dataDir?: string;
}

/** Probes only what matters. Throws as `chooseSandbox` and `chooseDocker` do. */
export async function decideSandbox(setting: SandboxSetting, here: Here): Promise<SandboxChoice> {
  const { profile, environment, unprivileged, docker } = here;
  if (setting === 'off') return chooseSandbox(setting, profile, NOT_ASKED);
  if (setting === 'docker') return chooseDocker(profile, await probeDocker(docker, here));
  return chooseSandbox(setting, profile, await probeBubblewrap(environment, unprivileged));
}

/** What a person is told: which sandbox, and why. */
export function sandboxSentence({ name, profile, reason }: SandboxChoice): string {
  if (name === 'none') return `Commands run unconfined: ${reason}`;
  return `Commands run in ${name === 'docker' ? name : `${name} (${profile})`}: ${reason}`;
}

function isNewEnough(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1]);
}

function run(program: string, args: readonly string[], as: Partial<Runner> = {}): Promise<string> {
  const options = { cwd: '/', env: {}, timeout: PROBE_TIMEOUT_MS, killSignal: 'SIGKILL' as const, ...as };
  return new Promise((resolve, reject) => {
    execFile(program, args, options, (error, stdout, stderr) => {
      if (error) reject(new Error(stderr.trim() || error.message));
      else resolve(stdout);
    });
  });
}

function complaint(error: unknown): string {
  return (
    messageOf(error)
      .replace(/^bwrap: /, '')
      .split('\n')[0] ?? ''
  );
}

function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
