import { probeBubblewrap } from '../../src/sandbox/choose.ts';

const probe = await probeBubblewrap(process.env);

/** The path of a bwrap that works here; undefined where there is none, which is said once for each file that asks. */
export const bubblewrap: string | undefined = probe.works ? probe.program : undefined;

if (!probe.works) console.warn(`Tests of bubblewrap are skipped: ${probe.found}; ${probe.cure}.`);
