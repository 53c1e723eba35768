/** Teams, their people, their keys, and who did what. */
import type { z } from 'zod';
import { page } from '../api/wire.ts';
import {
  AuditRecord,
  CreatedKey,
  CreatedTeam,
  type CreateKey,
  type CreateTeam,
  type CreateUser,
  Key,
  Removed,
  Teams,
  User,
} from '../api/wire-admin.ts';
import { below, type Http, type Page, type Query, withQuery } from './http.ts';

export interface AdminCalls {
  teams(): Promise<z.infer<typeof Teams>>;
  createTeam(body: z.infer<typeof CreateTeam>, key?: string): Promise<z.infer<typeof CreatedTeam>>;
  users(query?: Query): Promise<Page<z.infer<typeof User>>>;
  createUser(body: z.infer<typeof CreateUser>, key?: string): Promise<z.infer<typeof User>>;
  removeUser(id: string): Promise<z.infer<typeof Removed>>;
  keys(query?: Query): Promise<Page<Key>>;
  /** The one that the client sends. */
  ownKey(): Promise<Key>;
  /** The answer alone tells the key: a repeat is told that it was made. */
  createKey(body: z.infer<typeof CreateKey>, key?: string): Promise<z.infer<typeof CreatedKey>>;
  revokeKey(id: string): Promise<z.infer<typeof Removed>>;
  audit(query?: Query): Promise<Page<z.infer<typeof AuditRecord>>>;
}

export function adminCalls(http: Http): AdminCalls {
  return {
    teams: () => http.get('/v1/teams', Teams),
    createTeam: (body, key) => http.create('/v1/teams', CreatedTeam, { body, key }),
    users: (query = {}) => http.get(withQuery('/v1/users', query), page(User)),
    createUser: (body, key) => http.create('/v1/users', User, { body, key }),
    removeUser: (id) => http.delete(below('users', id), Removed),
    keys: (query = {}) => http.get(withQuery('/v1/keys', query), page(Key)),
    ownKey: () => http.get('/v1/keys/self', Key),
    createKey: (body, key) => http.create('/v1/keys', CreatedKey, { body, key }),
    revokeKey: (id) => http.delete(below('keys', id), Removed),
    audit: (query = {}) => http.get(withQuery('/v1/audit', query), page(AuditRecord)),
  };
}
