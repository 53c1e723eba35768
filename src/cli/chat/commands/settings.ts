/** What the next task is given: its model, agent and mode; and how all this looks. */
import type { Agents, Models } from '../../../api/wire.ts';
import { UserError } from '../../../core/errors.ts';
import { nearest } from '../../../core/nearest.ts';
import { modelsTable } from '../../models-table.ts';
import { table } from '../../table.ts';
import { ABOUT_THEMES, isTheme, THEMES } from '../../themes.ts';
import { oneLine } from '../../untrusted-text.ts';
import type { Wishes } from '../state.ts';
import { type ChatCommand, type ChatContext, say } from './context.ts';

const MODES = ['safe', 'plan', 'auto'] as const;
const ABOUT_MODES = {
  ...{ safe: 'asks before what is dangerous', plan: 'changes nothing', auto: 'never asks' },
};

export const SETTING_COMMANDS: readonly ChatCommand[] = [
  {
    name: 'model',
    summary: 'choose the model of the next task',
    usage: '[PROVIDER/MODEL]',
    complete: async ({ client }) => modelItems(await client.models()),
    run: async (context, args) => {
      const models = modelItems(await context.client.models({ ask: 'true' }));
      const model = args || (await context.choose('Which model?', models));
      if (model === undefined) return;
      wish(context, { model }, `The next task is done with ${oneLine(model, 100)}.`);
    },
  },
  {
    name: 'provider',
    summary: 'choose who answers, with its default model',
    usage: '[NAME]',
    complete: async ({ client }) => providerItems(await client.models()),
    run: chooseProvider,
  },
  {
    name: 'agent',
    summary: 'choose the agent of the next task',
    usage: '[NAME]',
    complete: async ({ client }) => agentItems(await client.agents()),
    run: async (context, args) => {
      const agents = agentItems(await context.client.agents());
      const agent = args || (await context.choose('Which agent?', agents));
      if (agent === undefined) return;
      checkKnown(agent, agents, 'agent');
      wish(context, { agent }, `The next task is for the agent ${agent}.`);
    },
  },
  {
    name: 'mode',
    summary: 'choose how permission is asked',
    usage: '[MODE]',
    complete: async () => MODES.map((value) => ({ value, label: value, description: ABOUT_MODES[value] })),
    run: async (context, args) => {
      const items = MODES.map((value) => ({ value, label: value, description: ABOUT_MODES[value] }));
      const chosen = args || (await context.choose('How is permission asked?', items));
      if (chosen === undefined) return;
      const mode = MODES.find((each) => each === chosen);
      if (mode === undefined) throw notKnown(chosen, MODES, 'mode');
      wish(context, { mode }, `From the next task on the mode is ${mode}: it ${ABOUT_MODES[mode]}.`);
    },
  },
  {
    name: 'theme',
    summary: 'choose the colours',
    usage: '[NAME]',
    complete: async () => themeItems(),
    run: async (context, args) => {
      const name = args || (await context.choose('Which colours?', themeItems()));
      if (name === undefined) return;
      if (!isTheme(name)) throw notKnown(name, THEMES, 'theme');
      context.setTheme(name);
    },
  },
];

function wish({ tell }: ChatContext, wishes: Wishes, text: string): void {
  tell({ do: 'wish', wishes });
  tell({ do: 'note', text, tone: 'good' });
}

/** Throws `UserError` where it is none of them. */
function checkKnown(name: string, items: readonly { readonly value: string }[], what: string): void {
  const names = items.map(({ value }) => value);
  if (!names.includes(name)) throw notKnown(name, names, what);
}

function notKnown(name: string, names: readonly string[], what: string): UserError {
  const near = nearest(name, names);
  const hint = near === undefined ? `there are ${names.join(', ')}` : `did you mean ${near}?`;
  return new UserError(`unknown_${what}`, `There is no ${what} ${JSON.stringify(name)}: ${hint}`);
}

type ShownModels = Pick<Models, 'data'>;

function modelItems({ data }: ShownModels) {
  return data.flatMap(({ models }) =>
    models.map(({ model, contextTokens }) => ({
      ...{ value: model, label: oneLine(model, 80) },
      description: contextTokens === null ? '' : `${Math.floor(contextTokens / 1_000)}k tokens`,
    })),
  );
}

function providerItems({ data }: ShownModels) {
  return data.map(({ provider, kind, problem }) => ({
    ...{ value: provider, label: oneLine(provider, 60) },
    description: problem === null ? kind : oneLine(problem, 100),
  }));
}

function agentItems({ data }: Agents) {
  return data.map(({ name, about, mode }) => ({
    ...{ value: name, label: oneLine(name, 40) },
    description: `${oneLine(about, 120)} (${mode})`,
  }));
}

function themeItems() {
  return THEMES.map((value) => ({ value, label: value, description: ABOUT_THEMES[value] }));
}

async function chooseProvider(context: ChatContext, args: string): Promise<void> {
  const models = await context.client.models({ ask: 'true' });
  const name = args || (await context.choose('Which provider?', providerItems(models)));
  if (name === undefined) return;
  checkKnown(name, providerItems(models), 'provider');
  const { defaultModel } = models.data.find(({ provider }) => provider === name) ?? {};
  if (defaultModel) {
    wish(context, { model: defaultModel }, `The next task is done with ${oneLine(defaultModel, 100)}.`);
  }
  const shown = modelsTable(models, name);
  say(context, shown === '' ? table(['MODEL'], []) : shown);
}
