/** Taking a session's work over, on the wire: what is asked for, and what is answered. */
import { z } from 'zod';
import { MAX_TITLE_LENGTH } from '../core/title.ts';
import { Id } from './wire-id.ts';

/** Beyond what a log can count to: no database is asked about it. */
export const MAX_POSITION = 2_147_483_647;

const turn = z
  .int()
  .min(0)
  .max(MAX_POSITION)
  .meta({ description: 'the Nth answer of the whole log, with what it led to; 0: before all' });
const entry = z
  .int()
  .min(0)
  .max(MAX_POSITION)
  .meta({ description: 'the position of an entry, with all before it' });

export const ForkPoint = z.object({ sessionId: Id, entry: z.int() }).meta({
  id: 'ForkPoint',
  description: 'The session that a log begins with, and the last entry of that part.',
});

const oneOfThem = (body: { turn?: number | undefined; entry?: number | undefined }) =>
  body.turn === undefined || body.entry === undefined;

export const ForkSession = z
  .strictObject({
    turn: turn.optional(),
    entry: entry.optional(),
    title: z.string().min(1).max(MAX_TITLE_LENGTH).optional(),
  })
  .refine(oneOfThem, { message: 'expected turn or entry, not both' })
  .meta({
    id: 'ForkSession',
    description: 'Where to branch off: behind the newest turn where nothing is said.',
  });
export type ForkSession = z.infer<typeof ForkSession>;

const files = z.literal('kept').optional().meta({
  description:
    'of a `local` workspace, whose files only their owner changes: says that this was done, or is not wanted',
});

export const RevertSession = z
  .strictObject({
    turn: turn.optional(),
    entry: entry.optional(),
    files: z
      .enum(['kept', 'left'])
      .optional()
      .meta({
        description:
          'left: only the log goes back, and the files stay as they are now; kept: of a `local` workspace, whose files only their owner ' +
          'changes: says that they were put back, or will be',
      }),
  })
  .refine((body) => (body.turn === undefined) !== (body.entry === undefined), {
    message: 'expected turn or entry',
  })
  .meta({ id: 'RevertSession', description: 'Where log and files go back to.' });
export type RevertSession = z.infer<typeof RevertSession>;

export const Reverted = z
  .object({
    sessionId: Id,
    to: z.int().meta({ description: 'the last entry that counts of what was there' }),
    entry: z.int().meta({ description: 'the position of the entry that says so' }),
    files: z.enum(['put_back', 'kept', 'left']),
  })
  .meta({ id: 'Reverted' });
export type Reverted = z.infer<typeof Reverted>;

export const AskedCompaction = z
  .object({
    sessionId: Id,
    entry: z.int().meta({ description: 'the position of the notice that says so' }),
  })
  .meta({
    id: 'AskedCompaction',
    description: 'The next task begins with a summary of what came before, where that makes it shorter.',
  });
export type AskedCompaction = z.infer<typeof AskedCompaction>;

export const MergeSession = z
  .strictObject({
    from: z.string().meta({ description: 'the session whose files are taken in' }),
    files,
  })
  .meta({ id: 'MergeSession' });
export type MergeSession = z.infer<typeof MergeSession>;

export const MergedSession = z
  .object({
    sessionId: Id,
    from: z.string(),
    entry: z.int().meta({ description: 'the position of the notice that tells the model of it' }),
    files: z.enum(['merged', 'kept']),
    conflicts: z.array(
      z.object({
        path: z.string(),
        kind: z.string().meta({
          description:
            'content: both stand in the file, between marks; binary, both_added, kind: the other one stands beside it; deleted: the changed ' +
            "one stays; metadata: version control's own state stays as it was here",
        }),
        keptAt: z
          .string()
          .optional()
          .meta({ description: "where the other session's is, if not in the file itself" }),
      }),
    ),
  })
  .meta({
    id: 'MergedSession',
    description: 'What came of it. Nothing of either side is lost in a conflict.',
  });
export type MergedSession = z.infer<typeof MergedSession>;

const version = z
  .object({
    mode: z.enum(['100644', '100755', '120000', '040000']).meta({
      description: 'a file, an executable one, a link (its content is where it points), a directory',
    }),
    size: z.int().min(0),
  })
  .nullable();

/** What a stream of changes says of each file, in a line of its own, before the contents. */
export const Change = z
  .object({
    path: z.string().meta({ description: 'its bytes, one character for each (U+0000 to U+00FF)' }),
    from: z.string().optional().meta({ description: 'where a file that moved was before' }),
    before: version,
    after: version,
    found: z.literal(true).optional().meta({
      description:
        'of a file that version control ignores: the beginning says nothing of it, and before is what a tool found there',
    }),
  })
  .meta({ id: 'Change' });
export type Change = z.infer<typeof Change>;

/** The last line: how many there were. */
export const ChangesEnd = z.object({ changes: z.int() });

export const CHANGES_MEDIA = 'application/vnd.capybara.changes';
