/** `POST /v1/sessions/:id/compact`: a person asks for a summary of what was said. */
import { z } from 'zod';
import { toPublicId } from '../core/id.ts';
import { askCompaction, type CompactionOutcome } from '../store/revisions.ts';
import { type ApiDeps, announce } from './deps.ts';
import { idFor } from './made-id.ts';
import { conflict } from './problem.ts';
import { refusedRevision } from './revert-routes.ts';
import { type Call, type Reply, type Route, route } from './route.ts';
import { IdempotencyHeaders } from './task-routes.ts';
import { AskedCompaction } from './wire.ts';

export function compactionRoutes(deps: ApiDeps): Route[] {
  return [
    route({
      method: 'post',
      path: '/v1/sessions/:id/compact',
      scope: 'submit',
      summary:
        'Ask for a summary: the next task of the session begins with a turn that writes one, which stands for what came before. It counts in ' +
        'tokens and money, not in turns. Where it would make nothing shorter there is none. The log keeps all of it.',
      id: 'session',
      headers: IdempotencyHeaders,
      body: z.strictObject({}),
      success: { status: 201, description: 'Committed.', schema: AskedCompaction },
      problems: {
        404: ['not_found'],
        409: ['nothing_answered', 'task_unfinished', 'session_archived', 'session_shared'],
      },
      handle: (call) => ask(deps, call),
    }),
  ];
}

const NOTICE =
  'A summary was asked for: it is written before the next answer, and stands for what was said up to here, where that makes the ' +
  'conversation shorter.';

async function ask(deps: ApiDeps, call: Call<unknown, unknown>): Promise<Reply> {
  const { caller, id } = call;
  const { teamId, userId } = caller;
  const outcome = await askCompaction(deps.db, {
    ...{ teamId, userId, sessionId: id },
    id: await idFor(deps, call, `compact ${id}`),
    parts: [{ type: 'text', text: NOTICE }],
  });
  const { rootId, seq, position } = asked(id, outcome);
  announce(deps, { rootId, seq });
  const body: AskedCompaction = { sessionId: toPublicId('session', id), entry: position };
  return { status: 201, body };
}

function asked(sessionId: string, outcome: CompactionOutcome) {
  switch (outcome.outcome) {
    case 'asked':
    case 'repeated':
      return outcome;
    case 'nothing':
      throw conflict(
        'nothing_answered',
        `Nothing was answered in the session ${toPublicId('session', sessionId)} since its last summary, or since one was asked for: there is nothing to sum up.`,
      );
    default:
      throw refusedRevision(sessionId, outcome);
  }
}
