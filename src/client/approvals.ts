import type { z } from 'zod';
import { Approval, page, type ResolveApproval, RevokedRule, Rule } from '../api/wire.ts';
import { below, type Http, type Page, type Query, withQuery } from './http.ts';

export interface ApprovalCalls {
  /** Those that are open, where the query says nothing else. */
  approvals(query?: Query): Promise<Page<Approval>>;
  resolveApproval(id: string, body: z.infer<typeof ResolveApproval>): Promise<Approval>;
  /** What people allowed always. */
  rules(query?: Query): Promise<Page<Rule>>;
  revokeRule(id: string): Promise<z.infer<typeof RevokedRule>>;
}

export function approvalCalls(http: Http): ApprovalCalls {
  return {
    approvals: (query = {}) => http.get(withQuery('/v1/approvals', query), page(Approval)),
    resolveApproval: (id, body) => http.change(`POST ${below('approvals', id)}`, Approval, body),
    rules: (query = {}) => http.get(withQuery('/v1/rules', query), page(Rule)),
    revokeRule: (id) => http.delete(below('rules', id), RevokedRule),
  };
}
