/** The OpenAPI 3.1 document, written from the routes that serve. */
import { z } from 'zod';
import {
  createDocument,
  type ZodOpenApiObject,
  type ZodOpenApiOperationObject,
  type ZodOpenApiResponsesObject,
} from 'zod-openapi';
import { IDEMPOTENCY_HEADER } from './problem.ts';
import type { Route } from './route.ts';
import { Problem } from './wire.ts';

const TITLE = 'Capybara';
const VERSION = 'v1';
const BYTES = { type: 'string', format: 'binary' } as const;

const SERVER = { name: 'Server', of: [], description: 'How the server is, and what it says of itself.' };

/** Groups of operations, by the first word of their paths. */
const TAGS: readonly {
  readonly name: string;
  readonly of: readonly string[];
  readonly description: string;
}[] = [
  {
    name: 'Tasks',
    of: ['tasks', 'schedules'],
    description: 'Pieces of work that sessions are given, now or again and again.',
  },
  { name: 'Sessions', of: ['sessions'], description: 'Conversations, their logs, events and files.' },
  {
    name: 'Approvals',
    of: ['approvals', 'rules'],
    description: 'What agents ask people, and what is always allowed.',
  },
  {
    name: 'Files',
    of: ['workspaces', 'outputs'],
    description: 'Directories that are sent, and what tools gave out.',
  },
  {
    name: 'Catalogue',
    of: ['models', 'agents', 'usage', 'workers'],
    description: 'What can be used, and what was.',
  },
  {
    name: 'Administration',
    of: ['teams', 'users', 'keys', 'audit', 'webhooks'],
    description: 'Who may do what, who did it, and who is told.',
  },
  {
    name: 'MCP',
    of: ['mcp'],
    description:
      'The same for clients of the Model Context Protocol, and servers of it that agents have tools of.',
  },
  SERVER,
];

/** Problems that any route may answer with, by status. */
const COMMON_PROBLEMS: Readonly<Record<number, readonly string[]>> = {
  400: ['invalid_request'],
  500: ['internal'],
  503: ['database_unavailable', 'stopping'],
  507: ['disk_full'],
};

export function openApiOf(routes: readonly Route[]): ReturnType<typeof createDocument> {
  const paths: Record<string, Record<string, ZodOpenApiOperationObject>> = {};
  for (const route of routes) {
    const path = route.path.replaceAll(/:(\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [route.method]: operationOf(route) };
  }
  const document: ZodOpenApiObject = {
    openapi: '3.1.0',
    info: {
      title: TITLE,
      version: VERSION,
      description: 'Coding tasks for agents, kept until they are done.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    // Where the document is served from, whatever stands before it.
    servers: [{ url: '.' }],
    tags: TAGS.map(({ name, description }) => ({ name, description })),
    security: [{ key: [] }],
    components: {
      securitySchemes: { key: { type: 'http', scheme: 'bearer', description: 'capy_…' } },
    },
    paths,
  };
  return createDocument(document);
}

function operationOf(route: Route): ZodOpenApiOperationObject {
  const query = route.query instanceof z.ZodObject ? { query: route.query } : {};
  const header = route.headers === undefined ? {} : { header: route.headers };
  const named = [...route.path.matchAll(/:(\w+)/g)].map(([, name = '']) => [name, z.string()] as const);
  const path = named.length === 0 ? {} : { path: z.object(Object.fromEntries(named)) };
  return {
    operationId: operationIdOf(route),
    summary: route.summary,
    tags: [tagOf(route).name],
    ...securityOf(route),
    requestParams: { ...path, ...query, ...header },
    ...bodyOf(route),
    responses: responsesOf(route),
  };
}

function bodyOf({ body, stream }: Route): Pick<ZodOpenApiOperationObject, 'requestBody'> {
  if (stream !== undefined)
    return { requestBody: { required: true, content: { [stream]: { schema: BYTES } } } };
  if (body === undefined) return {};
  return { requestBody: { required: true, content: { 'application/json': { schema: body } } } };
}

/** What the key must be for, as OpenAPI 3.1 says roles of a scheme that has none by itself. */
function securityOf({ scope }: Route): Pick<ZodOpenApiOperationObject, 'security'> {
  if (scope === undefined) return { security: [] };
  return scope === 'any' ? {} : { security: [{ key: [scope] }] };
}

/** By the first word of the path; what stands for itself is of the server. */
function tagOf({ path }: Route): (typeof TAGS)[number] {
  const [first = ''] = path.replace(/^\/(v1\/)?/, '').split('/');
  return TAGS.find(({ of }) => of.includes(first)) ?? SERVER;
}

/** `POST /v1/tasks/:id/cancel` is `postTasksIdCancel`. */
function operationIdOf({ method, path }: Route): string {
  const words = path.split(/[/:.\-_]+/).filter((word) => word !== '' && word !== 'v1');
  return [method, ...words.map((word) => word.charAt(0).toUpperCase() + word.slice(1))].join('');
}

function responsesOf({ success, problems, scope, headers, body, stream }: Route): ZodOpenApiResponsesObject {
  const json = success.schema === undefined ? {} : { 'application/json': { schema: success.schema } };
  const media = (success.media ?? []).map((type) => [type, { schema: z.string() }]);
  const byStatus = merged([
    COMMON_PROBLEMS,
    scope === undefined
      ? {}
      : { 401: ['missing_key', 'invalid_key'], 429: ['rate_limited', 'too_many_wrong_keys'] },
    scope === undefined || scope === 'any' ? {} : { 403: ['missing_scope'] },
    body === undefined
      ? {}
      : {
          ...{ 400: ['malformed_json'], 408: ['request_timeout'], 413: ['body_too_large'] },
          415: ['unsupported_media_type'],
        },
    headers === undefined || !(IDEMPOTENCY_HEADER in headers.shape)
      ? {}
      : { 400: ['invalid_idempotency_key'] },
    stream === undefined ? {} : { 408: ['request_timeout'], 415: ['unsupported_media_type'] },
    problems ?? {},
  ]);
  return {
    [success.status]: {
      description: success.description,
      content: { ...json, ...Object.fromEntries(media) },
    },
    ...Object.fromEntries([...byStatus].map(([status, codes]) => [status, problemResponse(codes)])),
  };
}

function merged(lists: readonly Readonly<Record<number, readonly string[]>>[]): Map<string, string[]> {
  const all = new Map<string, string[]>();
  for (const [status, codes] of lists.flatMap((list) => Object.entries(list))) {
    all.set(status, [...(all.get(status) ?? []), ...codes]);
  }
  return all;
}

function problemResponse(codes: readonly string[]) {
  const description = `A problem with the code ${codes.map((code) => `\`${code}\``).join(' or ')}.`;
  return { description, content: { 'application/problem+json': { schema: Problem } } };
}
