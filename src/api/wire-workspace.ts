/** The files of a session, as they are asked for, sent and shown. */
import { z } from 'zod';
import { WORKSPACE_KINDS } from '../core/workspace.ts';

/** Of the directory that an upload says it comes from, in characters: a longer one is shown by its end. */
export const MAX_DIRECTORY_LENGTH = 1_000;
/** What an upload is sent as. */
export const PACK_MEDIA = 'application/x-git-packed-objects';

export const WorkspaceInput = z
  .discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('local'), path: z.string().min(1) }),
    z.strictObject({
      kind: z.literal('git'),
      url: z.string().min(1).meta({
        description: 'https://host/path; other protocols and private hosts where an administrator lists them',
      }),
      ref: z
        .string()
        .optional()
        .meta({ description: "a branch, a tag or a commit; the remote's default where left out" }),
    }),
    z.strictObject({ kind: z.literal('upload'), id: z.string() }),
    z.strictObject({ kind: z.literal('empty') }),
  ])
  .meta({ id: 'WorkspaceInput' });

/** Of a session. */
export const SessionWorkspace = z.object({
  kind: z.enum(WORKSPACE_KINDS),
  path: z.string().nullable().meta({
    description: 'a directory of the server; of an upload, where its client says it comes from',
  }),
  repository: z
    .object({ url: z.string(), ref: z.string().nullable(), commit: z.string().nullable() })
    .optional()
    .meta({ description: 'of kind `git`; `commit`: where it began, once it was cloned' }),
});

export const UploadQuery = z.strictObject({
  snapshot: z
    .string()
    .regex(/^[0-9a-f]{40}$/, 'expected 40 hexadecimal digits')
    .meta({ description: 'the git tree that the whole upload is' }),
  directory: z
    .string()
    .min(1)
    .max(MAX_DIRECTORY_LENGTH)
    .regex(/^[^\p{Cc}\p{Cs}]+$/u, 'expected a path without control characters')
    .meta({ description: 'where it comes from: shown to people, and used for nothing else' }),
  base: z
    .string()
    .optional()
    .meta({ description: 'an earlier upload that is held still: what it has is not sent again' }),
});
export type UploadQuery = z.infer<typeof UploadQuery>;
export const Workspace = z
  .object({
    id: z.string(),
    directory: z.string(),
    snapshot: z.string(),
    held: z
      .boolean()
      .meta({ description: 'whether a session can begin with it, and a later upload build on it' }),
    createdAt: z.iso.datetime().meta({ description: 'RFC 3339, UTC' }),
  })
  .meta({ id: 'Workspace', description: 'A directory that was sent.' });
export type Workspace = z.infer<typeof Workspace>;
