import { rm, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { useProject } from './tools-harness.ts';

const { put, call, text, path } = useProject();

const refusal = {
  isError: true,
  text: "Error: FileChanged: 'f' is not what it was when you read it: something else changed it meanwhile (a command, or somebody). Nothing was written. Read it again, then make the change in what it says now.",
};

/** The same change of `b` into `B`, by every tool that edits. */
const edits: [string, () => [string, Record<string, unknown>]][] = [
  ['edit_file', () => ['edit_file', { path: 'f', old_string: 'b', new_string: 'B' }]],
  [
    'search_replace',
    () => ['search_replace', { blocks: 'f\n<<<<<<< SEARCH\nb\n=======\nB\n>>>>>>> REPLACE' }],
  ],
  [
    'apply_patch',
    () => ['apply_patch', { input: '*** Begin Patch\n*** Update File: f\n-b\n+B\n*** End Patch' }],
  ],
  ['write_file', () => ['write_file', { path: 'f', content: 'a\nB\n' }]],
];

describe.each(edits)('%s', (_, edit) => {
  const run = () => call(...edit());

  it('edits what the agent has read, and what it has not', async () => {
    await put('f', 'a\nb\n');
    await call('read_file', { path: 'f' });
    expect((await run()).isError).toBeUndefined();
    await put('f', 'a\nb\n');
    expect((await run()).isError).toBeUndefined();
    expect(await text('f')).toBe('a\nB\n');
  });

  it('refuses what changed since the agent read it, until it reads it again', async () => {
    await put('f', 'a\nb\n');
    await call('read_file', { path: 'f', limit: 1 });
    await writeFile(path('f'), 'b\nx\n');
    expect(await run()).toEqual(refusal);
    expect(await text('f')).toBe('b\nx\n');
    await call('read_file', { path: path('f') });
    expect((await run()).isError).toBeUndefined();
  });

  it('refuses what a command of the agent changed', async () => {
    await put('f', 'a\nb\n');
    await call('read_file', { path: 'f' });
    await call('bash', { command: 'echo c >> f' });
    expect(await run()).toEqual(refusal);
  });

  it('edits what the agent itself has just made or edited', async () => {
    await call('write_file', { path: 'f', content: 'x\nb\n' });
    await call('edit_file', { path: 'f', old_string: 'x', new_string: 'y' });
    await call('apply_patch', { input: '*** Begin Patch\n*** Update File: f\n-y\n+a\n*** End Patch' });
    expect((await run()).isError).toBeUndefined();
    expect(await text('f')).toBe('a\nB\n');
  });

  it('does not take a file that came back as the one it knew for a changed one', async () => {
    await put('f', 'a\nb\n');
    await call('read_file', { path: 'f' });
    await rm(path('f'));
    await writeFile(path('f'), 'a\nb\n');
    expect((await run()).isError).toBeUndefined();
  });
});

it('refuses to write over a file that has become something that is no text', async () => {
  await put('f', 'a\nb\n');
  await call('read_file', { path: 'f' });
  await writeFile(path('f'), Buffer.from([0, 1]));
  expect(await call('write_file', { path: 'f', content: 'x' })).toEqual(refusal);
});

it('forgets a file that it deleted or moved', async () => {
  await call('write_file', { path: 'f', content: 'a\n' });
  await call('apply_patch', {
    input: '*** Begin Patch\n*** Update File: f\n*** Move to: g\n*** End Patch',
  });
  await writeFile(path('f'), 'other\n');
  const over = await call('write_file', { path: 'f', content: 'b\n' });
  expect(over).toEqual({ text: 'Overwrote f (2 bytes).' });
});

it('creates again what was deleted behind its back', async () => {
  await call('write_file', { path: 'f', content: 'a\n' });
  await rm(path('f'));
  expect(await call('write_file', { path: 'f', content: 'b\n' })).toEqual({ text: 'Created f (2 bytes).' });
});
