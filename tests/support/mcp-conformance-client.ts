/** Capybara's client of MCP servers, for the official conformance runner: which gives it the address of a server as its last argument. */
import { Connection } from '../../src/mcp/client/connection.ts';
import { UrlTransport } from '../../src/mcp/client/url-transport.ts';

const url = process.argv.at(-1) ?? '';
const connection = new Connection({
  open: () => new UrlTransport({ url }, 1024 * 1024),
  roots: async () => [],
  ...{ version: '0', connectMs: 10_000, callMs: 10_000 },
});
const { signal } = new AbortController();
try {
  const { tools } = await connection.tools(signal);
  for (const { name } of tools) {
    const args = name === 'add_numbers' ? { a: 2, b: 3 } : {};
    const end = await connection.call({ name, args, signal, onProgress: () => {} });
    if (end.kind === 'failed') throw new Error(`${name} ${end.why}`);
  }
} finally {
  await connection.close();
}
