import { describe, expect, test } from 'vitest';
import { egressTo, parseEgressHost, sayEgressHost } from '../../src/core/egress.ts';

test.each([
  ['example.com', { host: 'example.com', isPrivate: false }],
  [' Example.COM ', { host: 'example.com', isPrivate: false }],
  ['*.example.com:8443', { host: '*.example.com', port: 8_443, isPrivate: false }],
  ['private:registry:5000', { host: 'registry', port: 5_000, isPrivate: true }],
  ['private:10.0.0.7:65535', { host: '10.0.0.7', port: 65_535, isPrivate: true }],
  ['[2606:4700::1111]:443', { host: '2606:4700::1111', port: 443, isPrivate: false }],
  ['_tcp.my_host', { host: '_tcp.my_host', isPrivate: false }],
])('%j is an entry', (text, entry) => {
  expect(parseEgressHost(text)).toEqual(entry);
  expect(parseEgressHost(sayEgressHost(entry))).toEqual(entry);
});

test.each([
  '',
  '*',
  '*.',
  '**.example.com',
  'a.*.com',
  'https://example.com',
  'example.com/path',
  'example.com:',
  'example.com:0',
  'example.com:65536',
  'user@example.com',
  '-example.com',
  'example..com',
  'public:example.com',
  'exa mple.com',
])('%j is none', (text) => {
  expect(parseEgressHost(text)).toBeUndefined();
});

describe('a host is reached', () => {
  const allowed = [
    'example.com',
    '*.example.org',
    'odd.example.net:8080',
    'private:odd.example.net:8080',
  ].map((text) => parseEgressHost(text) ?? expect.unreachable());
  test.each([
    ['example.com', 443, true],
    ['EXAMPLE.com.', 80, true],
    ['example.com', 22, false],
    ['www.example.com', 443, false],
    ['badexample.com', 443, false],
    ['a.example.org', 443, true],
    ['a.b.example.org', 443, true],
    ['example.org', 443, false],
    ['.example.org', 443, false],
    ['odd.example.net', 8_080, true],
    ['odd.example.net', 443, false],
    ['example.com.evil.test', 443, false],
  ])('%s at %i: %s', (host, port, may) => {
    expect(egressTo({ host, port }, allowed) !== undefined).toBe(may);
  });

  test('in a private network where one of the entries that fit says so', () => {
    expect(egressTo({ host: 'odd.example.net', port: 8_080 }, allowed)?.isPrivate).toBe(true);
    expect(egressTo({ host: 'example.com', port: 443 }, allowed)?.isPrivate).toBe(false);
  });
});
