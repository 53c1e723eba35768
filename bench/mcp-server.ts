/** An MCP server with as many tools as its first argument says, each like those of real servers; `echo` answers at once. */
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { z } from 'zod';

const server = new McpServer({ name: 'bench', version: '1' });
for (let number = 0; number < Number(process.argv[2]); number += 1) {
  server.registerTool(
    number === 0 ? 'echo' : `list_things_${number}`,
    {
      description: `Lists the things of kind ${number} that belong to an owner, newest first, a page at a time.`,
      inputSchema: {
        owner: z.string().describe('The name of who owns them.'),
        page: z.number().int().optional().describe('From 1.'),
        state: z.enum(['open', 'closed', 'all']).optional().describe('Which of them; open where left out.'),
      },
      annotations: { readOnlyHint: true },
    },
    ({ owner }) => ({ content: [{ type: 'text', text: owner }] }),
  );
}
await server.connect(new StdioServerTransport());
