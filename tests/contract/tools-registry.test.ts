import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { UserError } from '../../src/core/errors.ts';
import { builtinTools } from '../../src/tools/builtin.ts';
import { createRegistry, mergeRegistries } from '../../src/tools/registry.ts';
import { defineTool, type Tool, type ToolContext } from '../../src/tools/tool.ts';

// The tools of this file use nothing of their context.
const context = {} as ToolContext;

function tool(more: Partial<Tool> = {}): Tool {
  return defineTool({
    name: 'echo',
    description: 'Says it again.',
    parameters: z.strictObject({ text: z.string().optional(), times: z.int().min(1).default(1) }),
    effect: 'read',
    execute: async (args) => ({ text: JSON.stringify(args) }),
    ...more,
  });
}

function refusal(make: () => unknown): UserError {
  try {
    make();
  } catch (error) {
    if (error instanceof UserError) return error;
  }
  throw new Error('expected a UserError');
}

describe('createRegistry', () => {
  it('describes its tools as JSON Schema, sorted by name', () => {
    const registry = createRegistry([tool({ name: 'b' }), tool({ name: 'a' })]);
    expect(registry.specs().map((spec) => spec.name)).toEqual(['a', 'b']);
    expect(registry.specs()[0]).toEqual({
      name: 'a',
      description: 'Says it again.',
      parameters: {
        type: 'object',
        properties: { text: { type: 'string' }, times: { type: 'integer', minimum: 1, default: 1 } },
        additionalProperties: false,
      },
    });
  });

  it('offers the built-in tools with the effects that were promised', () => {
    const registry = createRegistry(builtinTools());
    expect(registry.specs().map(({ name }) => [name, registry.effectOf(name, false)])).toEqual([
      ['apply_patch', 'workspace'],
      ['bash', 'external'],
      ['bash_input', 'external'],
      ['bash_kill', 'read'],
      ['bash_poll', 'read'],
      ['delegate_task', 'delegate'],
      ['edit_file', 'workspace'],
      ['glob', 'read'],
      ['grep', 'read'],
      ['list_dir', 'read'],
      ['merge_child', 'workspace'],
      ['read_file', 'read'],
      ['read_output', 'read'],
      ['repo_map', 'read'],
      ['search_replace', 'workspace'],
      ['todo', 'read'],
      ['vcs_apply', 'workspace'],
      ['vcs_branch', 'external'],
      ['vcs_commit', 'external'],
      ['vcs_diff', 'read'],
      ['vcs_log', 'read'],
      ['vcs_status', 'read'],
      ['vcs_submit', 'external'],
      ['web_fetch', 'external'],
      ['write_file', 'workspace'],
    ]);
    for (const spec of registry.specs()) expect(spec.parameters).toMatchObject({ type: 'object' });
    expect(registry.effectOf('nothing', true)).toBe('read');
    const changing = ['bash', 'vcs_branch', 'vcs_commit', 'vcs_apply', 'vcs_submit'];
    const confined = changing.map((name) => registry.effectOf(name, true));
    // To publish is what no sandbox takes back.
    expect(confined).toEqual(['workspace', 'workspace', 'workspace', 'workspace', 'external']);
  });

  it('refuses names that providers refuse', () => {
    for (const name of ['', 'two words', 'ä', 'x'.repeat(65)]) {
      expect(refusal(() => createRegistry([tool({ name })])).message).toContain(
        `A tool is named '${name}', expected`,
      );
    }
    expect(createRegistry([tool({ name: 'x'.repeat(64) })]).tools).toHaveLength(1);
  });

  it('refuses a tool without description, and parameters that are no object or no JSON Schema', () => {
    expect(refusal(() => createRegistry([tool({ description: ' ' })])).message).toContain(
      "'echo' has no description",
    );
    const text = z.string() as unknown as z.ZodObject;
    expect(refusal(() => createRegistry([tool({ parameters: text })])).message).toBe(
      `The parameters of the tool 'echo' have type "string", expected "object"; use z.object.`,
    );
    const either = z.union([z.string(), z.number()]) as unknown as z.ZodObject;
    expect(refusal(() => createRegistry([tool({ parameters: either })])).message).toContain(
      'have type ["string","number"]',
    );
    const dated = z.object({ at: z.date() });
    expect(refusal(() => createRegistry([tool({ parameters: dated })]))).toMatchObject({
      code: 'bad_tool',
      message: expect.stringContaining("The parameters of the tool 'echo' are no JSON Schema"),
    });
  });

  it('refuses two tools of one name, also when registries are merged', () => {
    const one = createRegistry([tool()]);
    const two = createRegistry([tool({ name: 'other' })]);
    expect(mergeRegistries(one, two).tools.map(({ name }) => name)).toEqual(['echo', 'other']);
    for (const make of [() => createRegistry([tool(), tool()]), () => mergeRegistries(one, two, one)]) {
      expect(refusal(make)).toMatchObject({
        code: 'duplicate_tool',
        message: "Two tools are named 'echo'; rename or remove one of them.",
      });
    }
  });
});

