/** Makes Markdown of one page, in a thread that may be ended: whoever wrote the page may have meant it to take for ever. */
import { parentPort, workerData } from 'node:worker_threads';
import { markdownOf } from './markdown.ts';

export interface ReadableData {
  readonly html: string;
  readonly url: string;
}

const { html, url } = workerData as ReadableData;
parentPort?.postMessage(markdownOf(html, url));
