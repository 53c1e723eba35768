import { expect, test } from 'vitest';
import { isDiskFull, saysDiskFull } from '../../src/core/full-disk.ts';

test.each([
  [{ code: 'ENOSPC' }, true],
  [{ code: 'EDQUOT' }, true],
  [{ code: 'disk_full' }, true],
  [{ code: 'EIO' }, false],
  [{ code: 28 }, false],
  [new Error('ENOSPC'), false],
  ['ENOSPC', false],
  [null, false],
  [undefined, false],
])('a full disk is told by its code: %o is %s', (error, is) => {
  expect(isDiskFull(error)).toBe(is);
});

test.each([
  ['fatal: write error: No space left on device', true],
  ['error: unable to write file: Disk quota exceeded', true],
  ['fatal: unable to read tree', false],
])('what git says of it is known: %s', (text, is) => {
  expect(saysDiskFull(text)).toBe(is);
});
