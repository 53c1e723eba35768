/** `POST /v1/sessions/:id/messages`: saying something to a task in hand. */
import { isDeepStrictEqual } from 'node:util';
import { textOf, type UserPart } from '../core/entry.ts';
import { toPublicId } from '../core/id.ts';
import { storableText } from '../store/json.ts';
import { postMessage } from '../store/tasks.ts';
import { readSession } from '../store/views-sessions.ts';
import { readMessage, unfinishedTask } from '../store/views-tasks.ts';
import { saidParts } from './attachments.ts';
import type { ApiDeps } from './deps.ts';
import { idFor } from './made-id.ts';
import { conflict, idempotencyConflict } from './problem.ts';
import { checkPrompt } from './prompt.ts';
import { type Call, type Reply, type Route, route } from './route.ts';
import { saidOnce } from './said-once.ts';
import { noSession, sessionOf } from './session-routes.ts';
import { IdempotencyHeaders, idempotencyKeyOf } from './task-routes.ts';
import { MAX_ATTACHED_BODY_BYTES, Message, PostMessage } from './wire.ts';

export function messageRoutes(deps: ApiDeps): Route[] {
  return [
    route({
      method: 'post',
      path: '/v1/sessions/:id/messages',
      scope: 'submit',
      summary: "Say something to the session's task in hand.",
      id: 'session',
      headers: IdempotencyHeaders,
      body: PostMessage,
      bodyBytes: MAX_ATTACHED_BODY_BYTES,
      success: {
        status: 201,
        description: 'Committed: the next turn takes it into the log.',
        schema: Message,
      },
      problems: {
        400: ['empty_prompt', 'bad_attachment'],
        404: ['not_found'],
        409: ['no_running_task', 'session_archived', 'idempotency_conflict'],
        413: ['prompt_too_large'],
      },
      handle: saidOnce(deps, 'message', (call) => post(deps, call)),
    }),
  ];
}

type MessageCall = Call<unknown, PostMessage>;

async function post(deps: ApiDeps, call: MessageCall): Promise<Reply> {
  const { caller, body, request } = call;
  checkPrompt(body.text, 'text');
  const { id: sessionId } = await sessionOf(deps, call);
  const key = idempotencyKeyOf(request.headers['idempotency-key']);
  const id = await idFor(deps, call, `message ${sessionId}`);
  const earlier = key === undefined ? undefined : await readMessage(deps.db, { sessionId, id });
  const parts = await saidParts(deps, sessionId, body);
  if (earlier !== undefined) return repeated(sessionId, parts, earlier);

  const taskId = await unfinishedTask(deps.db, sessionId);
  const posted =
    taskId !== undefined &&
    (await postMessage(deps.db, { ...{ teamId: caller.teamId, userId: caller.userId }, taskId, id, parts }));
  if (!posted || posted.outcome === 'ended' || posted.outcome === 'not_found')
    throw await nothingToSayItTo(deps, { teamId: caller.teamId, id: sessionId });
  const first = posted.outcome === 'repeated' ? await readMessage(deps.db, { sessionId, id }) : undefined;
  return first === undefined ? said(sessionId, taskId, body.text) : repeated(sessionId, parts, first);
}

function repeated(
  sessionId: string,
  parts: readonly UserPart[],
  earlier: NonNullable<Awaited<ReturnType<typeof readMessage>>>,
): Reply {
  const [text, hashes] = saidIn(parts);
  const [before, hashesBefore] = saidIn(earlier.parts);
  if (before === storableText(text) && isDeepStrictEqual(hashes, hashesBefore))
    return said(sessionId, earlier.taskId, text);
  throw idempotencyConflict('message');
}

function saidIn(parts: readonly UserPart[]): [text: string, files: readonly string[]] {
  return [textOf(parts), parts.flatMap((part) => (part.type === 'file' ? [part.hash] : []))];
}

function said(sessionId: string, taskId: string, text: string): Reply {
  return {
    status: 201,
    body: { sessionId: toPublicId('session', sessionId), taskId: toPublicId('task', taskId), text },
  };
}

async function nothingToSayItTo({ db }: ApiDeps, session: { readonly teamId: string; readonly id: string }) {
  const found = await readSession(db, session);
  const id = toPublicId('session', session.id);
  if (found === undefined) return noSession(session.id);
  if (found.archivedAt !== null) {
    return conflict(
      'session_archived',
      `The session ${id} is archived and takes no messages: unarchive it first.`,
    );
  }
  return conflict(
    'no_running_task',
    `The session ${id} has no task in hand: give it one with POST /v1/tasks.`,
  );
}
