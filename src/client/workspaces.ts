/** The files of sessions: sent, looked at and fetched. */
import { CHANGES_MEDIA, PACK_MEDIA, type UploadQuery, Workspace } from '../api/wire.ts';
import { unreachable } from './errors.ts';
import { below, type Http, type Query, withQuery } from './http.ts';
import { openSentFile, type SentFile } from './sent-file.ts';

/** All of an upload, over a slow line. */
const SEND_TIMEOUT_MS = 60 * 60_000;
const DIFF_MEDIA = 'text/x-diff';

export interface WorkspaceCalls {
  /** What the session has changed in its files, as a patch; empty where it changed none. */
  diff(sessionId: string): Promise<Buffer>;
  /** Whether that patch has anything in it: it is not sent. */
  hasChanges(sessionId: string): Promise<boolean>;
  /** What it has changed, with every file whole; with `turn` what takes the files back there, with `into` what another has not got. */
  changes(sessionId: string, query?: Query): Promise<Buffer>;
  /** The same as a git bundle. */
  bundle(sessionId: string): Promise<Buffer>;
  workspace(id: string): Promise<Workspace>;
  /** Sends the snapshot of a directory. */
  sendWorkspace(query: UploadQuery, file: SentFile): Promise<Workspace>;
  /** A stored tool output or image, whole. */
  output(id: string, query?: Query): Promise<Buffer>;
}

export function workspaceCalls(http: Http): WorkspaceCalls {
  const of = (id: string, rest: string) => below('sessions', id, rest);
  return {
    diff: (id) => http.bytes(of(id, '/diff'), DIFF_MEDIA),
    hasChanges: async (id) => {
      const response = await http.fetch(of(id, '/diff'), { method: 'HEAD', headers: { accept: DIFF_MEDIA } });
      return response.headers.get('content-length') !== '0';
    },
    changes: (id, query = {}) => http.bytes(withQuery(of(id, '/changes'), query), CHANGES_MEDIA),
    bundle: (id) => http.bytes(of(id, '/bundle'), 'application/x-git-bundle'),
    workspace: (id) => http.get(below('workspaces', id), Workspace),
    sendWorkspace: (query, file) => send(http, withQuery('/v1/workspaces', query), file),
    output: (id, query = {}) => http.bytes(withQuery(below('outputs', id), query), '*/*'),
  };
}

async function send(http: Http, path: string, file: SentFile): Promise<Workspace> {
  const sent = openSentFile(file);
  const headers = {
    accept: 'application/json',
    'content-type': PACK_MEDIA,
    'content-length': String(file.bytes),
    'idempotency-key': file.key,
  };
  try {
    const timeoutMs = SEND_TIMEOUT_MS;
    const response = await http.fetch(path, { method: 'POST', ...sent.init, headers, timeoutMs });
    return await http.read(response, path, Workspace);
  } catch (error) {
    throw sent.isStalled()
      ? unreachable(http.server(), new Error('it takes nothing of what is sent'))
      : error;
  } finally {
    sent.close();
  }
}
