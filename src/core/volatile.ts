/**
 * What changes from run to run though nothing else did. Each rule takes out one form; all other numbers, such as counts,
 * percentages and sizes, are kept: a progress that goes on is no repetition.
 */
const RULES: readonly (readonly [pattern: RegExp, instead: string])[] = [
  // Dates with a time of day, in the order of ISO 8601, and times of day.
  [/\b\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}([.,]\d+)?)?( ?(Z|[+-]\d{2}:?\d{2})\b)?/g, '<time>'],
  [/\b\d{1,2}:\d{2}:\d{2}([.,]\d+)?\b/g, '<time>'],
  // Seconds, milli-, micro- or nanoseconds since 1970, of the years 2014 to 2033.
  [/(?<![\w.])1[4-9]\d{8}(\d{3}|\d{6}|\d{9}|\.\d+)?(?![\w.])/g, '<time>'],
  // Durations: a number with a unit of time, or several: 1.2s, 12 ms, 0m1.005s, 3 minutes.
  [
    /(?<![\w.])(\d+([.,]\d+)?\s?(ns|[uµμ]s|ms|msecs?|s|secs?|seconds?|m|mins?|minutes?|h|hours?)\b\s?)+|(?<![\w.])(\d+[hm])+\d+([.,]\d+)?s\b/g,
    '<duration>',
  ],
  // Process ids, also as a shell tells of a background job: [1] 4242.
  [/\b(pid|process|ppid)(\W{1,3}(id)?\W{0,3})\d+/gi, '$1$2<pid>'],
  [/^(\[\d+\] )\d+$/gm, '$1<pid>'],
  // Addresses in memory, and UUIDs.
  [/\b0x[0-9a-f]{6,}\b/gi, '<address>'],
  [/\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/gi, '<uuid>'],
  // Names that mktemp and its like make up below a directory of temporary files.
  [
    /(\/tmp\/(?:[\w.-]{1,64}\/){0,8}?[\w-]{0,64}?[.-])(?=\w{0,64}[A-Z])(?=\w{0,64}[a-z0-9])\w{6,64}\b/g,
    '$1<name>',
  ],
];

export function withoutVolatile(text: string): string {
  return RULES.reduce((rest, [pattern, instead]) => rest.replace(pattern, instead), text);
}
