/** Once per run: Postgres and Redis in containers, in the place of those that `npm test` starts itself. */
import { GenericContainer, type StartedTestContainer, Wait } from 'testcontainers';
import type { TestProject } from 'vitest/node';
import { prepareRun, type RunPostgres } from '../support/global-setup.ts';
import { checkEngine, IMAGES } from './engine.ts';

const PASSWORD = 'of-these-tests';
/** Those of the suite, whose files run side by side, each with several processes. */
const CONNECTIONS = 400;

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  await checkEngine();
  const redis = await startRedis();
  process.env.REDIS_URL = `redis://${redis.getHost()}:${redis.getMappedPort(6379)}`;
  try {
    const tearDown = await prepareRun(project, startPostgres);
    return async () => {
      await tearDown();
      await redis.stop();
    };
  } catch (error) {
    await redis.stop();
    throw error;
  }
}

function startRedis(): Promise<StartedTestContainer> {
  return new GenericContainer(IMAGES.redis)
    .withExposedPorts(6379)
    .withWaitStrategy(Wait.forListeningPorts())
    .start();
}

async function startPostgres(): Promise<RunPostgres> {
  const container = await new GenericContainer(IMAGES.postgres)
    .withEnvironment({ POSTGRES_USER: 'capybara', POSTGRES_DB: 'postgres', POSTGRES_PASSWORD: PASSWORD })
    .withCommand(['postgres', '-c', 'fsync=off', '-c', `max_connections=${CONNECTIONS}`])
    .withExposedPorts(5432)
    .withHealthCheck({
      test: ['CMD', 'pg_isready', '-h', '127.0.0.1', '-U', 'capybara'],
      interval: 250,
      timeout: 5_000,
      retries: 240,
      startPeriod: 0,
    })
    .withWaitStrategy(Wait.forHealthCheck())
    .start();
  const address = `${container.getHost()}:${container.getMappedPort(5432)}`;
  return {
    url: `postgres://capybara:${PASSWORD}@${address}/postgres`,
    stop: async () => void (await container.stop()),
  };
}
