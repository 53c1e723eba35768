/** Which agents there are, and what the one of a task was told. */
import { createHash } from 'node:crypto';
import type { Agent } from '../agents/agents.ts';
import { toPublicId } from '../core/id.ts';
import { serversFor } from '../core/profile.ts';
import { readTask } from '../store/views-tasks.ts';
import type { ApiDeps } from './deps.ts';
import { notFound } from './problem.ts';
import { type Route, route } from './route.ts';
import { usedTeamServers } from './team-mcp-servers.ts';
import { Agents, TaskProfile } from './wire.ts';

export function agentRoutes(deps: ApiDeps): Route[] {
  const { agents, db } = deps;
  return [
    route({
      method: 'get',
      path: '/v1/agents',
      scope: 'read',
      summary: 'The agents that tasks can name.',
      success: { status: 200, description: 'Those that are built in, then the others.', schema: Agents },
      handle: async ({ caller }) => ({
        status: 200,
        body: showAgents(agents, await usedTeamServers(deps, caller.teamId)),
      }),
    }),
    route({
      method: 'get',
      path: '/v1/tasks/:id/profile',
      scope: 'read',
      summary: 'The agent of a task, as each of its turns has it.',
      id: 'task',
      success: { status: 200, description: 'Its prompt and what it may use.', schema: TaskProfile },
      problems: { 404: ['not_found'] },
      handle: async ({ caller, id }) => {
        const row = await readTask(db, { teamId: caller.teamId, id });
        if (row === undefined) throw notFound(`task ${toPublicId('task', id)}`);
        const {
          agent,
          prompt,
          tools,
          model,
          mode,
          temperature = null,
          maxTokens = null,
          effort = null,
        } = row.profile;
        const promptHash = hashOf(prompt);
        return {
          status: 200,
          body: {
            hash: row.profileHash,
            agent,
            prompt,
            promptHash,
            tools: [...tools],
            model,
            mode,
            temperature,
            maxTokens,
            effort,
          },
        };
      },
    }),
  ];
}

/** `ofTeam`: names of MCP servers that whoever asks has beside those that are configured. */
export function showAgents(agents: ApiDeps['agents'], ofTeam: readonly string[] = []) {
  return { data: agents.names.map((name) => showAgent(agents.find(name), ofTeam)) };
}

function showAgent(agent: Agent, ofTeam: readonly string[]) {
  const { name, about, mode, writes, tools, only, prompt, fallbacks = [] } = agent;
  const servers = [...agent.servers, ...serversFor(only, ofTeam)];
  return {
    ...{ name, about, mode, writes, tools: [...tools], servers, promptHash: hashOf(prompt) },
    ...{ model: agent.model ?? null, fallbacks: [...fallbacks] },
    ...{ strategy: agent.strategy ?? null, effort: agent.effort ?? null },
  };
}

function hashOf(prompt: string): string {
  return createHash('sha256').update(prompt).digest('hex');
}
