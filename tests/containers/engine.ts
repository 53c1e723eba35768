/** What these tests ask of an engine, and which images they take. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

export const ROOT = join(import.meta.dirname, '..', '..');

/** Those of docker-compose.yml, or others that do the same, such as `docker/local-images.sh` makes. */
export const IMAGES = {
  base: process.env.CAPYBARA_TEST_BASE_IMAGE,
  postgres: process.env.CAPYBARA_TEST_POSTGRES_IMAGE ?? 'postgres:18-bookworm',
  redis: process.env.CAPYBARA_TEST_REDIS_IMAGE ?? 'redis:8-bookworm',
} as const;

const BUFFER_BYTES = 64 * 1024 * 1024;
const execute = promisify(execFile);

interface Options {
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs a program in the checkout and returns what it printed. Rejects with what it complained of. */
export async function run(program: string, args: readonly string[], { env = {} }: Options = {}) {
  const options = { cwd: ROOT, env: { ...process.env, ...env }, maxBuffer: BUFFER_BYTES };
  return (await execute(program, args, options)).stdout;
}

const answers = (program: string, ...args: string[]) =>
  run(program, args).then(
    () => true,
    () => false,
  );

/** Throws a sentence where no engine answers. */
export async function checkEngine(): Promise<void> {
  if (await answers('docker', 'info', '--format', '{{.ServerVersion}}')) return;
  throw new Error(
    'No engine of containers answers (`docker info`): start Docker, or say where it is with DOCKER_HOST. `npm test` needs none.',
  );
}

/** `docker compose`, or the docker-compose 1.29 of Debian 12. */
export interface Compose {
  readonly program: string;
  readonly args: readonly string[];
  /** What docker-compose.yml must be told for it. */
  readonly env: Readonly<Record<string, string>>;
}

export async function findCompose(): Promise<Compose> {
  if (await answers('docker', 'compose', 'version')) return { program: 'docker', args: ['compose'], env: {} };
  const env = { CAPYBARA_WORKER_PROC: 'no-new-privileges', CAPYBARA_WORKER_PRIVILEGED: 'true' };
  if (await answers('docker-compose', 'version')) return { program: 'docker-compose', args: [], env };
  throw new Error('There is no Compose: install docker-compose-plugin, or docker-compose 1.29 or newer.');
}
