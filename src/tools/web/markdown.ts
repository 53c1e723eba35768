import TurndownService from 'turndown';

/** As much of a DOM's element as is looked at here. */
interface Element {
  readonly nodeName: string;
  readonly textContent: string | null;
  readonly firstElementChild: Element | null;
  getAttribute(name: string): string | null;
}

/** What a reader does not read. `header` stays: an article's has its title. */
const NOT_READ = new Set(
  'SCRIPT STYLE NOSCRIPT TEMPLATE NAV FOOTER SVG CANVAS IFRAME OBJECT EMBED AUDIO VIDEO BUTTON SELECT INPUT TEXTAREA DIALOG IMG'.split(
    ' ',
  ),
);
const NOT_READ_ROLES = new Set(['navigation', 'banner', 'contentinfo', 'search', 'menu', 'dialog']);

/** What there is to read on a page: its title, then its text as Markdown, with links that are whole. */
export function markdownOf(html: string, url: string): string {
  let title = '';
  let base = url;
  const service = new TurndownService({
    headingStyle: 'atx',
    codeBlockStyle: 'fenced',
    bulletListMarker: '-',
  });
  // It is read, not rendered: names_with_underscores stay as they are.
  service.escape = (text) => text;
  service.addRule('title', {
    filter: 'title',
    replacement: (content) => {
      if (title === '') title = content.replace(/\s+/g, ' ').trim();
      return '';
    },
  });
  service.addRule('base', {
    filter: 'base',
    replacement: (_, node: Element) => {
      base = URL.parse(node.getAttribute('href') ?? '', url)?.href ?? base;
      return '';
    },
  });
  service.addRule('link', {
    filter: 'a',
    replacement: (content, node: Element) => link(content, URL.parse(node.getAttribute('href') ?? '', base)),
  });
  service.addRule('code', { filter: 'pre', replacement: (_, node: Element) => fenced(node) });
  service.addRule('cell', { filter: ['th', 'td'], replacement: (content) => ` ${oneLine(content)} |` });
  service.addRule('row', { filter: 'tr', replacement: (content) => `\n|${content}` });
  service.addRule('table', { filter: 'table', replacement: (content) => `\n\n${content.trim()}\n\n` });
  // Of several rules the last one counts.
  service.addRule('not read', { filter: (node: Element) => isNotRead(node), replacement: () => '' });
  const text = service.turndown(html).trim();
  return title === '' ? text : `Title: ${title}\n\n${text}`;
}

function isNotRead(node: Element): boolean {
  return (
    NOT_READ.has(node.nodeName.toUpperCase()) ||
    NOT_READ_ROLES.has(node.getAttribute('role') ?? '') ||
    node.getAttribute('hidden') !== null ||
    node.getAttribute('aria-hidden') === 'true'
  );
}

function link(content: string, target: URL | null): string {
  const text = oneLine(content);
  const isWeb = target?.protocol === 'http:' || target?.protocol === 'https:';
  return text !== '' && isWeb ? `[${text}](${target.href})` : text;
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim();
}

function fenced(node: Element): string {
  const code = (node.textContent ?? '').replace(/\n$/, '');
  const classes = `${node.firstElementChild?.getAttribute('class') ?? ''} ${node.getAttribute('class') ?? ''}`;
  const [, language = ''] = /\blang(?:uage)?-([\w+-]+)/.exec(classes) ?? [];
  const longest = Math.max(2, ...(code.match(/`+/g) ?? []).map((ticks) => ticks.length));
  const fence = '`'.repeat(longest + 1);
  return `\n\n${fence}${language}\n${code}\n${fence}\n\n`;
}
