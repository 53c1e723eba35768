import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { clientEnvironment } from '../../src/sandbox/containers.ts';
import { createDockerSandbox, type DockerOptions } from '../../src/sandbox/docker.ts';
import type { DockerEngine } from '../../src/sandbox/docker-arguments.ts';
import { probeDocker } from '../../src/sandbox/docker-probe.ts';
import type { LeasedSandbox } from '../../src/sandbox/sandbox.ts';

/** The socket of an engine to test with, `unix:///path`; the client's own choice where not set. */
const host = process.env.CAPYBARA_TEST_DOCKER_HOST;

/** What an image of this host's programs has. Those that are missing here are missing there. */
const PROGRAMS = [
  ...[
    'sh',
    'bash',
    'env',
    'perl',
    'git',
    'grep',
    'sed',
    'awk',
    'find',
    'xargs',
    'getent',
    'timeout',
    'setsid',
  ],
  ...[
    'cat',
    'ls',
    'id',
    'rm',
    'cp',
    'mv',
    'ln',
    'du',
    'dd',
    'tr',
    'od',
    'ip',
    'wc',
    'tee',
    'seq',
    'cut',
    'tail',
  ],
  ...['head', 'sort', 'stat', 'date', 'touch', 'mkdir', 'chmod', 'chown', 'mknod', 'sleep', 'uname', 'nproc'],
  ...[
    'mktemp',
    'mkfifo',
    'expr',
    'dirname',
    'basename',
    'readlink',
    'realpath',
    'hostname',
    'dmesg',
    'su',
    'sudo',
  ],
  ...['mount', 'umount', 'chroot', 'unshare', 'nsenter', 'nice', 'renice', 'chrt', 'whoami', 'true', 'false'],
];

const here = { environment: process.env };

/** An engine that works here, with an image; undefined where there is none, which is said once for each file that asks. */
export const docker: DockerEngine | undefined = await find();

async function find(): Promise<DockerEngine | undefined> {
  const settings = { program: 'docker', ...(host === undefined ? {} : { host }) };
  const empty = await probeDocker({ ...settings, image: 'capybara-test:none' }, here);
  // An engine that answers has no such image; then one is made.
  const found = empty.works || !empty.found.startsWith('there is no image') ? undefined : makeImage(settings);
  const probe = found === undefined ? empty : await probeDocker({ ...settings, image: found }, here);
  if (probe.works) return probe.engine;
  console.warn(`Tests of docker are skipped: ${probe.found}; ${probe.cure}.`);
  return undefined;
}

/** A sandbox as a server's worker has it. */
export function openDocker(
  options: Partial<DockerOptions> & Pick<DockerOptions, 'directory'>,
): LeasedSandbox {
  const engine = docker ?? { program: '', image: '' };
  return createDockerSandbox({ engine, profile: 'strict', environment: process.env, ...options });
}

/** What the engine's client says. */
export function dockerSays(engine: Omit<DockerEngine, 'image'>, ...args: string[]): string {
  return execFileSync(engine.program, args, { env: clientEnvironment(engine), encoding: 'utf8' });
}

/** The containers of sessions whose scratch directories begin so. */
export function containersOf(engine: DockerEngine, scratch: string): string[] {
  const format = '{{.ID}} {{.Label "capybara.scratch"}}';
  const listed = dockerSays(engine, 'ps', '--all', '--filter', 'label=capybara.scratch', '--format', format);
  return listed.split('\n').filter((line) => line.includes(` ${scratch}`));
}

/** Of programs of this host with the libraries they need, once for each set of them. */
function makeImage({ program, host: at }: { program: string; host?: string }): string | undefined {
  const engine = { program: onPath(program) ?? program, host: at };
  const files = [...new Set(PROGRAMS.flatMap((name) => onPath(name) ?? []))];
  const versions = [...files, process.execPath].map(
    (path) => `${path} ${statSync(path).size} ${statSync(path).mtimeMs}`,
  );
  const image = `capybara-test:${createHash('sha256').update(versions.join('\n')).digest('hex').slice(0, 12)}`;
  if (dockerSays(engine, 'images', '--quiet', image) !== '') return image;
  const root = mkdtempSync(join(tmpdir(), 'capybara-image-'));
  try {
    layOut(root, files);
    const tar = spawnSync('tar', ['-C', root, '-c', '.'], { maxBuffer: 2 ** 30 });
    const imported = { env: clientEnvironment(engine), input: tar.stdout, maxBuffer: 2 ** 20 };
    execFileSync(engine.program, ['import', '-', image], imported);
    return image;
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

function onPath(name: string): string | undefined {
  const path = `${process.env.PATH}${delimiter}/usr/sbin${delimiter}/sbin`;
  return path
    .split(delimiter)
    .filter((directory) => /^\/(usr\/)?s?bin$/.test(directory))
    .map((directory) => join(directory, name))
    .find((file) => existsSync(file));
}

/** Everything below /usr, where /bin and the like lead. */
function layOut(root: string, files: readonly string[]): void {
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) {
    mkdirSync(join(root, 'usr', name), { recursive: true });
    symlinkSync(`usr/${name}`, join(root, name));
  }
  for (const name of ['etc', 'tmp', 'proc', 'sys', 'dev', 'home', 'var/lib', 'root'])
    mkdirSync(join(root, name), { recursive: true });
  for (const path of [...files, ...librariesOf([...files, process.execPath])]) {
    const to = join(root, path);
    mkdirSync(dirname(to), { recursive: true });
    copyFileSync(path, to);
  }
  for (const path of [...perlModules(), '/usr/lib/locale/C.utf8'].filter((each) => existsSync(each)))
    cpSync(path, join(root, path), { recursive: true, dereference: true });
  chmodSync(join(root, 'tmp'), 0o1777);
}

function librariesOf(files: readonly string[]): string[] {
  const { stdout } = spawnSync('ldd', files, { encoding: 'utf8' });
  return [...new Set(stdout.match(/(?<=^\t|=> )\/\S+/gm) ?? [])];
}

/** The few that come with perl itself. */
function perlModules(): string[] {
  const { stdout } = spawnSync('perl', ['-e', 'print join "\\n", grep { -d } @INC'], { encoding: 'utf8' });
  return stdout.split('\n').filter((path) => path.endsWith('/perl-base'));
}
