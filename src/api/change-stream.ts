import type { ChangedVersions, Version } from '../workspace/snapshots/snapshots.ts';
import type { Change, ChangesEnd } from './wire.ts';

/** Each change as a line of JSON, then the bytes that stood there before, then those that stand there after; at the end their number. */
export function streamOf(changes: readonly ChangedVersions[]): Buffer {
  const parts = changes.flatMap(({ path, from, before, after, found }) => [
    lineOf({
      path,
      ...(from !== undefined && { from }),
      ...{ before: headOf(before), after: headOf(after) },
      ...(found && { found }),
    }),
    before?.content ?? NOTHING,
    after?.content ?? NOTHING,
  ]);
  return Buffer.concat([...parts, lineOf({ changes: changes.length })]);
}

const NOTHING = new Uint8Array();

function lineOf(line: Change | (typeof ChangesEnd)['_output']): Buffer {
  return Buffer.from(`${JSON.stringify(line)}\n`);
}

function headOf(version: Version | undefined): Change['before'] {
  return version === undefined ? null : { mode: version.mode, size: version.content.length };
}
