/** Recordings as files. */
import { readFile, stat } from 'node:fs/promises';
import { z } from 'zod';
import type { Recording } from '../core/recording.ts';
import { fields, KnownFailure } from './report.ts';

/** What one may take. */
export const MAX_RECORDING_BYTES = 64 * 1024 * 1024;
export const MAX_RECORDED_TURNS = 10_000;
/** Parts of one answer. */
const MAX_PARTS = 1_000;

const Part = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('text'), text: z.string() }),
  z.strictObject({ type: z.literal('reasoning'), text: z.string(), signature: z.string().exactOptional() }),
  z.strictObject({
    type: z.literal('tool'),
    callId: z.string().min(1),
    name: z.string(),
    arguments: z.string().meta({ description: 'JSON text as the model wrote it' }),
  }),
]);

const Heard = z
  .strictObject({
    role: z.enum(['user', 'tool']),
    callId: z.string().optional().meta({ description: 'of a result: the call that it belongs to' }),
    chars: z.int().min(0),
    hash: z
      .string()
      .regex(/^[0-9a-f]{64}$/)
      .meta({ description: 'SHA-256 of the text, hexadecimal' }),
  })
  .meta({ description: 'One message that the model was told, without its text.' });

const Turn = z.strictObject({
  answers: z.int().min(0).meta({ description: 'answers that the conversation held before this one' }),
  heard: z.array(Heard).meta({ description: 'what the model was told since the last of them' }),
  asks: z.literal('summary').optional().meta({ description: 'of a summary of the conversation' }),
  answer: z.strictObject({
    parts: z.array(Part).max(MAX_PARTS),
    stopReason: z.enum(['stop', 'tool_calls', 'length', 'refusal']),
  }),
});

/** The format of a recording. Another version's is refused. */
export const RecordingFile = z.strictObject({
  format: z.literal('capybara-recording'),
  version: z.literal(1),
  turns: z.array(Turn).max(MAX_RECORDED_TURNS),
}) satisfies z.ZodType<Recording>;

/** Throws `KnownFailure`, whose sentence quotes nothing of the file. */
export async function readRecording(file: string): Promise<Recording> {
  const { size } = await found(file, () => stat(file));
  if (size > MAX_RECORDING_BYTES)
    throw bad(file, `has ${size} bytes; at most ${MAX_RECORDING_BYTES} are read`);
  const text = await found(file, () => readFile(file, 'utf8'));
  const value = parsed(text);
  if (value === undefined) throw bad(file, 'is not JSON');
  const { format, version } = fields(value);
  if (format !== 'capybara-recording') throw bad(file, 'is no recording of a session');
  if (version !== 1) throw bad(file, 'is a recording of another version; this Capybara reads version 1');
  const read = RecordingFile.safeParse(value);
  if (read.success) return read.data;
  const [issue] = read.error.issues;
  throw bad(file, `is wrong at ${issue?.path.join('.')}: ${issue?.message}`);
}

async function found<T>(file: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    throw bad(file, `cannot be read (${String(fields(error).code)})`);
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function bad(file: string, what: string): KnownFailure {
  const message = `The recording ${file} ${what}: make it with \`capybara run --record FILE\` or \`capybara sessions export\`.`;
  return new KnownFailure({ kind: 'terminal', code: 'bad_recording', message });
}
