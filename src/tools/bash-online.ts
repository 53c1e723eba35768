import { z } from 'zod';
import { type EgressHost, sayEgressHost } from '../core/egress.ts';
import { COMMAND, DEFAULT_TIMEOUT_SECONDS, outcomeOf } from './bash.ts';
import { commandPlaces } from './command-places.ts';
import { defineTool, type Tool } from './tool.ts';

/**
 * `bash` with a way out to some hosts. A tool of its own, since what it does cannot be taken back: it happens at most once, and is
 * asked about, while a command without the network is put back and run again.
 */
export function bashOnlineTool(hosts: readonly EgressHost[]): Tool {
  return defineTool({
    name: 'bash_online',
    description:
      'Runs a command as bash does, and lets it reach these hosts by HTTP and HTTPS: ' +
      `${hosts.map(sayEgressHost).join(', ')}. The variables http_proxy and https_proxy say how; programs that do not heed them reach nothing. ` +
      'For what needs the network, such as installing dependencies; use bash for all else.',
    parameters: z.strictObject(COMMAND),
    effect: 'external',
    needs: 'bash',
    async execute({ command, timeout = DEFAULT_TIMEOUT_SECONDS }, { workspace, sandbox, signal, onOutput }) {
      const places = await commandPlaces(workspace, sandbox);
      const whole = { script: command, ...places, egress: hosts, timeoutMs: timeout * 1000, onOutput };
      return outcomeOf(await sandbox.run(whole, signal), timeout);
    },
  });
}
