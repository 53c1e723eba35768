/** A session's log and its execution log, as the API shows them. */
import { z } from 'zod';
import { Id } from './wire-id.ts';

const timestamp = z.iso.datetime().meta({ description: 'RFC 3339, UTC' });

export const FilePart = z
  .object({
    type: z.literal('file'),
    mediaType: z.enum([
      ...['image/png', 'image/jpeg', 'image/gif', 'image/webp'],
      ...['application/pdf', 'text/plain'],
    ] as const),
    name: z.string(),
    bytes: z.int(),
    width: z.int().optional().meta({ description: 'of an image, in pixels' }),
    height: z.int().optional().meta({ description: 'of an image, in pixels' }),
    hash: z.string().meta({ description: 'SHA-256 of the bytes, hexadecimal' }),
    outputId: Id.nullable().meta({
      description:
        "what `GET /v1/outputs/:id` takes, with `part`: the part's place, from 0; null in a notice or a message, which only name it",
    }),
  })
  .meta({
    id: 'FilePart',
    description: 'An image that a tool call returned, or a file that a person attached.',
  });
export type FilePart = z.infer<typeof FilePart>;

const WirePart = z.discriminatedUnion('type', [
  z.object({ type: z.literal('text'), text: z.string() }),
  z.object({ type: z.literal('reasoning'), text: z.string() }),
  z.object({ type: z.literal('tool'), callId: z.string(), name: z.string(), arguments: z.string() }),
  FilePart,
]);
const closedCallStatuses = ['succeeded', 'failed', 'denied', 'interrupted', 'unknown'] as const;
export const Entry = z
  .object({
    position: z.int(),
    kind: z.enum(['user', 'notice', 'revert', 'assistant', 'tool_result', 'pruning', 'compaction']),
    taskId: Id.nullable(),
    turn: z.int().nullable(),
    parts: z.array(WirePart),
    stopReason: z.enum(['stop', 'tool_calls', 'length', 'refusal']).optional(),
    callId: z.string().optional(),
    status: z.enum(closedCallStatuses).optional(),
    to: z.int().optional().meta({ description: 'of a revert: what stands between is left out from then on' }),
    replaces: z
      .union([z.object({ results: z.array(z.int()).readonly() }), z.object({ after: z.int(), to: z.int() })])
      .optional()
      .meta({
        description:
          'of a pruning: positions of the results that the model is only told of from then on; of a compaction: its text stands for ' +
          'what is behind `after`, up to `to`',
      }),
    by: z.string().optional().meta({ description: 'who said it, where a person of the team did' }),
    at: timestamp,
  })
  .meta({ id: 'Entry' });
export type Entry = z.infer<typeof Entry>;

export const ToolCall = z
  .object({
    id: Id,
    sessionId: Id,
    taskId: Id,
    turn: z.int(),
    ordinal: z.int(),
    callId: z.string().meta({ description: "the provider's id of the call" }),
    name: z.string(),
    arguments: z.string().meta({ description: 'JSON text as the model wrote it' }),
    effect: z.enum(['read', 'workspace', 'external']),
    status: z.enum(['requested', 'awaiting_approval', 'started', ...closedCallStatuses]),
    durationMs: z.int().nullable(),
    resultPosition: z.int().nullable(),
    outputId: Id.nullable().meta({ description: 'the whole output, where the model saw it cut' }),
    endedAt: timestamp.nullable(),
  })
  .meta({ id: 'ToolCall' });
export type ToolCall = z.infer<typeof ToolCall>;
