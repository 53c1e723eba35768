/** The files of a session, as they are asked for and shown. */
import { z } from 'zod';
import { WORKSPACE_KINDS } from '../core/workspace.ts';

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
    z.strictObject({ kind: z.literal('empty') }),
  ])
  .meta({ id: 'WorkspaceInput' });

export const Workspace = z.object({
  kind: z.enum(WORKSPACE_KINDS),
  path: z.string().nullable(),
  repository: z
    .object({ url: z.string(), ref: z.string().nullable(), commit: z.string().nullable() })
    .optional()
    .meta({ description: 'of kind `git`; `commit`: where it began, once it was cloned' }),
});
