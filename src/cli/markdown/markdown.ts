/** What a model wrote, as markdown on a terminal. */
import { Markdown, type MarkdownTheme, setCapabilities, truncateToWidth } from '@earendil-works/pi-tui';
import type { Theme } from '../themes.ts';
import { neutralised } from '../untrusted-text.ts';
import type { Highlight } from './highlight.ts';

// A link shows where it leads, and pictures are not drawn: what is seen is what the text says.
setCapabilities({ images: null, trueColor: false, hyperlinks: false });

/** A text that grows: what was drawn of it is not drawn again. */
export class MarkdownText {
  readonly #markdown: Markdown;

  constructor(theme: Theme, highlight: Highlight | undefined) {
    this.#markdown = new Markdown('', 0, 0, markdownTheme(theme, highlight), undefined, {
      preserveOrderedListMarkers: true,
    });
  }

  lines(text: string, columns: number): string[] {
    this.#markdown.setText(neutralised(text).trim());
    return this.#markdown.render(columns).map((line) => truncateToWidth(line.trimEnd(), columns, ''));
  }
}

/** In at most so many columns. */
export function markdownLines(
  text: string,
  { columns, theme, highlight }: { columns: number; theme: Theme; highlight?: Highlight | undefined },
): string[] {
  return new MarkdownText(theme, highlight).lines(text, columns);
}

function markdownTheme(theme: Theme, highlight: Highlight | undefined): MarkdownTheme {
  const plain = (text: string) => text;
  return {
    heading: (text) => theme.bold(theme.heading(text)),
    link: theme.link,
    linkUrl: theme.quiet,
    code: theme.inline,
    codeBlock: plain,
    codeBlockBorder: theme.quiet,
    quote: theme.italic,
    quoteBorder: theme.quiet,
    hr: theme.quiet,
    listBullet: theme.accent,
    bold: theme.bold,
    italic: theme.italic,
    strikethrough: theme.struck,
    underline: theme.underline,
    highlightCode: (code, language) => highlight?.(code, language, theme) ?? code.split('\n'),
  };
}
