import type { Hook } from '@oclif/core';

const BAD_USAGE = 2;

/** Says in one sentence that there is no such command. */
const commandNotFound: Hook<'command_not_found'> = async ({ id, config, context }) => {
  const typed = id.replaceAll(':', ' ');
  process.stderr.write(`There is no command "${typed}": see \`${config.bin} --help\`.\n`);
  context.exit(BAD_USAGE);
};

export default commandNotFound;
