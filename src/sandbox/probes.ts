/** Whether a sandbox can confine commands here: a confined `true` is really run. */
import { execFile } from 'node:child_process';
import { rgPath } from '@vscode/ripgrep';
import { messageOf } from '../core/errors.ts';
import { NAMESPACES } from './bubblewrap.ts';
import { clearedEnvironment, type Environment } from './environment.ts';
import { findProgram, isProgram } from './program.ts';
import { type Runner, UNPRIVILEGED } from './runner.ts';
import type { Setup } from './runtime-process.ts';
import { openWrapper } from './runtime-wrapper.ts';

export interface BubblewrapWorks {
  readonly works: true;
  readonly name: 'bubblewrap';
  readonly program: string;
  readonly version: string;
}

export interface RuntimeWorks {
  readonly works: true;
  readonly name: 'runtime';
  /** What confines: bwrap(1), or sandbox-exec(1) on macOS. */
  readonly program: string;
  /** Of @anthropic-ai/sandbox-runtime. */
  readonly version: string;
  readonly programs: Setup['programs'];
}

export interface WorksNot {
  readonly works: false;
  readonly found: string;
  readonly cure: string;
}

export type Probe = BubblewrapWorks | RuntimeWorks | WorksNot;

/** `--size`, without which a command could fill the memory with files, and `--disable-userns`. */
const OLDEST = [0, 8] as const;
const PROBE_TIMEOUT_MS = 10_000;
const INSTALL = 'install bubblewrap 0.8 or newer (apt install bubblewrap)';
const ALLOW_NAMESPACES =
  'let its users make user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone=1, ' +
  'kernel.apparmor_restrict_unprivileged_userns=0; in a container, a seccomp and an AppArmor profile that ' +
  'allow them, and nothing laid over /proc: docs/containers.md)';

/** As whoever commands would run as. */
export async function probeBubblewrap(
  environment: Environment,
  unprivileged: Runner = UNPRIVILEGED,
): Promise<BubblewrapWorks | WorksNot> {
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
    return { works: true, name: 'bubblewrap', program, version };
  } catch (error) {
    return {
      works: false,
      found: `${program} cannot confine a command (${complaint(error)})`,
      cure: ALLOW_NAMESPACES,
    };
  }
}

const SANDBOX_EXEC = '/usr/bin/sandbox-exec';

/** `platform`: this one's; nothing but a test says otherwise. */
export async function probeRuntime(
  environment: Environment,
  platform: string = process.platform,
): Promise<RuntimeWorks | WorksNot> {
  if (process.getuid?.() === 0) {
    const found = 'the sandbox runtime would run commands as root';
    return { works: false, found, cure: 'run Capybara as an ordinary user' };
  }
  const found = await runtimePrograms(platform, environment.PATH ?? '');
  if ('works' in found) return found;
  const { program, programs } = found;
  try {
    const version = await confineTrue(programs, environment);
    return { works: true, name: 'runtime', program, version, programs };
  } catch (error) {
    const cure = platform === 'linux' ? ALLOW_NAMESPACES : 'run Capybara outside of other sandboxes';
    return { works: false, found: `${program} cannot confine a command (${complaint(error)})`, cure };
  }
}

/** What the runtime is made of here, whether it works or not. */
type RuntimePrograms = Pick<RuntimeWorks, 'program' | 'programs'>;

export async function runtimePrograms(platform: string, path: string): Promise<RuntimePrograms | WorksNot> {
  if (platform === 'darwin') {
    if (await isProgram(SANDBOX_EXEC)) return { program: SANDBOX_EXEC, programs: { rg: rgPath } };
    return { works: false, found: `there is no ${SANDBOX_EXEC}`, cure: 'run Capybara in a container' };
  }
  if (platform !== 'linux') {
    return {
      works: false,
      found: 'the sandbox runtime needs macOS or Linux',
      cure: 'run Capybara on one of these, or in a container',
    };
  }
  const [bwrap, socat] = await Promise.all(['bwrap', 'socat'].map((name) => findProgram(name, path)));
  if (bwrap !== undefined && socat !== undefined) {
    return { program: bwrap, programs: { rg: rgPath, bwrap, socat } };
  }
  const missing = bwrap === undefined ? 'bwrap' : 'socat';
  const cure = 'install what the sandbox runtime needs (apt install bubblewrap socat)';
  return { works: false, found: `there is no ${missing} on the PATH`, cure };
}

/** Returns the library's version. */
async function confineTrue(programs: Setup['programs'], environment: Environment): Promise<string> {
  const { PATH = '' } = clearedEnvironment(environment);
  const wrapper = await openWrapper({ programs }, PATH);
  try {
    const files = { denyRead: [], allowRead: [], allowWrite: [], denyWrite: [] };
    const [program = '', ...args] = await wrapper.wrap({ text: 'exec true', files });
    await run(program, args);
    return wrapper.version;
  } finally {
    await wrapper.close();
  }
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
      .replace(/^(bwrap|sandbox-exec): /, '')
      .split('\n')[0] ?? ''
  );
}
