/** What `mcp add` takes. */
import { Flags } from '@oclif/core';
import { MCP_SHARES, MCP_TRANSPORTS, MCP_WORKSPACES } from '../config/mcp-settings.ts';

const several = { multiple: true, multipleNonGreedy: true } as const;

export const MCP_FLAGS = {
  url: Flags.string({ description: 'Where one runs already.', helpValue: 'URL' }),
  header: Flags.string({
    description: 'Sent with each request; of a name alone the value is typed unseen, or comes from stdin.',
    helpValue: "'NAME: VALUE'",
    ...several,
  }),
  transport: Flags.string({
    description: 'Told by asking it where left out.',
    options: [...MCP_TRANSPORTS],
  }),
  env: Flags.string({
    description: 'A variable that the command is given; of a name alone the value is the one it has here.',
    helpValue: 'NAME=VALUE',
    ...several,
  }),
  host: Flags.string({
    description: 'A host that the command may reach; none where left out.',
    helpValue: 'HOST',
    ...several,
  }),
  workspace: Flags.string({
    description: 'What the command may do with the files of a session: read where left out.',
    options: [...MCP_WORKSPACES],
  }),
  share: Flags.string({
    description: 'Whether each session has one of its own, or a worker one for all.',
    options: [...MCP_SHARES],
  }),
  tool: Flags.string({
    description: 'One of its tools that agents see, or a pattern with *; all where left out.',
    helpValue: 'TOOL',
    ...several,
  }),
  untrusted: Flags.boolean({
    description: 'What it says of its tools is not believed: each is asked about.',
  }),
  enable: Flags.boolean({ description: 'Turn MCP on too.' }),
  force: Flags.boolean({ description: 'Instead of one of that name.' }),
};
