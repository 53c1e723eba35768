/** `npm run test:containers`: docs/containers.md. */
import { defineConfig } from 'vitest/config';
import { ALONE, each } from '../../vitest.config.ts';

/** They start a Postgres of their own, and so would show here what they show in `npm test`. */
const OWN = [
  'tests/integration/{embedded,launcher,package,planted,postgres}*.test.ts',
  'tests/integration/cli-{bad-input,chat,lifecycle,record,run,takeover,up}.test.ts',
];
const together = {
  ...each,
  name: 'together',
  include: ['tests/integration/*.test.ts'],
  exclude: [...ALONE, ...OWN],
  isolate: false,
};
const alone = {
  ...each,
  name: 'alone',
  include: ['tests/containers/*.test.ts', ...ALONE.filter((path) => path.startsWith('tests/integration/'))],
  exclude: OWN,
};

export default defineConfig({
  test: {
    // Their names are their order.
    projects: [{ test: alone }, { test: together }],
    globalSetup: ['tests/containers/global-setup.ts'],
    maxWorkers: 3,
    disableConsoleIntercept: true,
  },
});
