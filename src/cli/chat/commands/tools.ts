/** Which of its tools the agent may call in the tasks to come. */
import { DEFAULT_AGENT } from '../../../core/agent-names.ts';
import { UserError } from '../../../core/errors.ts';
import { nearest } from '../../../core/nearest.ts';
import { oneLine } from '../../untrusted-text.ts';
import { type ChatState, lastTask } from '../state.ts';
import type { ChatCommand, ChatContext } from './context.ts';

export const TOOL_COMMANDS: readonly ChatCommand[] = [
  {
    name: 'tools',
    summary: 'list what the agent can call; switch it off, on',
    usage: '[off|on NAME…]',
    complete: async (context, typed) => offered(await toolsOf(context), context.state(), typed),
    run: async (context, args) => {
      const [what = '', ...names] = args.split(/\s+/);
      const tools = await toolsOf(context);
      if (what === 'off' && names.length > 0) return switchOff(context, names, tools);
      if (what === 'on') return switchOn(context, names, tools);
      if (what !== '')
        throw new UserError(
          'bad_usage',
          `Expected /tools, /tools off NAME or /tools on NAME; found ${args}.`,
        );
      list(context, tools);
    },
  },
];

/** The one that the next task is for. */
export function agentOf({ wishes, tasks }: ChatState): string {
  return wishes.agent ?? lastTask({ tasks })?.agent ?? DEFAULT_AGENT;
}

async function toolsOf({ client, state }: ChatContext): Promise<readonly string[]> {
  const { data } = await client.agents();
  const agent = data.find(({ name }) => name === agentOf(state()));
  return agent?.tools ?? [];
}

function off({ wishes }: ChatState): readonly string[] {
  return wishes.withoutTools ?? [];
}

function list({ state, look, tell }: ChatContext, tools: readonly string[]): void {
  const { theme, signs } = look();
  const without = off(state());
  const lines = tools.map((tool) => {
    const name = oneLine(tool, 60);
    return without.includes(tool)
      ? theme.quiet(`${signs.bad} ${name} (off)`)
      : `${theme.good(signs.good)} ${name}`;
  });
  const title = theme.bold(tools.length === 0 ? 'has no tools.' : 'can call:');
  tell({ do: 'tell', lines: [`${agentOf(state())} ${title}`, ...lines] });
}

function switchOff(context: ChatContext, names: readonly string[], tools: readonly string[]): void {
  checkKnown(names, [...tools, ...off(context.state())]);
  wish(context, [...new Set([...off(context.state()), ...names])]);
}

/** Those; all of them where none is named. */
function switchOn(context: ChatContext, names: readonly string[], tools: readonly string[]): void {
  checkKnown(names, [...tools, ...off(context.state())]);
  wish(context, names.length === 0 ? [] : off(context.state()).filter((name) => !names.includes(name)));
}

function wish(context: ChatContext, withoutTools: string[]): void {
  context.tell({ do: 'wish', wishes: { withoutTools } });
  const names = withoutTools.map((name) => oneLine(name, 60)).join(', ');
  const text =
    withoutTools.length === 0
      ? 'From the next task on the agent may call all of its tools.'
      : `From the next task on the agent does without ${names}, and without what needs that.`;
  context.tell({ do: 'note', text, tone: 'good' });
}

function checkKnown(names: readonly string[], known: readonly string[]): void {
  const unknown = names.find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const near = nearest(unknown, [...known]);
  const hint = near === undefined ? '/tools lists what it has' : `did you mean ${near}?`;
  throw new UserError('unknown_tool', `The agent has no tool ${JSON.stringify(unknown)}: ${hint}`);
}

/** What follows is put in place of all that was typed. */
function offered(tools: readonly string[], state: ChatState, typed: string) {
  const [, what, before = ''] = /^(on|off)\s+((?:\S+\s+)*)\S*$/.exec(typed) ?? [];
  if (what === undefined)
    return [
      { value: 'off', label: 'off', description: 'the agent does without it from the next task on' },
      { value: 'on', label: 'on', description: 'it may call it again; all of them where none is named' },
    ];
  const names = what === 'on' ? off(state) : tools.filter((tool) => !off(state).includes(tool));
  return names.map((name) => ({ value: `${what} ${before}${name}`, label: oneLine(name, 60) }));
}
