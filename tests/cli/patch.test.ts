import { describe, expect, test } from 'vitest';
import { patchText } from '../../src/cli/patch.ts';
import { createStyle } from '../../src/cli/terminal.ts';

const plain = createStyle({ isTty: false, noColor: true });
const coloured = createStyle({ isTty: true, noColor: false });
const PATCH = Buffer.from(
  ['diff --git a/a b/a', '--- a/a', '+++ b/a', '@@ -1,2 +1,2 @@', ' one', '-two', '+three', ''].join('\n'),
);

describe('a patch on a terminal', () => {
  test('is painted by line, and cannot move the cursor', () => {
    expect(patchText(PATCH, plain)).toBe(PATCH.toString());
    expect(patchText(PATCH, coloured)).toContain('\u001b[31m-two\u001b[39m\n\u001b[32m+three\u001b[39m\n');
    expect(patchText(Buffer.from('+\u001b[2Jgone\u0007\n'), plain)).toBe('+gone\u2407\n');
    expect(patchText(Buffer.alloc(0), coloured)).toBe('No changes.\n');
  });
});
