import {
  AskedCompaction,
  DeletedSession,
  Entry,
  type ForkSession,
  MergedSession,
  type MergeSession,
  Message,
  type PatchSession,
  type PostMessage,
  page,
  Reverted,
  type RevertSession,
  Session,
  SessionDetails,
  SessionTree,
  ToolCall,
  Why,
} from '../api/wire.ts';
import { below, type Http, type Page, type Query, withQuery } from './http.ts';

export interface SessionCalls {
  session(id: string): Promise<SessionDetails>;
  sessions(query?: Query): Promise<Page<Session>>;
  entries(sessionId: string, query?: Query): Promise<Page<Entry>>;
  toolCalls(sessionId: string, query?: Query): Promise<Page<ToolCall>>;
  /** It and every session below it, with what each does. */
  tree(sessionId: string): Promise<SessionTree>;
  /** What will wake its unfinished tasks. */
  why(sessionId: string): Promise<Why>;
  /** Says something to its task in hand. */
  postMessage(sessionId: string, body: PostMessage, key?: string): Promise<Message>;
  /** Gives it another title. */
  patchSession(id: string, body: PatchSession): Promise<Session>;
  /** With all below it: it takes no tasks until `unarchiveSession`. */
  archiveSession(id: string): Promise<Session>;
  unarchiveSession(id: string): Promise<Session>;
  /** With all below it, for good. */
  deleteSession(id: string): Promise<DeletedSession>;
  /** A new session that goes on from a point of this one. */
  fork(id: string, body: ForkSession, key?: string): Promise<Session>;
  /** Takes another session's files in. */
  merge(id: string, body: MergeSession, key?: string): Promise<MergedSession>;
  /** Its next task begins with a summary of what came before. */
  askCompaction(id: string, key?: string): Promise<AskedCompaction>;
  /** Takes it back to the end of a turn. */
  revert(id: string, body: RevertSession, key?: string): Promise<Reverted>;
}

export function sessionCalls(http: Http): SessionCalls {
  const of = (id: string, rest = '') => below('sessions', id, rest);
  return {
    session: (id) => http.get(of(id), SessionDetails),
    sessions: (query = {}) => http.get(withQuery('/v1/sessions', query), page(Session)),
    entries: (id, query = {}) => http.get(withQuery(of(id, '/entries'), query), page(Entry)),
    toolCalls: (id, query = {}) => http.get(withQuery(of(id, '/tool-calls'), query), page(ToolCall)),
    tree: (id) => http.get(of(id, '/tree'), SessionTree),
    why: (id) => http.get(of(id, '/why'), Why),
    postMessage: (id, body, key) => http.create(of(id, '/messages'), Message, { body, key }),
    patchSession: (id, body) => http.change(`PATCH ${of(id)}`, Session, body),
    archiveSession: (id) => http.change(`POST ${of(id, '/archive')}`, Session),
    unarchiveSession: (id) => http.change(`POST ${of(id, '/unarchive')}`, Session),
    deleteSession: (id) => http.delete(of(id), DeletedSession),
    fork: (id, body, key) => http.create(of(id, '/fork'), Session, { body, key }),
    askCompaction: (id, key) => http.create(of(id, '/compact'), AskedCompaction, { body: {}, key }),
    merge: (id, body, key) => http.create(of(id, '/merge'), MergedSession, { body, key }),
    revert: (id, body, key) => http.create(of(id, '/revert'), Reverted, { body, key }),
  };
}
