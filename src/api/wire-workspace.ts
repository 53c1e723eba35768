/** The files of a session, as they are asked for, sent and shown. */
import { z } from 'zod';
import { MAX_ROOTS, ROOT_NAME_PATTERN, ROOT_NAME_RULE, WORKSPACE_KINDS } from '../core/workspace.ts';
import { Id } from './wire-id.ts';

/** Of the directory that an upload says it comes from, in characters: a longer one is shown by its end. */
export const MAX_DIRECTORY_LENGTH = 1_000;
/** What an upload is sent as. */
export const PACK_MEDIA = 'application/x-git-packed-objects';

const Git = z.strictObject({
  kind: z.literal('git'),
  url: z.string().min(1).meta({
    description: 'https://host/path; other protocols and private hosts where an administrator lists them',
  }),
  ref: z
    .string()
    .optional()
    .meta({ description: "a branch, a tag or a commit; the remote's default where left out" }),
});
const Upload = z.strictObject({ kind: z.literal('upload'), id: z.string() });
const Empty = z.strictObject({ kind: z.literal('empty') });

const access = z.enum(['write', 'read']);
const ofRoot = {
  access: access.default('write').meta({ description: 'read: agents can change nothing of it' }),
};
export const RootInput = z
  .discriminatedUnion('kind', [Git.extend(ofRoot), Upload.extend(ofRoot), Empty.extend(ofRoot)])
  .meta({ id: 'RootInput' });
export type RootInput = z.infer<typeof RootInput>;

const RootName = z.string().regex(ROOT_NAME_PATTERN);

function byName<Value extends z.ZodType>(value: Value) {
  const error = ({ code }: { readonly code: string }) =>
    code === 'invalid_key' ? `expected a name of ${ROOT_NAME_RULE}` : undefined;
  return z.record(RootName, value, { error });
}

const LocalRoot = z.strictObject({
  path: z.string().min(1),
  access: z
    .literal('read', 'expected "read": of directories of the machine only the one at path can be worked on')
    .default('read'),
});

export const WorkspaceInput = z
  .discriminatedUnion('kind', [
    z.strictObject({
      kind: z.literal('local'),
      path: z.string().min(1),
      roots: byName(LocalRoot)
        .refine((roots) => Object.keys(roots).length <= MAX_ROOTS, `expected at most ${MAX_ROOTS} roots`)
        .optional()
        .meta({
          description:
            'other directories of the machine, by names, which agents may read by their absolute paths',
        }),
    }),
    Git,
    Upload,
    Empty,
    z.strictObject({
      kind: z.literal('roots'),
      roots: byName(RootInput)
        .refine((roots) => isCount(Object.keys(roots).length), `expected 1 to ${MAX_ROOTS} roots`)
        .meta({
          description: 'by their names: each is a directory of that name, and nothing is beside them',
        }),
    }),
  ])
  .meta({ id: 'WorkspaceInput' });

function isCount(count: number): boolean {
  return count >= 1 && count <= MAX_ROOTS;
}

const Repository = z.object({
  url: z.string(),
  ref: z.string().nullable(),
  commit: z.string().nullable(),
});

export const SessionRoot = z.object({
  name: z.string(),
  access,
  kind: z.enum(['local', 'git', 'upload', 'empty']),
  id: Id.optional().meta({ description: 'of kind `upload`: what was sent' }),
  path: z.string().optional().meta({
    description: 'a directory of the server; of kind `upload`, where its client says it comes from',
  }),
  repository: Repository.optional().meta({ description: 'of kind `git`' }),
});
export type SessionRoot = z.infer<typeof SessionRoot>;

/** Of a session. */
export const SessionWorkspace = z.object({
  kind: z.enum(WORKSPACE_KINDS),
  path: z.string().nullable().meta({
    description: 'a directory of the server; of an upload, where its client says it comes from',
  }),
  repository: Repository.optional().meta({
    description: 'of kind `git`; `commit`: where it began, once it was cloned',
  }),
  roots: z
    .array(SessionRoot)
    .optional()
    .meta({ description: 'of kind `roots`, and of `local` what may be read' }),
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
    id: Id,
    directory: z.string(),
    snapshot: z.string(),
    held: z
      .boolean()
      .meta({ description: 'whether a session can begin with it, and a later upload build on it' }),
    createdAt: z.iso.datetime().meta({ description: 'RFC 3339, UTC' }),
  })
  .meta({ id: 'Workspace', description: 'A directory that was sent.' });
export type Workspace = z.infer<typeof Workspace>;
