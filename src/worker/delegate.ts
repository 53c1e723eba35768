/** Gives calls to agents of their own: sessions that begin with what is recorded of this one's files. */
import { newId } from '../clock.ts';
import { projectTerms } from '../config.ts';
import { agentNamed } from '../core/agent-names.ts';
import { failureReport } from '../core/child-failure.ts';
import { fromPublicId } from '../core/id.ts';
import { answeringModels, DEFAULT_LIMITS, type Profile, stricterMode } from '../core/profile.ts';
import { dearestOf } from '../core/request-size.ts';
import { readResultSchema, resultInstruction } from '../core/result-schema.ts';
import { titleOf } from '../core/title.ts';
import { DELEGATE_TASK, MERGE_CHILD, TODO } from '../core/tool-names.ts';
import type { Call } from '../core/turn.ts';
import {
  type Isolation,
  type NewChild,
  readEarlierChild,
  type SpawnedCall,
  spawnChildren,
} from '../store/delegations.ts';
import { profileHash } from '../store/profile-hash.ts';
import type { DelegatedTask } from '../tools/delegate-task.ts';
import type { Run } from './run.ts';
import { commit } from './run-tools.ts';
import type { Progress } from './run-turn.ts';
import { noteFiles, noteMotion } from './session-files.ts';
import { announce, type Shell } from './shell.ts';
import { delegatedTrace } from './spans.ts';

/** What keeps a call from being delegated, in words for the model. */
class Refused extends Error {}

export async function delegate(shell: Shell, run: Run, calls: readonly Call[]): Promise<Progress> {
  const children: NewChild[] = [];
  for (const call of calls) {
    const child = await childOf(shell, run, call);
    if (typeof child === 'string') fail(run, call, child);
    else children.push(child);
  }
  if (children.length === 0) return 'go_on';
  if (!(await recordAll(shell, run, children))) return 'ended';
  const outcome = await spawnChildren(shell.db, run.held, children);
  if (outcome.outcome === 'fenced') return 'ended';
  if (outcome.outcome === 'cancelled') {
    run.stop('cancel');
    return 'go_on';
  }
  run.delegated(outcome.calls.flatMap((each) => ('refused' in each ? [] : [each.id])));
  for (const each of outcome.calls) refuse(run, calls, each);
  await announce(shell, run.turn.rootId, { seq: outcome.seq, also: { wakes: outcome.wakes, stopped: [] } });
  return 'go_on';
}

function fail(run: Run, call: Call, text: string): void {
  run.closed(call, { id: call.id, status: 'failed', parts: [{ type: 'text', text }] }, performance.now());
}

function refuse(run: Run, calls: readonly Call[], spawned: SpawnedCall): void {
  const call = calls.find(({ id }) => id === spawned.id);
  if (call === undefined || !('refused' in spawned)) return;
  const code = spawned.refused;
  fail(
    run,
    call,
    failureReport({ code, message: REFUSALS[code](spawned.allowed ?? 0), execution: NOTHING_DONE }),
  );
}

const REFUSALS = {
  limit_children: (allowed: number) =>
    `nothing more can be delegated: the ${allowed} agents that the task may have, with all that they delegate, have been.`,
  limit_depth: (allowed: number) => `nothing can be delegated from here: ${allowed} is as deep as it may go.`,
  child_not_found: () => '`continue` names no session that you delegated to.',
  child_unfinished: () => 'the session that `continue` names is still at work.',
  child_isolation: () => 'the session that `continue` names works with another `isolation`: leave it out.',
};

const NOTHING_DONE = {
  ...{ sessionId: '', status: 'failed' as const, ms: 0, calls: [], modified: [] },
  usage: { input: 0, output: 0, usd: '0' },
};

/** What children begin with is committed, and where every host can reach it. False: the turn is somebody else's. */
async function recordAll(shell: Shell, run: Run, children: readonly NewChild[]): Promise<boolean> {
  const flush = async () => run.pending.length === 0 || (await commit(shell, run, []));
  if (children.some(({ isolation }) => isolation === 'fork')) {
    if (!(await noteFiles(shell, run, { calls: [], flush }))) return false;
    await noteMotion(shell, run);
  }
  return flush();
}

/** The child that a call asks for, or why there can be none. */
async function childOf(shell: Shell, run: Run, call: Call): Promise<NewChild | string> {
  const read = shell.tools.read(call.name, call.arguments);
  if ('problem' in read) return read.problem;
  try {
    return await newChild(shell, run, { call, asked: read.args as DelegatedTask });
  } catch (error) {
    if (error instanceof Refused) return `Error: ${error.message}`;
    throw error;
  }
}

interface Asked {
  readonly call: Call;
  readonly asked: DelegatedTask;
}

