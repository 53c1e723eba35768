/** What a call of a server's tool may change, and so whether a person is asked: as the server says, where it can be believed. */
import type { Tool } from '@modelcontextprotocol/sdk/types.js';
import { expect, it } from 'vitest';
import { bridgedTools, leftOut } from '../../src/mcp/client/bridged-tool.ts';
import { toolName } from '../../src/mcp/client/bridging.ts';
import { outcomeOf } from '../../src/mcp/client/call-result.ts';
import { MAX_LEVELS } from '../../src/mcp/client/nesting.ts';
import type { McpServer } from '../../src/mcp/client/server.ts';
import { createRegistry } from '../../src/tools/registry.ts';

const command: McpServer = { command: 'server' };
const online: McpServer = { command: 'server', hosts: [{ host: 'example.com', isPrivate: false }] };
const remote: McpServer = { url: 'https://example.com/mcp' };

const inputSchema = { type: 'object' as const };

function bridged(settings: McpServer, more: object = {}, name = 'look') {
  return registryOf([{ name, inputSchema, ...more }], settings);
}

function registryOf(tools: readonly Tool[], settings: McpServer = command, hasResources = false) {
  const connection = async () => {
    throw new Error('nothing is called here');
  };
  const server = { name: 'server', version: '1' };
  const offer = { server, tools, refused: 0, hasResources, prompts: [] };
  return createRegistry(bridgedTools({ server: 's', settings, connection }, offer));
}

const READS = { readOnlyHint: true };

it.each([
  ['says nothing', command, {}, 'external', 'external'],
  ['merely reads, and can reach nobody where it is confined', command, READS, 'read', 'external'],
  ['merely reads, and may reach hosts', online, READS, 'external', 'external'],
  ['merely reads, somewhere else', remote, READS, 'external', 'external'],
  ['merely reads, and reaches nobody', remote, { ...READS, openWorldHint: false }, 'read', 'read'],
  ['reads the open world', command, { ...READS, openWorldHint: true }, 'external', 'external'],
  [
    'reads, and is not trusted',
    { ...command, trusted: false },
    { ...READS, openWorldHint: false },
    'external',
    'external',
  ],
  ['destroys nothing', command, { destructiveHint: false, idempotentHint: true }, 'external', 'external'],
] as const)('a tool that %s', (_, settings, annotations, confined, unconfined) => {
  const registry = bridged(settings, { annotations });
  expect([registry.effectOf('s__look', true), registry.effectOf('s__look', false)]).toEqual([
    confined,
    unconfined,
  ]);
});

it('has a name that providers take, and that no other tool has', () => {
  expect(toolName('s', 'look')).toBe('s__look');
  expect(toolName('s', 'look.at')).toMatch(/^s__look_at_[0-9a-f]{8}$/);
  expect(toolName('s', 'look at')).not.toBe(toolName('s', 'look.at'));
  expect(toolName('s', 'x'.repeat(61))).toHaveLength(64);
  expect(toolName('s', 'x'.repeat(62))).toMatch(/^s__x{52}_[0-9a-f]{8}$/);
  expect(toolName('s', 'look', new Set(['s__look']))).toMatch(/^s__look_[0-9a-f]{8}$/);
});

it('is told with a schema that every provider takes, and checked by its own', () => {
  const inputSchema = {
    ...{ $schema: 'http://json-schema.org/draft-07/schema#', type: 'object' },
    properties: { a: { type: 'string' }, b: { type: 'string' } },
    oneOf: [{ required: ['a'] }, { required: ['b'] }],
  };
  const registry = bridged(command, { inputSchema });
  expect(registry.specs()[0]?.parameters).toEqual({ type: 'object', properties: inputSchema.properties });
  expect(registry.read('s__look', '{"a": "1"}')).toHaveProperty('args');
  expect(registry.read('s__look', '{"a": "1", "b": "2"}')).toHaveProperty('problem');
});

it('is not there where its schema is too long, or a setting leaves it out', () => {
  const inputSchema = { type: 'object', description: 'x'.repeat(32_001) };
  expect(bridged(command, { inputSchema }).tools).toEqual([]);
  expect(bridged({ ...command, tools: ['find_*'] }).tools).toEqual([]);
  expect(bridged({ ...command, tools: ['find_*'] }, {}, 'find_it').tools).toHaveLength(1);
});

it('each tool has a name of its own, whatever the server calls them', () => {
  const marked = (name: string) => toolName('s', name, new Set([`s__${name}`])).replace(/^s__/, '');
  const names = [toolName('s', 'x.y').replace(/^s__/, ''), 'x.y', 'list_resources', marked('list_resources')];
  const { tools } = registryOf(
    names.map((name) => ({ name, inputSchema })),
    command,
    true,
  );
  expect(new Set(tools.map(({ name }) => name)).size).toBe(names.length + 2);
});

const nested = (levels: number) => JSON.parse(`${'['.repeat(levels)}${']'.repeat(levels)}`);
const deep = (levels: number): Tool => ({
  name: 'deep',
  inputSchema: { ...inputSchema, properties: { a: { enum: nested(levels) } } },
});

it('one whose schema is nested without end takes no other away', () => {
  const look = { name: 'look', inputSchema };
  const named = (levels: number) => registryOf([deep(levels), look]).tools.map(({ name }) => name);
  expect(named(20_000)).toEqual(['s__look']);
  expect(named(MAX_LEVELS - 10)).toEqual(['s__deep', 's__look']);
  expect(leftOut(command, [deep(20_000), look])).toEqual([{ tool: 'deep', why: 'schema' }]);
});

it('an answer whose structured content is nested without end is shown without it', () => {
  const result = {
    content: [{ type: 'text' as const, text: 'done' }],
    structuredContent: { a: nested(20_000) },
  };
  expect(outcomeOf({ server: 's', tool: 'look' }, { kind: 'result', result }).text).toContain(
    'done\n(structured content is nested too deep to be shown)',
  );
});
