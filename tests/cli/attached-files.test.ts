import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readAttached } from '../../src/cli/attached-files.ts';
import { ATTACHMENT_LIMITS } from '../../src/core/attachments.ts';

let dir = '';
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'capybara-attach-'));
});
afterAll(() => rmSync(dir, { recursive: true }));

test('files are read as they are, and named without their directories', () => {
  writeFileSync(join(dir, 'a\nb.txt'), 'é');
  expect(readAttached(['a\nb.txt'], dir)).toEqual([{ name: 'a_b.txt', data: 'w6k=' }]);
  expect(readAttached([join(dir, 'a\nb.txt')], '/')).toHaveLength(1);
});

test('what cannot be attached is said, and what to do', () => {
  expect(() => readAttached(['gone'], dir)).toThrow('--attach "gone" cannot be read: there is no such file.');
  expect(() => readAttached(['.'], dir)).toThrow(
    '--attach "." is not a file: name an image, a PDF or a text file.',
  );
});

test('files are as many, and as large together, as is allowed', () => {
  writeFileSync(join(dir, 'x'), 'x');
  const { files, total } = ATTACHMENT_LIMITS;
  expect(readAttached(Array(files).fill('x'), dir)).toHaveLength(files);
  expect(() => readAttached(Array(files + 1).fill('x'), dir)).toThrow(`at most ${files} can be attached`);
  writeFileSync(join(dir, 'large'), Buffer.alloc(total - 1));
  expect(readAttached(['large', 'x'], dir)).toHaveLength(2);
  expect(() => readAttached(['large', 'x', 'x'], dir)).toThrow(`may have ${total} bytes together`);
});
