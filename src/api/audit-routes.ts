import type { z } from 'zod';
import { fromPublicId, toPublicId } from '../core/id.ts';
import { type AuditRow, readAudit } from '../store/audit.ts';
import type { ApiDeps } from './deps.ts';
import { idCursor, pageReply } from './pages.ts';
import { badRequest } from './problem.ts';
import { type Route, route } from './route.ts';
import { page } from './wire.ts';
import { AuditQuery, AuditRecord } from './wire-admin.ts';

export function auditRoutes({ db }: ApiDeps): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/audit',
      summary: 'Who asked for what that changes something, the newest first.',
      scope: 'admin',
      query: AuditQuery,
      success: { status: 200, description: 'A page of records.', schema: page(AuditRecord) },
      problems: { 400: ['invalid_cursor'] },
      handle: async ({ caller: { teamId }, query }) => {
        const { limit, cursor, subject } = query;
        const filter = {
          teamId,
          userId: userFilter(query.userId),
          subject,
          before: idCursor('audit', cursor),
        };
        return pageReply(await readAudit(db, filter, limit), {
          show: showRecord,
          cursor: ({ id }) => toPublicId('audit', id),
        });
      },
    }),
  ];
}

function userFilter(text: string | undefined): string | undefined {
  const id = text === undefined ? undefined : fromPublicId('user', text);
  if (text !== undefined && id === undefined)
    throw badRequest('invalid_request', 'The query cannot be used at userId: expected usr_….', 'userId');
  return id;
}

function showRecord(row: AuditRow): z.infer<typeof AuditRecord> {
  return {
    id: toPublicId('audit', row.id),
    at: row.at.toISOString(),
    userId: toPublicId('user', row.userId),
    keyId: toPublicId('key', row.keyId),
    ...{ userName: row.userName, keyName: row.keyName },
    ...{ action: row.action, subject: row.subject, status: row.status },
  };
}
