/** Asks the model, shows the answer as it comes, and commits it once, whole, with its usage and its judged calls. */
import { newId } from '../clock.ts';
import { contextOf } from '../core/compaction.ts';
import { type ContextMessage, messagesIn } from '../core/context.ts';
import { cutReason } from '../core/cut-call.ts';
import { standing, type ToolPart, textOf } from '../core/entry.ts';
import { mayBeForImages, refusedImages } from '../core/images.ts';
import type { Always } from '../core/permission.ts';
import { type Call, startsByCommit } from '../core/turn.ts';
import type { FailedRequest, ModelAnswer, ModelRequest } from '../model/model.ts';
import type { BackgroundProcess } from '../sandbox/background-process.ts';
import { type NewCall, type RecordedAnswer, recordAnswer } from '../store/turns.ts';
import { describeCutOff } from '../tools/background-news.ts';
import { NO_SPAN } from '../tracing/tracing.ts';
import { projectContext } from '../workspace/context.ts';
import { usageOf, withinLimits } from './accounts.ts';
import { afterFailure } from './after-failure.ts';
import { type Judged, judgeCall } from './judge-call.ts';
import { LiveText } from './live.ts';
import { lostNotices } from './lost-files.ts';
import { missingNotices, shownTools } from './mcp-tools.ts';
import { chooseWhomToAsk, noteOfAnswer } from './route.ts';
import type { Run } from './run.ts';
import { close, readAtOnce } from './run-tools.ts';
import type { Progress } from './run-turn.ts';
import { saidNotices } from './said-notices.ts';
import { announce, isSafe, type Shell } from './shell.ts';
import { answeredAttributes, chatSpan } from './spans.ts';

type Notices = RecordedAnswer['before'];

export interface Streamed {
  readonly answer: ModelAnswer;
  readonly latencyMs: number;
  readonly firstTokenMs: number | null;
}

export interface Broken extends FailedRequest {
  /** Something of an answer had come. */
  readonly begun: boolean;
}

/** `notice`: what the model is told before it answers, beside what it asks for. */
export async function callModel(shell: Shell, run: Run, notice?: string): Promise<Progress> {
  if ((await chooseWhomToAsk(shell, run)) === 'ended') return 'ended';
  const told = notice === undefined ? [] : [noticeOf(notice)];
  const { cutOff } = run.background;
  const lost = cutOff.length === 0 ? [] : [noticeOf(describeCutOff(cutOff))];
  const gone = await lostNotices(shell, run);
  const context = await contextNotices(shell, run);
  const before = [
    ...context,
    ...(await saidNotices(shell, run)),
    ...missingNotices(run),
    ...gone,
    ...lost,
    ...told,
  ];
  return ask(shell, run, { before, cutOff });
}

/** `cutOff`: background commands of whose end `before` tells. */
interface Told {
  readonly before: Notices;
  readonly cutOff: readonly BackgroundProcess[];
}

async function ask(shell: Shell, run: Run, told: Told): Promise<Progress> {
  const { before, cutOff } = told;
  const request = await withinLimits(shell, run, { request: await requestOf(shell, run, before), before });
  if (request === undefined) return 'ended';
  // A worker that was stopped and comes back must not pay for an answer to a turn that went on without it.
  if (!(await isSafe(shell, run))) return 'go_on';
  const streamed = await streamAnswer(shell, run, request);
  if (!('kind' in streamed)) return commitAnswer(shell, run, { ...told, ...streamed, request });
  const without = withoutImages(request, streamed);
  // The notice says which they were, so that the same log leaves them out again, in this request and in all that follow.
  return without === undefined
    ? afterFailure(shell, run, streamed)
    : ask(shell, run, { before: [...before, without], cutOff });
}

/** One bad image would fail the session for ever. Undefined: they are not what failed, or a part of an answer was paid for. */
function withoutImages({ messages }: ModelRequest, failure: Broken): Notices[number] | undefined {
  const files = messages.flatMap((message) => (message.role === 'assistant' ? [] : (message.images ?? [])));
  if (files.length === 0 || failure.begun || !mayBeForImages(failure)) return undefined;
  const text = refusedImages(files, failure);
  return { kind: 'notice', parts: [{ type: 'text', text }, ...files] };
}

