/** How it is made sure that git checks what comes from a remote. */
import { readFile } from 'node:fs/promises';

/**
 * Every object is checked as it comes (fsck): names that would write into `.git`, links in the place of `.gitmodules`, submodule
 * addresses that are options. What old tools wrote wrongly into dates, names and modes harms nobody.
 */
export const CHECKED: Readonly<Record<string, string>> = {
  'transfer.fsckObjects': 'true',
  ...Object.fromEntries(
    [
      ...[
        'zeroPaddedFilemode',
        'missingSpaceBeforeDate',
        'missingSpaceBeforeEmail',
        'missingNameBeforeEmail',
      ],
      ...['missingEmail', 'badEmail', 'badDate', 'badDateOverflow', 'badTimezone', 'multipleAuthors'],
    ].map((id) => [`fetch.fsck.${id}`, 'ignore']),
  ),
};

/**
 * What answers without git's own protocol is a web server with files (or any web page at all, which then looks like an empty
 * repository). Git would take objects from it one by one, unchecked.
 */
export async function speaksGit(trace: string): Promise<boolean> {
  return (await readFile(trace, 'utf8')).includes('"negotiated-version"');
}
