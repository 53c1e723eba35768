/** The API reference: one page that is made of the OpenAPI document alone, without a script and without an address outside. */
import { PROBLEM_CODES } from '../problem-codes.ts';
import { Html, html, prose } from './html.ts';
import { methodBadge, type Operation, operationSection, type Placed } from './operations.ts';
import { type Schema, schemaBody } from './schemas.ts';
import { STYLE } from './style.ts';

interface Tag {
  readonly name: string;
  readonly description?: string;
}

/** What is read of an OpenAPI document. */
export interface Document {
  readonly info: { readonly title: string; readonly version: string; readonly description?: string };
  readonly tags?: readonly Tag[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

/** The page, as text. */
export function referenceOf(document: Document): string {
  const { info, tags = [], components } = document;
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method, path, operation })),
  );
  const groups = tags.map((tag) => ({
    tag,
    operations: operations.filter(({ operation }) => operation.tags.includes(tag.name)),
  }));
  const title = `${info.title} API ${info.version}`;
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title><style>${new Html(STYLE)}</style></head>
<body><nav><p><a href="#top">${title}</a></p>${groups.map(navigation)}
<h2>More</h2><ul><li><a href="#problems">Problems</a></li><li><a href="#schemas">Schemas</a></li></ul></nav>
<main id="top"><h1>${title}</h1>${introduction(info.description)}${groups.map(groupSection)}${problems(operations)}
<h2 id="schemas">Schemas</h2>${Object.entries(components.schemas).map(schemaSection)}</main></body></html>
`.text;
}

interface Group {
  readonly tag: Tag;
  readonly operations: readonly Placed[];
}

function navigation({ tag, operations }: Group): Html {
  const items = operations.map(
    ({ method, path, operation }) =>
      html`<li><a href="#${operation.operationId}">${methodBadge(method)}<span>${path.replace(/^\/v1/, '')}</span></a></li>`,
  );
  return html`<h2>${tag.name}</h2><ul>${items}</ul>`;
}

function introduction(description: string | undefined): Html {
  return html`<p>${prose(description)}</p>
<pre>curl -H "Authorization: Bearer $CAPYBARA_API_KEY" \\
     -H "Content-Type: application/json" -H "Idempotency-Key: $(uuidgen)" \\
     -d '{"prompt": "say hello"}' $CAPYBARA_URL/v1/tasks</pre>
<p>Bodies are JSON. Lists are pages: <code>limit</code> and <code>cursor</code> in, <code>data</code> and <code>nextCursor</code> out. An
<code>Idempotency-Key</code> makes repeating a request harmless for a day: the same key is the same thing. The same as
<a href="openapi.json">an OpenAPI document</a>.</p>`;
}

function groupSection({ tag, operations }: Group): Html {
  return html`<h2>${tag.name}</h2><p>${prose(tag.description)}</p>${operations.map(operationSection)}`;
}

/** Every code that any operation may answer with. */
function problems(operations: readonly Placed[]): Html {
  const statuses = new Map<string, Set<string>>([['method_not_allowed', new Set(['405'])]]);
  for (const { operation } of operations) {
    for (const [status, { description }] of Object.entries(operation.responses)) {
      if (!description.startsWith('A problem')) continue;
      for (const [, code = ''] of description.matchAll(/`(\w+)`/g))
        statuses.set(code, (statuses.get(code) ?? new Set()).add(status));
    }
  }
  const rows = [...statuses]
    .toSorted(([one], [other]) => (one < other ? -1 : 1))
    .map(
      ([code, found]) =>
        html`<tr id="problem-${code}"><th scope="row"><code>${code}</code></th><td>${[...found].join(', ')}</td><td>${PROBLEM_CODES[code]}</td></tr>`,
    );
  return html`<h2 id="problems">Problems</h2><p>What is refused is answered with <code>application/problem+json</code>
(<a href="#schema-Problem">Problem</a>, RFC 9457): a <code>code</code> that stays what it is, a sentence for a person, and the <code>field</code> that is at
fault, where it is one.</p><table class="codes"><tbody>${rows}</tbody></table>`;
}

function schemaSection([name, schema]: [string, Schema]): Html {
  return html`<section id="schema-${name}"><h3>${name}</h3><p>${prose(schema.description)}</p>${schemaBody(schema)}</section>
`;
}