/** What the project is like, for a log that does not say so yet: it stands before the first answer, and is committed with it. */
async function contextNotices(shell: Shell, run: Run): Promise<Notices> {
  if (standing(run.entries).some((entry) => entry.kind === 'assistant')) return [];
  // Of a turn that went on without this worker the files are another's, and the link to them leads there.
  if (!(await isSafe(shell, run))) return [];
  const text = await projectContext(await run.workspace(shell.openWorkspace), {
    platform: process.platform,
    date: new Date(shell.clock()).toISOString().slice(0, 10),
    ...mapOf(shell, run),
  });
  return [noticeOf(text)];
}

/** Of the source, around what the person asks for. */
function mapOf({ mapTokens }: Shell, { entries }: Run) {
  const focus = entries.flatMap((entry) => (entry.kind === 'user' ? [textOf(entry.parts)] : [])).join('\n');
  return mapTokens === 0 ? {} : { map: { tokens: mapTokens, focus } };
}

function noticeOf(text: string): Notices[number] {
  return { kind: 'notice', parts: [{ type: 'text', text }] };
}

async function requestOf(shell: Shell, run: Run, before: Notices): Promise<ModelRequest> {
  const { takesImages } = shell.models.resolve(run.model);
  const first = run.entries.length + 1;
  const notices = before.map((notice, index) => ({ ...notice, position: first + index }));
  const view = contextOf([...run.entries, ...notices], run.context);
  return requestWith(shell, run, messagesIn(view, { images: takesImages }));
}

/** What the agent is asked with these messages. */
export async function requestWith(
  shell: Shell,
  run: Run,
  messages: readonly ContextMessage[],
): Promise<ModelRequest> {
  const { profile, turn } = run;
  return {
    system: profile.prompt,
    messages,
    images: await shell.images.read(shell.db, messages),
    tools: shownTools(run),
    ...(profile.temperature === undefined ? {} : { temperature: profile.temperature }),
    ...(profile.maxTokens === undefined ? {} : { maxTokens: profile.maxTokens }),
    ...(profile.effort === undefined ? {} : { effort: profile.effort }),
    trace: { sessionId: turn.sessionId, taskId: turn.taskId, turn: turn.number },
  };
}

/** `isShown`: people see it as it comes. */
export async function streamAnswer(
  shell: Shell,
  run: Run,
  { isShown = true, ...request }: ModelRequest & { readonly isShown?: boolean },
): Promise<Streamed | Broken> {
  const model = shell.models.resolve(run.model);
  const text = liveAnswer(shell, run, 'text');
  const reasoning = liveAnswer(shell, run, 'reasoning');
  const began = performance.now();
  let firstTokenMs: number | null = null;
  let begun = false;
  const span = chatSpan(shell, run, { name: run.model, request });
  try {
    for await (const event of model.stream(request, run.signal)) {
      firstTokenMs ??= Math.round(performance.now() - began);
      if (event.type === 'text' && isShown) text.add(event.delta);
      if (event.type === 'reasoning' && isShown) reasoning.add(event.delta);
      if (event.type === 'failed') {
        span.fail(event.failure.code);
        return { ...event.failure, begun };
      }
      begun = true;
      if (event.type === 'finished') {
        const latencyMs = Math.round(performance.now() - began);
        const streamed = { answer: event.answer, latencyMs, firstTokenMs };
        if (span !== NO_SPAN) span.set(answeredAttributes(streamed));
        return streamed;
      }
    }
  } finally {
    span.end();
    reasoning.flush();
    text.flush();
  }
  throw new Error(`the stream of ${model.name} ended without its last event`);
}

function liveAnswer(shell: Shell, run: Run, channel: 'text' | 'reasoning'): LiveText {
  const { rootId, sessionId, taskId, number, attemptId } = run.turn;
  return new LiveText((text, offset) =>
    shell.bus.publish({
      type: 'delta',
      rootId,
      sessionId,
      taskId,
      turn: number,
      attemptId,
      channel,
      offset,
      text,
    }),
  );
}

