/** Each request as a span, and the trace that what it begins is part of: the client's, where it names one. */
import type { RequestHandler, Response } from 'express';
import { NO_SPAN, readTraceparent, type Tracing } from '../tracing/tracing.ts';
import { isProbe } from './request-log.ts';

export function traceRequests(tracing: Tracing): RequestHandler {
  return (request, response, next) => {
    const parent = readTraceparent(request.get('traceparent'));
    const { method, path } = request;
    const span = isProbe(path) ? NO_SPAN : tracing.span(method, { kind: 'server', parent });
    response.locals.traceparent = span.traceparent ?? parent;
    if (span !== NO_SPAN)
      response.once('close', () => {
        const route = request.route?.path as string | undefined;
        if (route !== undefined) span.rename(`${method} ${route}`);
        const { statusCode: status } = response;
        span.set({ 'http.request.method': method, 'http.route': route, 'http.response.status_code': status });
        if (status >= 500) span.fail(String(status));
        span.end();
      });
    next();
  };
}

export function traceOf({ locals }: Response): string | undefined {
  return locals.traceparent as string | undefined;
}
