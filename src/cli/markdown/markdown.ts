/** What a model wrote, as markdown on a terminal. */
import { Markdown, type MarkdownTheme, setCapabilities, truncateToWidth } from '@earendil-works/pi-tui';
import type { Paint } from '../terminal.ts';
import type { Theme } from '../themes.ts';
import { neutralised } from '../untrusted-text.ts';
import type { Highlight } from './highlight.ts';

// A link shows where it leads, and pictures are not drawn: what is seen is what the text says.
setCapabilities({ images: null, trueColor: false, hyperlinks: false });

/** Without the blank lines in front of it; the first line may be indented. */
export function withoutBlank(text: string): string {
  return text.replace(/^(?:[ \t]*\n)+/, '');
}

/** A text that grows: what was drawn of it is not drawn again. */
export class MarkdownText {
  readonly #markdown: Markdown;

  /** `paint`: of what stands out in no other way. */
  constructor(theme: Theme, highlight: Highlight | undefined, paint?: Paint) {
    const style = paint && { color: paint };
    this.#markdown = new Markdown('', 0, 0, markdownTheme(theme, highlight), style, {
      preserveOrderedListMarkers: true,
    });
  }

  lines(text: string, columns: number): string[] {
    this.#markdown.setText(withoutBlank(neutralised(text)).trimEnd());
    return this.#markdown.render(columns).map((line) => truncateToWidth(line.trimEnd(), columns, ''));
  }
}

export interface MarkdownOptions {
  readonly columns: number;
  readonly theme: Theme;
  readonly highlight?: Highlight | undefined;
  readonly paint?: Paint | undefined;
}

/** In at most so many columns. */
export function markdownLines(text: string, { columns, theme, highlight, paint }: MarkdownOptions): string[] {
  return new MarkdownText(theme, highlight, paint).lines(text, columns);
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
