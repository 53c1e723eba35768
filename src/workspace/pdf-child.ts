/**
 * A program: the text of the PDF on its standard input, as JSON on its standard output. It runs alone because a PDF from anywhere may make its reader
 * loop or take all memory; whoever starts it sets the limits. Arguments: first page, number of pages, characters at most.
 */
import { readFileSync } from 'node:fs';
import { getDocumentProxy } from 'unpdf';
import type { PdfAnswer } from './pdf-text.ts';

const [first = 1, count = 1, maxChars = 1] = process.argv.slice(2).map(Number);

process.stdout.write(JSON.stringify(await answer()));

async function answer(): Promise<PdfAnswer> {
  try {
    const pdf = await getDocumentProxy(new Uint8Array(readFileSync(0)), {
      verbosity: 0,
    });
    const pages: string[] = [];
    let chars = 0;
    for (let number = first; number < first + count && number <= pdf.numPages && chars < maxChars; number++) {
      const { items } = await (await pdf.getPage(number)).getTextContent();
      const texts = items.map((item) => ('str' in item ? item.str + (item.hasEOL ? '\n' : '') : ''));
      const text = texts.join('').slice(0, maxChars - chars);
      chars += text.length;
      pages.push(text);
    }
    return { total: pdf.numPages, pages };
  } catch (error) {
    return { error: error instanceof Error ? `${error.name}: ${error.message}` : String(error) };
  }
}
