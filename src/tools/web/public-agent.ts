/** Connections to the public internet alone. */
import type { Agent } from 'undici';
import { type Check, checkedAgent, type Reach } from '../../checked-agent.ts';
import { whyNotPublic } from '../../public-address.ts';
import { WebError } from './web-error.ts';

const PUBLIC: Check = {
  way: ({ host, address }) => {
    const why = whyNotPublic(address);
    if (why === undefined) return;
    throw new WebError(
      `'${host}' belongs to ${why}; only public addresses are fetched. For a server of the workspace, use bash.`,
    );
  },
  nowhere: (host) =>
    new WebError(`there is no address for '${host}': check the spelling, or whether it exists.`),
};

/** The caller closes it. */
export function publicAgent(reach: Reach): Agent {
  return checkedAgent(reach, PUBLIC);
}
