/** Instructions in directories below the root are told when the agent comes there: once, and before its next answer. */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { textOf } from '../../src/core/entry.ts';
import { call, error, say } from '../support/scripted-model/scripted-model.ts';
import { type Task, useWorld } from '../support/worker.ts';

const HEADER = 'You have come to directories';

describe('instructions of directories', () => {
  // Which queue wakes a turn is nothing to its files.
  const world = useWorld({ kind: 'postgres' });

  const directory = (files: Readonly<Record<string, string>>) => {
    const path = mkdtempSync(join(world.dir, 'user-'));
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(path, name)), { recursive: true });
      writeFileSync(join(path, name), text);
    }
    return path;
  };
  const notices = async (task: Task) =>
    (await world.entries(task)).filter(({ kind }) => kind === 'notice').map(({ parts }) => textOf(parts));

  test('are told once, the outermost first, when something there was read, and those of the root at the beginning', async () => {
    await world.startWorker();
    const path = directory({
      'AGENTS.md': 'of the root',
      'src/AGENTS.md': 'of src',
      'src/api/AGENTS.md': 'of api',
      'src/api/a.ts': 'export {};\n',
      'src/b.ts': '',
      'docs/AGENTS.md': 'of docs',
    });
    let failures = 1;
    const task = await world.submit({
      path,
      script: ({ answers }) => {
        if (answers === 1 && failures-- > 0) return error(500);
        const read = (name: string) => [call('read_file', { path: name })];
        return [read('src/api/a.ts'), read('src/b.ts'), read('src/api/a.ts')][answers] ?? say('Done.');
      },
    });
    expect(await world.taskEnds(task)).toMatchObject({ status: 'succeeded' });
    const [context = '', told = '', ...more] = await notices(task);
    expect(context).toContain('of the root');
    expect(context).not.toContain('of src');
    expect(told.startsWith(HEADER)).toBe(true);
    expect(told).toMatch(
      /<untrusted source="src\/AGENTS.md">\nof src\n<\/untrusted>\n\n<untrusted source="src\/api\/AGENTS.md">\nof api/,
    );
    expect(more).toEqual([]);
    const kinds = (await world.entries(task)).slice(0, 6).map(({ kind }) => kind);
    expect(kinds).toEqual(['user', 'notice', 'assistant', 'tool_result', 'notice', 'assistant']);

    const next = await world.submit({
      sessionId: task.sessionId,
      script: ({ answers }) => (answers === 4 ? [call('list_dir', { path: 'docs' })] : say('Done.')),
    });
    expect(await world.taskEnds(next)).toMatchObject({ status: 'succeeded' });
    expect((await notices(task)).slice(2)).toEqual([expect.stringContaining('of docs')]);
  });
});
