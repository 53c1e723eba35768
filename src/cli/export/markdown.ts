import { neutralised, oneLine } from '../untrusted-text.ts';
import type { Section, SessionDocument } from './session-export.ts';

const LINE = 200;
/** Lines: what Capybara says at such length, as of the project, is folded away. */
const FOLDED_FROM = 6;

/** Answers are Markdown already, and stand as they are; what tools returned is fenced, so that nothing in it is read as Markdown. */
export function markdownDocument({ session, sections }: SessionDocument): string {
  const head = `# ${escaped(session.title)}\n\n${session.id}, begun ${session.createdAt}\n`;
  return [head, ...sections.map(sectionText)].join('\n');
}

function sectionText(section: Section): string {
  const { kind, by, at, text, calls, files, status } = section;
  const title =
    kind === 'result' ? `Result of \`${codeLine(by)}\`${status ? ` (${status})` : ''}` : escaped(by);
  const body = neutralised(text).trim();
  const shown =
    body === '' ? [] : [kind === 'answered' ? body : kind === 'result' ? fenced(body) : quoted(body)];
  const lists = [
    ...calls.map((call) => `- called \`${codeLine(call)}\``),
    ...files.map((file) => `- with the file \`${codeLine(file)}\``),
  ];
  if (kind === 'notice' && body.split('\n').length > FOLDED_FROM)
    return `<details><summary>${title}, ${at}</summary>\n\n${shown.join('')}\n\n</details>\n`;
  const level = kind === 'result' ? '###' : '##';
  return `${[`${level} ${title}`, `*${at}*`, ...shown, ...(lists.length > 0 ? [lists.join('\n')] : [])].join('\n\n')}\n`;
}

/** Longer than any fence in it. */
function fenced(text: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = '`'.repeat(longest + 1);
  return `${fence}\n${text}\n${fence}`;
}

/** What a person said is no heading of this document. */
function quoted(text: string): string {
  return text.replace(/^/gm, '> ').replace(/[ ]+$/gm, '');
}

function codeLine(text: string): string {
  return oneLine(text, LINE).replaceAll('`', "'");
}

function escaped(text: string): string {
  return oneLine(text, LINE).replace(/[\\`*_[\]<>#|]/g, '\\$&');
}
