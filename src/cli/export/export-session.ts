/** `sessions export`: a document, in a file or the output, or a recording. */
import { existsSync } from 'node:fs';
import type { Client } from '../../client/client.ts';
import { answersText, writeRecording } from '../recording.ts';
import { type Format, fileExists, sessionDocument, writeDocument } from './session-export.ts';

export interface ExportFlags {
  readonly format: Format;
  readonly output?: string | undefined;
  readonly recording?: string | undefined;
  /** Over a file that is there. */
  readonly force: boolean;
}

/** What was done, for programs and for people. */
export async function exportSession(
  client: Client,
  id: string,
  { format, output, recording, force }: ExportFlags,
): Promise<{ readonly value: unknown; readonly text: string }> {
  const file = output ?? recording;
  if (file !== undefined && !force && existsSync(file)) throw fileExists(file);
  if (recording !== undefined) {
    const answers = await writeRecording(client, id, recording);
    const text = `Recorded ${answersText(answers)} of ${id} in ${recording}.\n`;
    return { value: { sessionId: id, file: recording, answers }, text };
  }
  const document = await sessionDocument(client, id, format);
  if (output === undefined) {
    const value = format === 'json' ? JSON.parse(document) : { sessionId: id, format, document };
    return { value, text: document };
  }
  await writeDocument(output, document, { force });
  return { value: { sessionId: id, format, file: output }, text: `Wrote ${id} to ${output}.\n` };
}
