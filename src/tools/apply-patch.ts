import { z } from 'zod';
import { FileChanges } from '../workspace/file-changes.ts';
import type { NamedFile } from '../workspace/text-file.ts';
import { describeEdits, type FileEdits, namedIn } from './edit-report.ts';
import { findFile } from './file-path.ts';
import { applyHunks, EditError } from './line-edit.ts';
import { type FileOperation, parsePatch } from './patch-format.ts';
import { MAX_EDIT_CHARS } from './search-replace.ts';
import { defineTool, type ToolContext } from './tool.ts';

export const applyPatchTool = defineTool({
  name: 'apply_patch',
  description: [
    'Adds, updates, moves and deletes files by one patch; all of it is applied, or none:',
    '*** Begin Patch',
    '*** Add File: new.txt',
    '+every line of the new file',
    '*** Update File: src/app.py',
    '*** Move to: src/main.py',
    '@@ class Greeter',
    ' unchanged line',
    '-line to remove',
    '+line to add',
    ' unchanged line',
    '*** Delete File: old.txt',
    '*** End Patch',
    'Show about three unchanged lines around each change. The lines must fit the file in exactly one way: where they stand in several places, name the class or function ' +
      'above them in @@ lines. *** Move to and the @@ texts may be left out; *** End of File behind a hunk says that it ends the file.',
  ].join('\n'),
  parameters: z.strictObject({
    input: z
      .string()
      .min(1)
      .max(MAX_EDIT_CHARS)
      .describe('The whole patch, from *** Begin Patch to *** End Patch.'),
  }),
  effect: 'workspace',
  paths: ({ input }) => namedIn(() => parsePatch(String(input)).flatMap(pathsOf)),
  async execute({ input }, context) {
    const changes = new FileChanges(context.seen);
    const edits: FileEdits[] = [];
    for (const operation of parsePatch(input)) edits.push(await apply(context, changes, operation));
    await changes.commit();
    return { text: describeEdits(edits) };
  },
});

function pathsOf(operation: FileOperation): string[] {
  const target = operation.type === 'update' ? operation.moveTo : undefined;
  return target === undefined ? [operation.path] : [operation.path, target];
}

async function apply(
  context: ToolContext,
  changes: FileChanges,
  operation: FileOperation,
): Promise<FileEdits> {
  const { path, type, line } = operation;
  const file = await findFile(context.workspace, path);
  if (type === 'add') {
    await refuseExisting(changes, file, line);
    changes.write(file, operation.text);
    return { path, done: 'created', at: [], notes: [] };
  }
  if (type === 'delete') {
    await changes.remove(file);
    return { path, done: 'deleted', at: [], notes: [] };
  }
  const { text, at, notes } = applyHunks(path, await changes.text(file), operation.hunks);
  const target = operation.moveTo === undefined ? file : await findFile(context.workspace, operation.moveTo);
  if (target.path === file.path) {
    changes.write(file, text);
    return { path, done: 'edited', at, notes };
  }
  await refuseExisting(changes, target, line);
  changes.write(target, text, file);
  await changes.remove(file);
  return { path, done: 'moved', to: target.shown, at, notes };
}

async function refuseExisting(changes: FileChanges, file: NamedFile, line: number): Promise<void> {
  if ((await changes.find(file)) === null) return;
  throw new EditError(
    `line ${line} of the patch: '${file.shown}' exists already; change it with *** Update File, or delete it first.`,
  );
}
