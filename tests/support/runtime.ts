import { runtimePrograms } from '../../src/sandbox/probes.ts';

const found = await runtimePrograms(process.platform, process.env.PATH ?? '');

/** What @anthropic-ai/sandbox-runtime runs here; undefined where some of it is missing, which is said once for each file that asks. */
export const runtime = 'works' in found ? undefined : found.programs;

if ('works' in found)
  console.warn(`Tests of the sandbox runtime are skipped: ${found.found}; ${found.cure}.`);
