/** `GET /v1/outputs/:id`: the whole of what a tool call returned, text or image, or a range of it, decompressed as it is sent. */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import type { Response } from 'express';
import { z } from 'zod';
import { toPublicId } from '../core/id.ts';
import { readOutput } from '../store/views-approvals.ts';
import type { ApiDeps } from './deps.ts';
import { ApiProblem, notFound } from './problem.ts';
import { type Call, type Reply, type Route, route } from './route.ts';
import { wholeInQuery } from './wire-query.ts';

/** An `integer` of Postgres, and more parts than any result has. */
const MAX_PART = 1_000_000;
const MEDIA_TYPES = ['text/plain', 'image/png', 'image/jpeg', 'image/gif', 'image/webp'];

const OutputQuery = z.strictObject({
  offset: wholeInQuery(0).optional().meta({ description: 'first byte, from 0' }),
  limit: wholeInQuery(1).optional().meta({ description: 'bytes at most' }),
  part: wholeInQuery(0, MAX_PART).optional().meta({
    description: "a file's place among the parts of the result, from 0; without: the text, or the first file",
  }),
});

export function outputRoutes(deps: ApiDeps): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/outputs/:id',
      scope: 'read',
      summary:
        'A stored tool output or image, whole or in ranges (`Range`, or `offset` and `limit`, in bytes).',
      id: 'output',
      query: OutputQuery,
      headers: z.object({ range: z.string().optional().meta({ description: '`bytes=0-999`' }) }),
      success: { status: 200, description: 'The bytes, or with 206 a range of them.', media: MEDIA_TYPES },
      problems: { 404: ['not_found'], 416: ['range_not_satisfiable'] },
      handle: (call) => output(deps, call),
    }),
  ];
}

/** Bytes from `from` up to, not including, `to`. */
interface Span {
  readonly from: number;
  readonly to: number;
}

type OutputCall = Call<z.infer<typeof OutputQuery>, unknown>;

async function output({ db }: ApiDeps, call: OutputCall): Promise<Reply> {
  const { response, caller, id, query } = call;
  const found = await readOutput(db, { teamId: caller.teamId, id, part: query.part });
  if (found === undefined) throw notFound(`output ${toPublicId('output', id)}`);
  const span = spanOf(call, found.size);
  // It comes from anywhere: a browser saves it, and opens nothing.
  if (found.file !== undefined) response.attachment(found.file.name);
  const type = found.file?.mediaType ?? 'text/plain; charset=utf-8';
  response.set({ 'content-type': type, 'accept-ranges': 'bytes' });
  if (span === undefined) return send(response, found.gzipped, { from: 0, to: found.size });
  response.status(206).set('content-range', `bytes ${span.from}-${span.to - 1}/${found.size}`);
  return send(response, found.gzipped, span);
}

async function send(response: Response, gzipped: Uint8Array, span: Span): Promise<undefined> {
  response.set('content-length', String(span.to - span.from));
  if (response.req.method === 'HEAD') {
    response.end();
    return;
  }
  const plain = (chunks: AsyncIterable<Buffer>) => slice(chunks, span);
  try {
    await pipeline(Readable.from([gzipped]), createGunzip(), plain, response);
  } catch (error) {
    // A client that has what it wanted may leave in the middle.
    if ((error as NodeJS.ErrnoException).code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error;
  }
}

async function* slice(chunks: AsyncIterable<Buffer>, { from, to }: Span): AsyncGenerator<Buffer> {
  let at = 0;
  for await (const chunk of chunks) {
    const part = chunk.subarray(Math.max(0, from - at), Math.max(0, to - at));
    if (part.length > 0) yield part;
    at += chunk.length;
    if (at >= to) return;
  }
}

/** What was asked for; `undefined`: the whole. One range is served; of a header with several, or of another unit, nothing. */
function spanOf({ request, query }: OutputCall, size: number): Span | undefined {
  if (query.offset !== undefined || query.limit !== undefined) {
    const from = query.offset ?? 0;
    return checked({ from, to: Math.min(size, from + (query.limit ?? size)) }, size);
  }
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(request.get('range')?.trim() ?? '');
  const [, first = '', last = ''] = match ?? [];
  if (first === '' && last === '') return undefined;
  if (first === '') return checked({ from: Math.max(0, size - Number(last)), to: size }, size);
  const to = last === '' ? size : Math.min(size, Number(last) + 1);
  return checked({ from: Number(first), to }, size);
}

function checked(span: Span, size: number): Span {
  if (span.from < span.to) return span;
  throw new ApiProblem({
    status: 416,
    code: 'range_not_satisfiable',
    detail: `The output has ${size} bytes; there is nothing in the range that was asked for.`,
    headers: { 'content-range': `bytes */${size}` },
  });
}
