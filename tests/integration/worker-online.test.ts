/** Commands that may reach the network are bound by what binds commands, and by what binds themselves. */
import { expect, test } from 'vitest';
import { parseEgressHost } from '../../src/core/egress.ts';
import { textOf } from '../../src/core/entry.ts';
import { builtinTools } from '../../src/tools/builtin.ts';
import { createRegistry } from '../../src/tools/registry.ts';
import { call, say, sequence } from '../support/scripted-model/scripted-model.ts';
import { useWorld } from '../support/worker.ts';

const world = useWorld({ kind: 'postgres' });
const host = parseEgressHost('example.com') ?? expect.unreachable();
const registry = createRegistry(builtinTools({ commands: { hosts: [host] } }));
const online = (command: string) => call('bash_online', { command });

test('what no command may do, none may that reaches the network; nor what it alone may not', async () => {
  await world.startWorker({ tools: registry });
  const task = await world.submit({
    tools: ['bash', 'bash_online'],
    permissions: {
      rules: [
        { decision: 'deny', tool: 'bash', pattern: 'git push *' },
        { decision: 'deny', tool: 'bash_online', pattern: 'npm publish *' },
      ],
    },
    script: sequence([
      online('git push origin'),
      online('npm publish .'),
      online('echo installed'),
      call('bash', { command: 'echo npm publish .' }),
      say('Done.'),
    ]),
  });
  await world.taskEnds(task);
  const said = (await world.entries(task)).flatMap((entry) =>
    entry.kind === 'tool_result' ? [textOf(entry.parts)] : [],
  );
  expect(said).toEqual([
    'Denied: The rule bash(git push *) forbids it.',
    'Denied: The rule bash_online(npm publish *) forbids it.',
    'installed\n',
    'npm publish .\n',
  ]);
  expect(await world.calls(task)).toContain('bash_online succeeded');
});
