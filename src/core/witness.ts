/**
 * What can wake an unfinished task (PROTOCOL, wake witnesses): an earlier task of its session, admission of a turn that may
 * begin, a due time, a job in the queue, the lease of the worker that has the turn, the answers to calls that wait (a person's, or the end of what they delegated), another delegated task that ends, or a person who raises a limit, or resumes it. Where it is paused, nothing else counts.
 */
export const WITNESS_KINDS = [
  'earlier',
  'admission',
  'due',
  'queued',
  'lease',
  'calls',
  'slot',
  'paused',
  'budget',
] as const;
export type WitnessKind = (typeof WITNESS_KINDS)[number];

/**
 * What is wrong with a task that has not exactly one witness: there is none, there are several, or it waits for tasks that
 * wait for each other, or for one that nothing will wake.
 */
export const WITNESS_FAULTS = ['none', 'several', 'cycle', 'nowhere'] as const;
export type WitnessFault = (typeof WITNESS_FAULTS)[number];