describe('execute', () => {
  const registry = createRegistry([tool()]);
  const run = (text: string, name = 'echo') => registry.execute(name, text, context);

  it('hands the parsed arguments to the tool, and takes no text for no arguments', async () => {
    expect(await run('{"text":"a"}')).toEqual({ text: '{"text":"a","times":1}' });
    expect(await run('')).toEqual({ text: '{"times":1}' });
    expect(await run(' \n')).toEqual({ text: '{"times":1}' });
  });

  it('says what is wrong with JSON that is none', async () => {
    const result = await run('{"text":');
    expect(result.isError).toBe(true);
    expect(result.text).toMatch(
      /^Error: InvalidArguments: the arguments of 'echo' are not valid JSON \(.+\); send one/,
    );
  });

  it('says of each bad argument what was expected and what was found', async () => {
    expect(await run('{"text":5,"times":0,"extra":true}')).toEqual({
      text: [
        "Error: InvalidArguments: the arguments of 'echo' do not fit:",
        '- text: Invalid input: expected string, received number (found 5)',
        '- times: Too small: expected number to be >=1 (found 0)',
        '- arguments: Unrecognized key: "extra" (found {"text":5,"times":0,"extra":true})',
      ].join('\n'),
      isError: true,
    });
    expect((await run('[]')).text).toContain(
      '- arguments: Invalid input: expected object, received array (found [])',
    );
    expect((await run('null')).text).toContain('(found null)');
    const long = await run(JSON.stringify({ text: ['x'.repeat(500)] }));
    expect(long.text.length).toBeLessThan(300);
    expect(long.text).toContain('xxx...)');
  });

  it('names the tools there are where the name is none of them', async () => {
    expect(await run('{}', 'ekko')).toEqual({
      text: "Error: UnknownTool: there is no tool 'ekko'. The tools are: echo.",
      isError: true,
    });
  });

  it('makes a result of whatever a tool throws', async () => {
    const throwing = (thrown: unknown) =>
      createRegistry([tool({ execute: () => Promise.reject(thrown) })]).execute('echo', '{}', context);
    expect(await throwing(new RangeError('too far'))).toEqual({
      text: 'Error: RangeError: too far',
      isError: true,
    });
    expect(await throwing('oh')).toEqual({ text: 'Error: string: oh', isError: true });
    const atOnce = createRegistry([
      tool({
        execute: () => {
          throw new Error('now');
        },
      }),
    ]);
    expect((await atOnce.execute('echo', '{}', context)).text).toBe('Error: Error: now');
  });

  it('lets through no character that Postgres cannot store', async () => {
    const odd = createRegistry([tool({ execute: async () => ({ text: 'a\0b\ud800c', isError: false }) })]);
    expect(await odd.execute('echo', '{}', context)).toEqual({ text: 'a\u2400b\ufffdc', isError: false });
  });
});
