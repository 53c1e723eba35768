import { neutralised } from '../untrusted-text.ts';
import type { Section, SessionDocument } from './session-export.ts';

const STYLE = `
:root { color-scheme: light dark; --soft: #667; --line: #d8dbe2; --said: #eef4ff; --code: #f5f6f8; }
@media (prefers-color-scheme: dark) { :root { --soft: #9aa3b2; --line: #3a404b; --said: #1d2a40; --code: #1b1f26; } }
body { margin: 0 auto; max-width: 52rem; padding: 2rem 1rem 4rem; font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: 0; }
header, time { color: var(--soft); }
section { border-top: 1px solid var(--line); padding: 1rem 0; }
h2 { font-size: 1rem; margin: 0; }
time { font-size: .8rem; font-weight: normal; }
.text { white-space: pre-wrap; margin-top: .5rem; }
.said .text { background: var(--said); border-radius: .5rem; padding: .6rem .8rem; }
pre { background: var(--code); border-radius: .5rem; padding: .6rem .8rem; white-space: pre-wrap; font: 13px/1.45 ui-monospace, monospace; }
summary { cursor: pointer; color: var(--soft); }
code { font: 13px ui-monospace, monospace; }`.trim();

/** One file that asks for nothing else: no script runs in it, and it loads nothing, whatever the session says. */
export function htmlDocument({ session, sections }: SessionDocument): string {
  const title = escaped(session.title);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>
${STYLE}
</style>
</head>
<body>
<header><h1>${title}</h1>${session.id}, begun ${session.createdAt}</header>
${sections.map(sectionText).join('\n')}
</body>
</html>
`;
}

function sectionText({ kind, by, at, text, calls, files, status }: Section): string {
  const time = `<time datetime="${at}">${at}</time>`;
  const body = neutralised(text).trim();
  const lists = [
    ...calls.map((call) => `<li>called <code>${escaped(call)}</code></li>`),
    ...files.map((file) => `<li>with the file <code>${escaped(file)}</code></li>`),
  ];
  const list = lists.length === 0 ? '' : `<ul>${lists.join('')}</ul>`;
  if (kind === 'result') {
    const said = `${escaped(by)}${status ? ` (${escaped(status)})` : ''}`;
    return `<section class="result"><details><summary><code>${said}</code> ${time}</summary><pre>${escaped(body)}</pre>${list}</details></section>`;
  }
  const shown = body === '' ? '' : `<div class="text">${escaped(body)}</div>`;
  return `<section class="${kind}"><h2>${escaped(by)} ${time}</h2>${shown}${list}</section>`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function escaped(text: string): string {
  return neutralised(text).replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '');
}
