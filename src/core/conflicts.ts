/** Files that two sides changed in ways that do not fit together, in words. */
export interface Conflict {
  readonly path: string;
  readonly kind: string;
  readonly keptAt?: string | undefined;
}

export function sayConflict({ path, kind, keptAt }: Conflict): string {
  return `${path} (${KINDS[kind] ?? kind}${keptAt ? `: ${keptAt}` : ''})`;
}

const KINDS: Readonly<Record<string, string>> = {
  content: 'both versions stand in the file, between conflict marks',
  binary: "the other's version stands beside it",
  both_added: 'both added it',
  deleted: 'one side removed it, the changed one was kept',
  kind: "the other's stands beside it",
  metadata: "version control's own state was left as it was here",
};
