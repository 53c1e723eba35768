/** /help: what can be done where one is. */
import { taskInHand } from '../state.ts';
import type { ChatCommand, ChatContext } from './context.ts';

export const HELP_COMMANDS: readonly ChatCommand[] = [
  {
    name: 'help',
    summary: 'what can be done here',
    usage: '[COMMAND]',
    complete: async ({ commands }) => commands.map(({ name, summary }) => item(name, summary)),
    run: async (context, args) => {
      const name = args.replace(/^\//, '').toLowerCase();
      const command = context.commands.find((each) => each.name === name);
      context.tell({ do: 'tell', lines: command ? oneCommand(command, context) : everything(context) });
    },
  },
];

function item(value: string, description: string) {
  return { value, label: value, description };
}

function oneCommand({ name, usage, summary }: ChatCommand, { look }: ChatContext): string[] {
  return [`${look().theme.bold(`/${name} ${usage}`.trim())}  ${summary}`];
}

/** Where one is stands last: what is above may have scrolled away. */
function everything(context: ChatContext): string[] {
  const { theme } = context.look();
  const rows = context.commands.map(({ name, usage, summary }) => [`/${name} ${usage}`.trim(), summary]);
  return [
    ...aligned(rows, theme.accent),
    '',
    ...aligned(KEYS, theme.accent),
    '',
    ...whereLines(context).map((line) => theme.bold(line)),
  ];
}

const KEYS = [
  ['Alt-Enter, Shift-Enter', 'a new line; so is \\ before Enter'],
  ['Tab, @', 'complete; name a file, also a picture'],
  ['Ctrl-V', 'attach the image on the clipboard, or paste its path'],
  ['Ctrl-R', 'search what was typed before'],
  ['Ctrl-O, or a click', 'open the calls, or one'],
  ['PgUp, PgDn', 'scroll'],
  ['Ctrl-C', 'clear the line, or stop the task; twice: leave'],
  ['Ctrl-Z', 'back to the shell, until fg'],
  ['Ctrl-D, exit, quit', 'leave; a task goes on'],
] as const;

function aligned(rows: readonly (readonly string[])[], paint: (text: string) => string): string[] {
  const width = Math.max(...rows.map(([name = '']) => name.length));
  return rows.map(([name = '', about = '']) => `  ${paint(name.padEnd(width))}  ${about}`);
}

function whereLines({ state }: ChatContext): string[] {
  const { asked, session } = state();
  const task = taskInHand(state());
  if (asked.length > 0)
    return [
      'An agent asks whether it may make a call.',
      'y allows it, always allows such calls from now on, n denies it; what stands behind n is told to the agent.',
    ];
  if (task !== undefined)
    return [
      'The agent works. What you send is read with its next turn;',
      '/queue TEXT makes it the next task instead, and Ctrl-C stops this one.',
    ];
  if (session === undefined) return ['Say what is to be done: your first message begins a session.'];
  return ['The agent is done. Your next message is its next task, with all that was said.'];
}
