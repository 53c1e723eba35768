import type { Client } from '../../client/client.ts';

/** How the MCP server gets at the Capybara that it speaks for, with its client's key and no other. A `Connection` of the CLI is one. */
export interface Reach {
  readonly client: Client;
  /** One whose requests end when `signal` aborts. */
  clientUntil(signal: AbortSignal): Client;
  /** After a request found nobody: an embedded Capybara may have moved. */
  recover(): Promise<void>;
}
