import { type Config, commandEnvironment } from '../config.ts';
import { messageOf } from '../core/errors.ts';
import { decideSandbox, sandboxSentence } from '../sandbox/choose.ts';
import { findGroupPlace, groupsSentence } from '../sandbox/group-place.ts';
import { type Check, withoutStop } from './check.ts';

/** How commands are confined, of a server where a database is configured, else of one's own Capybara. */
export async function sandbox(config: Config): Promise<Check[]> {
  const name = 'sandbox';
  const profile = config.databaseUrl === undefined ? 'local' : 'strict';
  try {
    const choice = await decideSandbox(config.sandbox, {
      ...{ profile, docker: config.docker, dataDir: config.dataDir },
      ...{ environment: commandEnvironment(), unprivileged: config.commands.user },
    });
    const found = withoutStop(sandboxSentence(choice));
    if (choice.name === 'none') return [{ name, state: 'warning', found }];
    return [{ name, state: 'ok', found }, controlGroups()];
  } catch (error) {
    return [{ name, state: 'wrong', found: withoutStop(messageOf(error)) }];
  }
}

/** Whether a worker that is started as this process was could give commands groups of their own. */
function controlGroups(): Check {
  const place = findGroupPlace(['memory', 'pids']);
  const found = withoutStop(groupsSentence(place));
  return { name: 'control groups', state: place.works ? 'ok' : 'warning', found };
}
