/** Which sandbox is in force here, and why, in words for `capybara doctor` and the log. */
import { UserError } from '../core/errors.ts';
import type { DockerEngine } from './docker-arguments.ts';
import { type DockerProbe, type DockerSettings, probeDocker } from './docker-probe.ts';
import type { Environment } from './environment.ts';
import { type Probe, probeBubblewrap, probeRuntime } from './probes.ts';
import type { Runner } from './runner.ts';
import type { Setup } from './runtime-process.ts';
import type { SandboxName } from './sandbox.ts';
import type { Profile } from './view.ts';

/** `CAPYBARA_SANDBOX`. */
export type SandboxSetting = 'auto' | 'bubblewrap' | 'runtime' | 'docker' | 'off';

export interface SandboxChoice {
  readonly name: SandboxName;
  readonly profile: Profile;
  /** A sentence: why this one. */
  readonly reason: string;
  /** What confines, and its version; that of the library where `name` is `runtime`. */
  readonly program?: string;
  readonly version?: string;
  /** Where `name` is `runtime`. */
  readonly programs?: Setup['programs'];
  /** Where `name` is `docker`. */
  readonly engine?: DockerEngine;
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
    const { name, program, version } = probe;
    const whose = profile === 'strict' ? 'of a server' : 'of your own machine';
    const what = name === 'runtime' ? `sandbox-runtime ${version}, by ${program},` : `${program} ${version}`;
    const reason = `${what} works here; profile ${profile}, that ${whose}.`;
    const programs = name === 'runtime' ? { programs: probe.programs } : {};
    return { name, profile, reason, program, version, ...programs };
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
  const probe = isRuntime(setting)
    ? await probeRuntime(environment)
    : await probeBubblewrap(environment, unprivileged);
  return chooseSandbox(setting, profile, probe);
}

/** Bubblewrap shows a command less of the host, and holds it and its guard better, but is for Linux alone. */
export function isRuntime(setting: SandboxSetting, platform: string = process.platform): boolean {
  return setting === 'runtime' || (setting === 'auto' && platform === 'darwin');
}

/** What a person is told: which sandbox, and why. */
export function sandboxSentence({ name, profile, reason }: SandboxChoice): string {
  if (name === 'none') return `Commands run unconfined: ${reason}`;
  if (name === 'docker') return `Commands run in docker: ${reason}`;
  return `Commands run in ${name === 'runtime' ? 'the sandbox runtime' : name} (${profile}): ${reason}`;
}

function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
