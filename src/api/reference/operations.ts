/** The operations of an OpenAPI document, one section each. */
import { type Html, html, prose } from './html.ts';
import { fieldRow, hasOwnFields, type Schema, schemaBody, typeOf } from './schemas.ts';

type Content = Readonly<Record<string, { readonly schema: Schema }>>;

/** What is read of an operation. */
export interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly tags: readonly string[];
  readonly security?: readonly Readonly<Record<string, readonly string[]>>[];
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: string;
    readonly required?: boolean;
    readonly description?: string;
    readonly schema: Schema;
  }[];
  readonly requestBody?: { readonly content: Content };
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content?: Content }>>;
}

export interface Placed {
  readonly method: string;
  readonly path: string;
  readonly operation: Operation;
}

export function methodBadge(method: string): Html {
  return html`<span class="method ${method}">${method.toUpperCase()}</span>`;
}

export function operationSection({ method, path, operation }: Placed): Html {
  return html`<section id="${operation.operationId}">
<h3><a href="#${operation.operationId}">${methodBadge(method)} <code>${path}</code></a></h3>
<p>${prose(operation.summary)} ${keyOf(operation)}</p>
${parametersOf(operation)}${bodyOf(operation)}${responsesOf(operation)}</section>
`;
}

function keyOf({ security }: Operation): Html {
  if (security?.length === 0) return html`<span class="scope">no key</span>`;
  const scope = security?.[0]?.key?.[0];
  return html`<span class="scope">${scope === undefined ? 'any key' : `scope ${scope}`}</span>`;
}

function parametersOf({ parameters = [] }: Operation): Html | undefined {
  if (parameters.length === 0) return undefined;
  const rows = parameters.map(({ name, required = false, schema, description, ...parameter }) => {
    const said = description ?? schema.description;
    const field = said === undefined ? schema : { ...schema, description: said };
    return fieldRow({ name, field, required, where: parameter.in });
  });
  return html`<h4>Parameters</h4><table class="fields"><tbody>${rows}</tbody></table>`;
}

function bodyOf({ requestBody }: Operation): Html | undefined {
  if (requestBody === undefined) return undefined;
  const parts = Object.entries(requestBody.content).map(([media, { schema }]) => contentOf(media, schema));
  return html`<h4>Body</h4>${parts}`;
}

function contentOf(media: string, schema: Schema): Html {
  const fields = hasOwnFields(schema) ? schemaBody(schema) : undefined;
  return html`<p><code>${media}</code> ${fields === undefined ? typeOf(schema) : undefined}</p>${fields}`;
}

function responsesOf({ responses }: Operation): Html {
  const rows = Object.entries(responses).map(([status, { description, content = {} }]) => {
    const parts = status.startsWith('2')
      ? Object.entries(content).map(([media, { schema }]) => contentOf(media, schema))
      : [];
    return html`<tr><th scope="row">${status}</th><td>${problemLinks(description)}${parts}</td></tr>`;
  });
  return html`<h4>Answers</h4><table class="answers"><tbody>${rows}</tbody></table>`;
}

/** A code that is named leads to what it means. */
function problemLinks(description: string): Html {
  if (!description.startsWith('A problem')) return prose(description);
  const parts = description.split('`');
  return html`${parts.map((part, index) =>
    index % 2 === 0 ? html`${part}` : html`<a href="#problem-${part}"><code>${part}</code></a>`,
  )}`;
}
