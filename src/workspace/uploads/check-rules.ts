import { type BytePath, joinBytes, type PathSet, textOf } from '../snapshots/byte-path.ts';
import type { Directory, FileNode } from '../snapshots/file-node.ts';
import type { ShadowGit } from '../snapshots/shadow-git.ts';
import {
  type EntryMode,
  modeOf,
  noRules,
  RULES_LIMIT_BYTES,
  RuleCache,
  type Rules,
  rulesBelow,
  SnapshotRules,
} from '../snapshots/walk-rules.ts';
import { malformed, tooLarge } from './upload-error.ts';

/** Where a directory's rules stand. */
const RULE_FILES: readonly (readonly BytePath[])[] = [
  ['.gitignore'],
  ['.git', 'info', 'exclude'],
  ['.git', 'index'],
];

export interface RulesContext {
  readonly git: ShadowGit;
  /** Of all blobs. */
  readonly sizes: ReadonlyMap<string, number>;
  /** Ignored files that count. */
  readonly kept: PathSet;
}

/**
 * Whether the snapshot's own rules ignore something that it holds: no walk would find that, and no restore could end. It happens where files
 * changed while they were read. Throws `UploadError`.
 */
export function checkRules(root: Directory, { git, sizes, kept }: RulesContext): void {
  const contents = readRules(git, ruleFiles(root), sizes);
  const cache = new RuleCache();
  const read = (hash: string) => contents.get(hash) ?? Buffer.alloc(0);
  const check = (directory: Directory, outer: { path: BytePath; mode: EntryMode; rules: Rules }) => {
    const { path, mode } = outer;
    const source = new SnapshotRules(directory, read);
    const rules = mode === 'files' ? rulesBelow(outer.rules, path, { source, cache }) : outer.rules;
    for (const [name, node] of directory.children) {
      const inner = joinBytes(path, name);
      const isDirectory = node.type === 'directory';
      const found = modeOf({ mode, rules }, { name, path: inner, isDirectory }, kept);
      const isNothing = found === 'partial' && isDirectory && node.children.size === 0;
      if (found === 'ignored' || isNothing)
        throw malformed(`its own rules ignore ${textOf(inner)}; were files changed meanwhile?`);
      if (isDirectory && found !== 'metadata') check(node, { path: inner, mode: found, rules });
    }
  };
  check(root, { path: '', mode: 'files', rules: noRules });
}

function ruleFiles(directory: Directory): string[] {
  const own = RULE_FILES.flatMap((parts) => {
    let node: FileNode | undefined = directory;
    for (const part of parts) node = node?.type === 'directory' ? node.children.get(part) : undefined;
    return node?.type === 'file' ? [node.hash] : [];
  });
  const below = [...directory.children.values()].filter((node) => node.type === 'directory');
  return [...own, ...below.flatMap(ruleFiles)];
}

function readRules(
  git: ShadowGit,
  files: readonly string[],
  sizes: RulesContext['sizes'],
): Map<string, Buffer> {
  const hashes = [...new Set(files)];
  const bytes = hashes.reduce((sum, hash) => sum + (sizes.get(hash) ?? 0), 0);
  if (bytes > RULES_LIMIT_BYTES)
    throw tooLarge(`has ${bytes} bytes of ignore rules and git indexes`, RULES_LIMIT_BYTES);
  const contents = new Map<string, Buffer>();
  git.blobs(hashes, (hash, content) => contents.set(hash, Buffer.from(content ?? git.blob(hash))));
  return contents;
}
