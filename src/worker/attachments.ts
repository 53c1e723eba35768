/** The texts of files that a person attached, told behind the message before the model's first answer to it. Images are shown with it. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ATTACHMENT_LIMITS } from '../core/attachments.ts';
import { type DocumentPart, documentsOf, type NewEntry } from '../core/entry.ts';
import { messageOf } from '../core/errors.ts';
import { truncateForModel } from '../core/truncate.ts';
import { untrusted } from '../core/untrusted.ts';
import { readImages } from '../store/outputs.ts';
import { visible } from '../workspace/file-tree.ts';
import { PDF_LIMITS, readPdf } from '../workspace/pdf-text.ts';
import { newlySaid } from './mentions.ts';
import type { Run } from './run.ts';
import type { Shell } from './shell.ts';

type Notice = Extract<NewEntry, { kind: 'notice' }>;

export async function attachedNotices(shell: Shell, run: Run): Promise<readonly Notice[]> {
  const documents = newlySaid(run.entries).flatMap(({ parts }) => documentsOf(parts));
  if (documents.length === 0) return [];
  const stored = await readImages(shell.db, [...new Set(documents.map(({ hash }) => hash))]);
  const texts: string[] = [];
  let chars: number = ATTACHMENT_LIMITS.chars;
  for (const document of documents) {
    const bytes = stored.get(document.hash);
    if (bytes === undefined) throw new Error(`the attachment ${document.hash} is not in the database`);
    const whole = await textOf(document, bytes, run.signal);
    const { text } = truncateForModel(whole, { maxChars: chars, maxLines: Number.POSITIVE_INFINITY });
    chars = Math.max(0, chars - text.length);
    texts.push('', untrusted(`attachment ${visible(document.name)}`, text));
  }
  const text = ['What was attached to the message:', ...texts].join('\n');
  return [{ kind: 'notice', parts: [{ type: 'text', text }] }];
}

async function textOf(
  { mediaType, name }: DocumentPart,
  bytes: Buffer,
  signal: AbortSignal,
): Promise<string> {
  if (mediaType === 'text/plain') return new TextDecoder().decode(bytes);
  // The program that reads a PDF is given it as a file that is open.
  const root = await mkdtemp(join(tmpdir(), 'capybara-attached-'));
  try {
    const path = join(root, 'attached.pdf');
    await writeFile(path, bytes, { mode: 0o600 });
    const range = { first: 1, count: PDF_LIMITS.pages };
    return sayPages(await readPdf({ root, path, shown: name }, range, { signal }));
  } catch (error) {
    return `(${visible(messageOf(error))})`;
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

function sayPages({ total, pages }: Awaited<ReturnType<typeof readPdf>>): string {
  const texts = pages.map(
    (page, index) => `--- page ${index + 1} ---\n${page.trim() === '' ? '(no text)' : page}`,
  );
  return [...texts, `(PDF, pages 1 to ${pages.length} of ${total})`].join('\n');
}
