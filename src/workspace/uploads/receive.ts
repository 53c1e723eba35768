import { closeSync, fsyncSync, openSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writePackIndex } from '../snapshots/pack-index.ts';
import { syncDirectory } from '../snapshots/pack-writer.ts';
import { type GitCommand, ShadowGit } from '../snapshots/shadow-git.ts';
import { checkSnapshot } from './check-snapshot.ts';
import type { UploadLimits } from './limits.ts';
import { readPack, type SentPack } from './pack-reader.ts';

export interface Receipt {
  /** Of this upload alone; what was sent is there as `pack`. */
  readonly directory: string;
  readonly snapshot: string;
  /** Where it is kept from then on: the git directory of its lineage. */
  readonly store: string;
  /** Whether it may share what is in the store already. */
  readonly continues: boolean;
  readonly limits: UploadLimits;
  readonly git: GitCommand;
}

/**
 * Makes what was sent part of the store: all of it, once all of it was looked at. Until then it is a store of its own beside it, so that
 * whatever is refused, or dies half way, was never there. Throws `UploadError`.
 */
export async function receive(receipt: Receipt): Promise<void> {
  const { directory, snapshot, store, limits, git } = receipt;
  const beside = new ShadowGit(join(directory, 'git'), git);
  beside.open();
  if (receipt.continues) {
    writeFileSync(join(beside.directory, 'objects', 'info', 'alternates'), `${join(store, 'objects')}\n`);
  }
  const sent = await readPack(join(directory, 'pack'), limits);
  const name = addPack(beside, join(directory, 'pack'), sent);
  checkSnapshot(beside, { snapshot, limits, sent: sent.objects });
  const lineage = new ShadowGit(store, git);
  lineage.open();
  if (sent.objects.size > 0) move(name, beside, lineage);
}

/** Under a name that is its content's: the same once more changes nothing. */
function addPack(git: ShadowGit, pack: string, { objects, checksum }: SentPack): string {
  const name = `pack-${checksum.toString('hex')}`;
  renameSync(pack, join(git.packs, `${name}.pack`));
  writePackIndex(join(git.packs, name), [...objects.values()], checksum);
  return name;
}

/** Durable when it returns. Without its index a pack counts for nothing: that comes last. */
function move(name: string, from: ShadowGit, to: ShadowGit): void {
  syncFile(join(from.packs, `${name}.pack`));
  for (const end of ['pack', 'idx']) {
    renameSync(join(from.packs, `${name}.${end}`), join(to.packs, `${name}.${end}`));
  }
  syncDirectory(to.packs);
}

function syncFile(path: string): void {
  const file = openSync(path, 'r');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
