/** Names under which version control keeps its own state at the root of a working copy. */
const METADATA_NAMES = new Set(
  '.git .hg .svn .jj .bzr CVS _darcs .pijul .sl .fslckout .fslckout-journal .fslckout-wal .fslckout-shm _FOSSIL_ _FOSSIL_-journal'.split(
    ' ',
  ),
);

/**
 * Whether what has this name (its bytes, one character each) is version control's own and none of the project's. Also whatever some
 * file system would take for `.git` (letter case, the short name on NTFS, trailing dots and spaces, characters that HFS+
 * overlooks): git refuses such names in a tree, and in a patch.
 */
export function isMetadata(name: string): boolean {
  const first = name.charCodeAt(0);
  if (first !== 0x2e && first !== 0x5f && first !== 0x43 && first !== 0x67 && first !== 0x47 && first < 0x80)
    return false;
  return METADATA_NAMES.has(name) || /^(\.git|git~1)[ .]*(:|\\|$)/i.test(withoutOverlooked(name));
}

/** U+200C to U+200F, U+202A to U+202E, U+206A to U+206F and U+FEFF, as UTF-8. */
function withoutOverlooked(name: string): string {
  if (!/[\xe2\xef]/.test(name)) return name;
  return name.replace(/\xe2\x80[\x8c-\x8f\xaa-\xae]|\xe2\x81[\xaa-\xaf]|\xef\xbb\xbf/g, '');
}
