import type { Hook } from '@oclif/core';
import { problemText } from '../failure.ts';
import { noCommand } from '../near-command.ts';
import { tellPerson } from '../sentences.ts';

const BAD_USAGE = 2;

/** Says in one sentence that there is no such command. */
const commandNotFound: Hook<'command_not_found'> = async ({ id, argv = [], config, context }) => {
  const message = noCommand(id.split(':'), config.commandIDs);
  if (argv.includes('--json'))
    process.stdout.write(problemText({ code: 'unknown_command', message, exitCode: BAD_USAGE }));
  else tellPerson(message);
  context.exit(BAD_USAGE);
};

export default commandNotFound;
