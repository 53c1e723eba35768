/**
 * What can wake an unfinished task (PROTOCOL, wake witnesses): an earlier task of its session, admission of a turn that may
 * begin, a due time, a job in the queue, the lease of the worker that has the turn, the answers to calls that wait, or a person who raises a limit.
 */
export const WITNESS_KINDS = ['earlier', 'admission', 'due', 'queued', 'lease', 'calls', 'budget'] as const;
export type WitnessKind = (typeof WITNESS_KINDS)[number];

/**
 * What is wrong with a task that has not exactly one witness: there is none, there are several, or it waits for tasks that
 * wait for each other, or for one that nothing will wake.
 */
export const WITNESS_FAULTS = ['none', 'several', 'cycle', 'nowhere'] as const;
export type WitnessFault = (typeof WITNESS_FAULTS)[number];
