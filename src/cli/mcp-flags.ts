/** What `mcp add` takes. */
import { Flags } from '@oclif/core';
import { MCP_SHARES, MCP_SIGNERS, MCP_TRANSPORTS, MCP_WORKSPACES } from '../config/mcp-settings.ts';

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
  'client-id': Flags.string({
    description: 'How Capybara is known where people sign in (OAuth); left out, it registers itself.',
    helpValue: 'ID',
  }),
  'client-secret': Flags.boolean({ description: 'Its secret is typed unseen, or comes from stdin.' }),
  scope: Flags.string({
    description: 'What to sign in for, separated by spaces; what the server asks for where it does.',
    helpValue: 'SCOPES',
  }),
  'sign-in-as': Flags.string({
    description: 'Who signs in: a person (mcp login), or Capybara by its own secret.',
    options: [...MCP_SIGNERS],
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
    description: 'Whether each session has one of its own, or a worker one for all of a team.',
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
