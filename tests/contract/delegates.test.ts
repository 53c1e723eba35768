import { expect, test } from 'vitest';
import { createAgents } from '../../src/agents/agents.ts';
import { delegating } from '../../src/api/delegates.ts';
import { profileOf } from '../../src/api/profile-of.ts';
import type { CreateTask } from '../../src/api/wire.ts';
import { createModels } from '../../src/model/providers.ts';
import { profileHash } from '../../src/store/profile-hash.ts';
import type { NewTask } from '../../src/store/tasks.ts';
import { builtinTools } from '../../src/tools/builtin.ts';
import { createRegistry } from '../../src/tools/registry.ts';

const LIMITS: NewTask['limits'] = {
  ...{ turns: 70, treeTurns: 1_000, tokens: null, usd: null, seconds: null, onLimit: 'fail' },
  ...{ children: 12, concurrentChildren: 3, depth: 1 },
};
const models = createModels({ openai: { apiKey: 'sk-none' } }, { model: 'openai/m' });
const agents = createAgents(createRegistry(builtinTools()), {
  agents: { docs: { like: 'build', mode: 'auto' }, elsewhere: { like: 'build', model: 'anthropic/m' } },
});
const RULE = { decision: 'deny' as const, tool: 'bash' };

function delegatingAs(agent: string, more: Partial<CreateTask> = {}, limits = LIMITS) {
  const body: CreateTask = { prompt: 'Go.', agent, ...more };
  const restrictions = [RULE];
  const profile = profileOf({ models, agents }, body, restrictions);
  return delegating({ models, agents }, body, { profile, restrictions, limits });
}

test('an agent that writes may delegate to all there are, each of them settled now', () => {
  const { profile, profileHash: hash, delegates = [] } = delegatingAs('build');
  expect(hash).toBe(profileHash(profile));
  expect(Object.keys(profile.delegates ?? {})).toEqual(agents.names.filter((name) => name !== 'elsewhere'));
  for (const { hash: own, body } of delegates) {
    expect(profile.delegates?.[body.agent]).toBe(own);
    expect(profileHash(body)).toBe(own);
    expect(body.delegates).toBeUndefined();
    expect(body.permissions?.restrictions).toHaveLength(1);
    expect(body.prompt).toMatch(/Another agent has given you this task/);
    expect(profile.prompt).not.toMatch(/Another agent has given you this task/);
  }
});

test('one that only reads delegates to such as only read', () => {
  const { profile } = delegatingAs('plan');
  for (const name of Object.keys(profile.delegates ?? {})) expect(agents.find(name).writes).toBe(false);
  expect(Object.keys(profile.delegates ?? {})).toContain('ask');
});

test.each([
  ['safe', { plan: 'plan', build: 'safe', docs: 'safe' }],
  ['auto', { plan: 'plan', build: 'auto', docs: 'auto' }],
  [undefined, { plan: 'plan', build: 'safe', docs: 'safe' }],
  ['plan', { plan: 'plan', build: 'plan', docs: 'plan' }],
] as const)('nobody asks less than its parent in mode %s', (mode, modes) => {
  const { delegates = [] } = delegatingAs('build', mode === undefined ? {} : { mode });
  const found = Object.fromEntries(delegates.map(({ body }) => [body.agent, body.mode]));
  expect(found).toMatchObject(modes);
});

test.each([{ depth: 0 }, { children: 0 }])(
  'where %j nothing is delegated, and the tools are not shown',
  (none) => {
    const { profile, delegates } = delegatingAs('build', {}, { ...LIMITS, ...none });
    expect(profile.delegates).toBeUndefined();
    expect(delegates).toBeUndefined();
    expect(profile.tools.filter((name) => /delegate|merge_child/.test(name))).toEqual([]);
  },
);

test('under a limit of money nobody is delegated to whose price nobody knows', () => {
  const { profile } = delegatingAs('build', {}, { ...LIMITS, usd: '1' });
  expect(profile.delegates).toEqual({});
});