async function commitAnswer(
  shell: Shell,
  run: Run,
  streamed: Streamed & Told & { readonly request: ModelRequest },
): Promise<Progress> {
  const { answer, before, cutOff } = streamed;
  const asked = answer.parts.filter((part) => part.type === 'tool');
  const judged = await Promise.all(
    asked.map((part, ordinal) => newCall(shell, run, { part, ordinal, cut: cutReason(answer, part) })),
  );
  const calls = judged.map(({ call }) => call);
  const atOnce = startsAtOnce(calls, run.managed);
  const { parts, stopReason } = answer;
  const entries = [...before, { kind: 'assistant' as const, parts, stopReason }];
  const usage = await usageOf(shell, run, streamed);
  const recorded = {
    ...{ before, parts, stopReason, usage },
    ...(cutOff.length === 0 ? {} : { ended: cutOff.map((process) => process.ended()) }),
    ...noteOfAnswer(shell, run, usage),
    calls: judged.map((each) => ({
      ...newRow(run, each),
      ...(each.call === atOnce ? { status: 'started' as const } : {}),
    })),
  };
  for (const process of cutOff) process.isTold = true;
  // One that may kill its worker is paid for no more than once more: then the answer is committed before it runs.
  const isTame = run.turn.takeovers === 0 && calls.every(merelyReads);
  const results = isTame ? await readAtOnce(shell, run, calls) : undefined;
  if (results !== undefined) {
    run.answeredUncommitted(entries, calls, recorded);
    close(run, calls, results);
    return 'go_on';
  }
  const outcome = await recordAnswer(shell.db, run.held, recorded);
  if (outcome.outcome === 'fenced') return 'ended';
  if (outcome.outcome === 'recorded') await announce(shell, run.turn.rootId, outcome);
  if (atOnce !== undefined) run.started.add(atOnce.id);
  run.answered(entries, calls);
  return 'go_on';
}

async function newCall(
  shell: Shell,
  run: Run,
  asked: { readonly part: ToolPart; readonly ordinal: number; readonly cut: string | undefined },
): Promise<JudgedCall> {
  const { callId, name, arguments: args } = asked.part;
  const effect = run.tools.effectOf(name, shell.sandbox.confined);
  const judgement: Judged =
    asked.cut === undefined
      ? await judgeCall(shell, run, { name, effect, argumentsText: args })
      : { decision: 'deny', reason: asked.cut };
  const call: Call = {
    id: newId(),
    ordinal: asked.ordinal,
    callId,
    name,
    arguments: args,
    effect,
    status: judgement.decision === 'ask' ? 'awaiting_approval' : 'requested',
    ...(judgement.decision === 'deny' ? { denial: judgement.reason } : {}),
  };
  if (judgement.decision === 'allow') run.judgedAllowed.add(call.id);
  const isOnce = judgement.decision !== 'ask' || judgement.always === undefined;
  return isOnce ? { call } : { call, always: judgement.always };
}

interface JudgedCall {
  readonly call: Call;
  readonly always?: Always;
}

function merelyReads({ effect, status, denial }: Call): boolean {
  return effect === 'read' && status === 'requested' && denial === undefined;
}

/** The changing call that runs right after this commit, if there is one: its intent needs no commit of its own. */
function startsAtOnce([first]: readonly Call[], managed: boolean): Call | undefined {
  const free = first?.status === 'requested' && first.denial === undefined;
  return free && startsByCommit(first, managed) ? first : undefined;
}

/** The arguments stay in the answer's parts: nothing is stored twice. */
function newRow({ profile }: Run, judged: JudgedCall): NewCall {
  const { arguments: _, ...call } = judged.call;
  if (call.status !== 'awaiting_approval') return { ...call, status: 'requested' };
  const { approvalSeconds } = profile.permissions ?? {};
  return {
    ...{ ...call, status: 'awaiting_approval', approvalId: newId() },
    ...(judged.always === undefined ? {} : { always: judged.always }),
    ...(approvalSeconds === undefined ? {} : { approvalSeconds }),
  };
}