async function newChild(shell: Shell, run: Run, { call, asked }: Asked): Promise<NewChild> {
  const { prompt, title, resultSchema } = asked;
  const seconds = secondsOf(asked);
  const earlier = asked.continue === undefined ? undefined : await earlierChild(shell, run, asked.continue);
  const isolation = asked.isolation ?? earlier?.isolation ?? 'fork';
  const agent = agentNamed(asked.agent ?? earlier?.agent ?? run.profile.agent);
  const profile = await childProfile(shell, run, { agent, isolation });
  const prices = dearestOf(answeringModels(profile).map((name) => shell.models.resolve(name).info.prices));
  if (asked.limits?.usd !== undefined && prices === null)
    throw new Refused(`limits.usd: what ${profile.model} costs is not known; limit tokens instead.`);
  return {
    ...{ call: call.id, isolation },
    ...(earlier === undefined ? {} : { continues: earlier.id }),
    session: {
      ...{ id: newId(), workspaceId: newId(), title: titleOf(title ?? '') || titleOf(prompt) },
      ...rulesOf(run),
    },
    task: {
      ...{ id: newId(), turnId: newId(), messageId: newId() },
      parts: [{ type: 'text', text: promptOf(prompt, resultSchema) }],
      ...{ profile, profileHash: profileHash(profile) },
      limits: {
        turns: asked.limits?.turns ?? DEFAULT_LIMITS.turns,
        ...(seconds === undefined ? {} : { seconds }),
        ...(asked.limits?.tokens === undefined ? {} : { tokens: asked.limits.tokens }),
        ...(asked.limits?.usd === undefined ? {} : { usd: asked.limits.usd.toFixed(12) }),
      },
      reserve: { answer: profile.maxTokens ?? null, prices },
      ...(resultSchema === undefined ? {} : { resultSchema }),
      ...delegatedTrace(shell, run, call),
    },
  };
}

/** The shorter of the two. */
function secondsOf({ timeout, limits }: DelegatedTask): number | undefined {
  const given = [timeout, limits?.seconds].filter((each) => each !== undefined);
  return given.length === 0 ? undefined : Math.min(...given);
}

function promptOf(prompt: string, schema: DelegatedTask['resultSchema']): string {
  if (schema === undefined) return prompt;
  const read = readResultSchema(schema);
  if ('refused' in read) throw new Refused(read.refused);
  return `${prompt}\n\n${resultInstruction(schema)}`;
}

async function earlierChild(shell: Shell, run: Run, named: string) {
  const id = fromPublicId('session', named.trim());
  const parentId = run.turn.sessionId;
  const earlier = id === undefined ? undefined : await readEarlierChild(shell.db, { parentId, id });
  if (id === undefined || earlier === undefined)
    throw new Refused(
      `continue: there is no ${JSON.stringify(named.slice(0, 60))} that you delegated to; expected the session_id (ses_…) of an earlier report.`,
    );
  return { id, ...earlier };
}

/** In a person's own directory its rules are the file's there; in the copy they are the child's to edit. */
function rulesOf({ turn: { workspace } }: Run): Pick<NewChild['session'], 'rules'> {
  const rules = workspace.path === null ? [] : projectTerms(workspace.path).rules;
  return rules.length === 0 ? {} : { rules };
}

/** Settled when the person's task was submitted; less where the parent may do less by now, or only reads are asked for. */
async function childProfile(
  shell: Shell,
  run: Run,
  { agent, isolation }: { readonly agent: string; readonly isolation: Isolation },
): Promise<Profile> {
  const { delegates = {}, mode } = run.profile;
  const hash = Object.hasOwn(delegates, agent) ? delegates[agent] : undefined;
  if (hash === undefined)
    throw new Refused(
      `agent: there is no ${JSON.stringify(agent.slice(0, 60))} to delegate to; there are ${Object.keys(delegates).join(', ')}.`,
    );
  const kept = await shell.profiles.read(shell.db, hash);
  const { depth, depthLimit } = run.turn.delegation;
  const mayDelegate = depth + 1 < depthLimit;
  const without = [TODO, ...(mayDelegate ? [] : [DELEGATE_TASK, MERGE_CHILD])];
  const isKept = (name: string) =>
    !without.includes(name) && (isolation === 'fork' || changesNothing(shell, name));
  return {
    ...{ ...kept, tools: kept.tools.filter(isKept), mode: stricterMode(kept.mode, mode) },
    // A server may write to files that are not the child's to change.
    ...(isolation === 'shared' && kept.mcp ? { mcp: { servers: [] } } : {}),
    ...(mayDelegate ? { delegates } : {}),
  };
}

function changesNothing(shell: Shell, name: string): boolean {
  const effect = shell.tools.effectOf(name, shell.sandbox.confined);
  return effect === 'read';
}
