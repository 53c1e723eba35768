/**
 * What a route is. One list of routes serves requests and writes the OpenAPI document, so that neither can say something
 * that the other does not.
 */
import express, { type Express, type Request, type RequestHandler, type Response } from 'express';
import { z } from 'zod';
import { fromPublicId, type IdKind } from '../core/id.ts';
import type { Scope } from '../core/scope.ts';
import type { Caller } from '../store/keys.ts';
import { ApiProblem, badRequest, invalidRequest, notFound, unsupportedMedia } from './problem.ts';
import { reservedNameIn } from './reserved-name.ts';
import { settled } from './settled.ts';
import { MAX_BODY_BYTES } from './wire.ts';

export interface Call<Query, Body> {
  readonly caller: Caller;
  /** The UUID behind the path's `:id`; empty where it has none. */
  readonly id: string;
  /** The path's `:name`, as it was sent; empty where it has none. */
  readonly name: string;
  readonly query: Query;
  readonly body: Body;
  readonly request: Request;
  readonly response: Response;
}

export type Reply =
  | { readonly status: 200 | 201; readonly body: unknown }
  /** The handler has answered by itself. */
  | undefined;

/** What stands in the OpenAPI document about a success. */
export interface Success {
  readonly status: 200 | 201;
  readonly description: string;
  readonly schema?: z.ZodType;
  /** Other media types than JSON. */
  readonly media?: readonly string[];
}

export interface Route {
  readonly method: 'get' | 'post' | 'put' | 'patch' | 'delete';
  /** Express's spelling: `/v1/tasks/:id`. */
  readonly path: string;
  readonly summary: string;
  /** What a key must be for; `any`: every key will do. A route without one is `open`, and answers without a key. */
  readonly scope?: Scope | 'any';
  /** Whom it answers without a key all the same; then nobody is its caller. */
  readonly openTo?: (request: Request) => boolean;
  /** What `:id` names. */
  readonly id?: IdKind;
  /** Without one any field is refused. */
  readonly query?: z.ZodType;
  readonly headers?: z.ZodObject;
  readonly body?: z.ZodType;
  /** What it may have; `MAX_BODY_BYTES` where left out. */
  readonly bodyBytes?: number;
  /** The media type of a body that is no JSON: its handler reads it as it comes. */
  readonly stream?: string;
  readonly success: Success;
  /** It changes nothing by itself: what it has changed is in the audit trail by the routes that it asks. */
  readonly isUnaudited?: true;
  /** Codes of its own problems, by status. */
  readonly problems?: Readonly<Record<number, readonly string[]>>;
  readonly handle: (call: Call<unknown, unknown>) => Promise<Reply>;
}

/** A route whose handler sees its query and body as their schemas give them. */
export function route<Query extends z.ZodType, Body extends z.ZodType>(
  definition: Omit<Route, 'handle' | 'query' | 'body'> & {
    readonly query?: Query;
    readonly body?: Body;
    readonly handle: (call: Call<z.infer<Query>, z.infer<Body>>) => Promise<Reply>;
  },
): Route {
  // `serve` hands over what the schemas returned.
  return definition as unknown as Route;
}

export interface ServeOptions {
  /** What a request with a key passes first, in this order. */
  readonly entry: (route: Route) => readonly RequestHandler[];
}

/** Adds the routes to an app, then 405 for other methods on their paths and 404 for everything else. */
export function serve(app: Express, routes: readonly Route[], { entry }: ServeOptions): void {
  const readJson = (limit: number) => express.json({ limit, type: ['application/json', '+json'] });
  for (const each of routes) {
    const before = [
      ...(each.scope === undefined ? [] : entry(each).map((handler) => unlessOpen(each, handler))),
      ...(each.body ? [requireJson, readJson(each.bodyBytes ?? MAX_BODY_BYTES)] : []),
      ...(each.stream ? [requireMedia(each.stream)] : []),
    ];
    app[each.method](each.path, ...before, handlerOf(each));
  }
  for (const path of new Set(routes.map((each) => each.path))) {
    const methods = routes.filter((each) => each.path === path).map((each) => each.method.toUpperCase());
    app.all(path, (request) => {
      throw wrongMethod(request, methods);
    });
  }
  app.use((request) => {
    throw notFound(`address ${request.method} ${request.path.slice(0, 200)}`);
  });
}

function unlessOpen({ openTo }: Route, handler: RequestHandler): RequestHandler {
  if (openTo === undefined) return handler;
  return (request, response, next) => (openTo(request) ? next() : handler(request, response, next));
}

/** What is not known is refused also where nothing is: a mistyped field would be passed over in silence. Probes add what they like. */
const NO_QUERY = z.strictObject({});

function queryOf({ query, scope }: Route): z.ZodType | undefined {
  return query ?? (scope === undefined ? undefined : NO_QUERY);
}

function handlerOf(each: Route): RequestHandler {
  return async (request, response) => {
    const id = idOf(each, request);
    if (each.id !== undefined) response.locals.about = { kind: each.id, id };
    const query = parse(queryOf(each), request.query, 'query');
    const body = parse(each.body, request.body, 'request body');
    const caller = response.locals.caller as Caller;
    const name = String(request.params.name ?? '');
    const reply = await each.handle({ caller, id, name, query, body, request, response });
    if (reply !== undefined) {
      response.locals.made = (reply.body as { readonly id?: unknown })?.id;
      response.status(reply.status).json(reply.body);
    }
    settled(response);
  };
}

function idOf({ id: kind }: Route, request: Request): string {
  if (kind === undefined) return '';
  const text = String(request.params.id);
  const id = fromPublicId(kind, text);
  if (id === undefined) throw notFound(`${kind} ${JSON.stringify(text.slice(0, 60))}`);
  return id;
}

const SHOWN_FIELD = 200;

function parse(schema: z.ZodType | undefined, value: unknown, where: string): unknown {
  if (schema === undefined) return undefined;
  const reserved = reservedNameIn(value);
  if (reserved !== undefined)
    throw badRequest(
      'invalid_request',
      `The ${where} has a field that cannot be kept, ${reserved.slice(-SHOWN_FIELD)}: give it another name.`,
      reserved.slice(-SHOWN_FIELD),
    );
  const result = schema.safeParse(value);
  if (!result.success) throw invalidRequest(where, result.error);
  return result.data;
}

const requireJson: RequestHandler = (request, _response, next) => {
  const type = request.headers['content-type'];
  if (request.is(['application/json', '+json']) !== false && type !== undefined) return next();
  const found = type === undefined ? 'none' : JSON.stringify(type.slice(0, 60));
  throw unsupportedMedia(
    `Send the request body as JSON with Content-Type: application/json; found ${found}.`,
  );
};

function requireMedia(expected: string): RequestHandler {
  return (request, _response, next) => {
    const found = request.headers['content-type'];
    if (found?.toLowerCase() === expected) return next();
    const shown = found === undefined ? 'none' : JSON.stringify(found.slice(0, 60));
    throw unsupportedMedia(`Send the request body with Content-Type: ${expected}; found ${shown}.`);
  };
}

function wrongMethod(request: Request, methods: readonly string[]): ApiProblem {
  return new ApiProblem({
    status: 405,
    code: 'method_not_allowed',
    detail: `${request.path.slice(0, 200)} does not take ${request.method}; it takes ${methods.join(', ')}.`,
    headers: { allow: methods.join(', ') },
  });
}
