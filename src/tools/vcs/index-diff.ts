/**
 * The diffs of Subversion and Fossil, as git writes them: `--- a/PATH` and `+++ b/PATH` behind `Index: PATH` and a line of `=`, and
 * `/dev/null` for the side that has no file. Lines of hunks are left alone, whatever they look like.
 */
export function likeGit(diff: string): string {
  const lines = diff.split('\n');
  let path: string | undefined;
  let whole = '';
  return lines
    .map((line, index) => {
      if (line.startsWith('Index: ') && /^={60,}$/.test(lines[index + 1] ?? '')) {
        path = line.slice('Index: '.length);
        whole = /^(ADDED|DELETED) /.exec(lines[index - 1] ?? '')?.[1] ?? '';
        return line;
      }
      if (path === undefined) return line;
      const [, side] = /^(---|\+\+\+) /.exec(line) ?? [];
      if (side === undefined) return line;
      const isNothing = /\t\(nonexistent\)$/.test(line) || whole === (side === '---' ? 'ADDED' : 'DELETED');
      const named = `${side} ${side === '---' ? 'a' : 'b'}/${path}`;
      if (side === '+++') path = undefined;
      return isNothing ? `${side} /dev/null` : named;
    })
    .join('\n');
}
