/** A thread per upload: unpacking and naming what was sent would keep an API from everything else, and has an end that can be set. */
import { parentPort, workerData } from 'node:worker_threads';
import { type Receipt, receive } from './receive.ts';
import { type UploadCode, UploadError } from './upload-error.ts';

export type ThreadReply = 'received' | { readonly code: UploadCode; readonly message: string };

async function reply(): Promise<ThreadReply> {
  try {
    await receive(workerData as Receipt);
    return 'received';
  } catch (error) {
    // Anything else ends the thread, as what it is.
    if (!(error instanceof UploadError)) throw error;
    return { code: error.code, message: error.message };
  }
}

parentPort?.postMessage(await reply());
