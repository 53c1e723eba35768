import type { Hook } from '@oclif/core';
import { noCommand } from '../near-command.ts';

const BAD_USAGE = 2;

/** Says in one sentence that there is no such command. */
const commandNotFound: Hook<'command_not_found'> = async ({ id, config, context }) => {
  process.stderr.write(`${noCommand(id.split(':'), config.commandIDs)}\n`);
  context.exit(BAD_USAGE);
};

export default commandNotFound;
