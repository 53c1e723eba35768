/** What a model writes as markdown, while it writes it: blocks are printed once they are whole. */
import { stripVTControlCharacters } from 'node:util';
import type { Look } from '../look.ts';
import type { Prose } from '../prose.ts';
import type { Paint } from '../terminal.ts';
import { neutralised } from '../untrusted-text.ts';
import { type Block, blocksOf } from './blocks.ts';
import { markdownLines, withoutBlank } from './markdown.ts';

/** Longer lines are hard to read, however wide the terminal is. */
export const MAX_PROSE_COLUMNS = 120;

/** Longer code is drawn in parts. */
const MAX_CODE_LINES = 100;

/** Code that is being written is printed line by line: how much of it, and how wide. */
interface OpenFence {
  printed: number;
  readonly columns: number;
}

export class MarkdownProse implements Prose {
  readonly #look: Look;
  readonly #paint: Paint | undefined;
  /** Whole lines of the blocks that are not printed, neutralised; and the beginning of a line, as it came. */
  #whole = '';
  #begun = '';
  /** Whether a blank line stands in front of the first of them. */
  #isApart = false;
  #fence: OpenFence | undefined;

  /** `paint`: of what stands out in no other way. */
  constructor(look: Look, paint?: Paint) {
    this.#look = look;
    this.#paint = paint;
  }

  add(text: string): string {
    const come = this.#begun + text;
    const end = come.lastIndexOf('\n') + 1;
    this.#begun = come.slice(end);
    if (end === 0) return '';
    this.#whole = withoutBlank(this.#whole + neutralised(come.slice(0, end)));
    return this.#printed(blocksOf(this.#whole));
  }

  interrupt(): string {
    return '';
  }

  end(): string {
    const blocks = blocksOf(this.#whole + neutralised(this.#begun));
    this.#begun = '';
    const printed = this.#printed(blocks.map((block) => ({ ...block, isWhole: true })));
    this.#isApart = false;
    return printed;
  }

  lines(): readonly string[] {
    return this.#linesOf(blocksOf(this.#whole + neutralised(this.#begun)));
  }

  /** Takes out what is whole, and of open code what is. */
  #printed(blocks: readonly Block[]): string {
    const whole = blocks.filter(({ isWhole }) => isWhole);
    const lines = this.#linesOf(whole);
    const [open] = blocks.slice(whole.length);
    if (whole.length > 0) {
      this.#fence = undefined;
      this.#isApart = open === undefined || open.isApart;
    }
    this.#whole = open?.text ?? '';
    const more = open?.kind === 'fence' ? this.#newCode(open) : [];
    return [...lines, ...more].map((line) => `${line}\n`).join('');
  }

  #newCode(open: Block): string[] {
    const { printed, columns } = this.#fence ?? { printed: 0, columns: this.#columns };
    const lines = this.#drawn(open, columns);
    const isBegun = printed > 0 || !this.#isApart;
    this.#fence = { printed: lines.length, columns };
    if (lines.length > MAX_CODE_LINES) this.#forget(open);
    return isBegun ? lines.slice(printed) : ['', ...lines];
  }

  /** What is printed of long code is not drawn again with each line that comes, up to where something begins anew. */
  #forget({ text }: Block): void {
    const [opening = ''] = /^.*\n/.exec(text) ?? [];
    const [printed = ''] = /^.*\n(?=[a-z@#/])/is.exec(text) ?? [];
    if (printed.length <= opening.length || this.#fence === undefined) return;
    this.#whole = opening + text.slice(printed.length);
    const [open] = blocksOf(this.#whole);
    if (open) this.#fence.printed = this.#drawn(open, this.#fence.columns).length;
  }

  /** With the blank lines between them, and without what is printed of the first. */
  #linesOf(blocks: readonly Block[]): string[] {
    return blocks.flatMap((block, index) => {
      const isFirst = index === 0;
      const fence = isFirst ? this.#fence : undefined;
      const lines = this.#drawn(block, fence?.columns ?? this.#columns).slice(fence?.printed ?? 0);
      const isApart = isFirst ? this.#isApart && fence === undefined : block.isApart;
      return isApart && lines.length > 0 ? ['', ...lines] : lines;
    });
  }

  #drawn({ kind, text, isWhole }: Block, columns: number): string[] {
    const { theme, highlight, style } = this.#look;
    const written = kind === 'fence' ? text : withLinks(text);
    const painted = markdownLines(written, { columns, theme, highlight, paint: this.#paint });
    // Cells of tables end what they are painted with, also where they are not.
    const lines = theme.bold('x') === 'x' ? painted.map(stripVTControlCharacters) : painted;
    if (kind === 'fence' && !isWhole) {
      // The end that is not there yet; and a first line, before there is one.
      lines.pop();
      if (!text.trimEnd().includes('\n')) lines.splice(1);
    }
    return style.isUnicode ? lines : lines.map(withAsciiLines);
  }

  get #columns(): number {
    return Math.min(MAX_PROSE_COLUMNS, this.#look.style.columns);
  }
}

/** What says where links lead, and notes at the foot: markdown leaves them out, but nothing that a model wrote is hidden. */
function withLinks(text: string): string {
  return text.replace(/^( {0,3}\[[^\]\n]+\]):/gm, '$1\\:');
}

/** Tables, quotes and rules are drawn with lines. */
function withAsciiLines(line: string): string {
  return line
    .replaceAll('─', '-')
    .replaceAll('│', '|')
    .replace(/[┌┬┐├┼┤└┴┘]/g, '+');
}
